"""A bucket of turns: so many a second, and a few at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

GRAIN = 1e-6  # seconds; a moment in Unix time is not known more exactly than a quarter of this


@dataclass(frozen=True, slots=True)
class Pace:
    """``per_second`` turns come in, at most ``burst`` (1 or more) are kept. ``turns``: what is in the bucket at the moment ``at``."""

    per_second: float
    burst: float
    turns: float
    at: float

    @classmethod
    def full(cls, per_second: float, burst: float, now: float) -> Pace:
        """A bucket that nobody has taken from."""
        return cls(per_second, burst, burst, now)

    def wait(self, now: float) -> float:
        """Return in how many seconds a turn that is asked for at ``now`` comes; 0: now."""
        return self.take(now)[1]

    def take(self, now: float) -> tuple[Pace, float]:
        """Take a turn; return what is left, and how many seconds to wait until the turn has come (0: now).

        Turns come in the order of the calls. A clock that goes back stands still.
        """
        passed = max(0.0, now - self.at)
        turns = min(self.burst, self.turns + passed * self.per_second) - 1.0
        wait = -turns / self.per_second
        return replace(self, turns=turns, at=max(now, self.at)), wait if wait > GRAIN else 0.0
