"""A bucket of turns: so many a second, and a few at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """``per_second`` turns come in, at most ``burst`` are kept. ``turns``: what is in the bucket at the moment ``at``."""

    per_second: float
    burst: float
    turns: float
    at: float

    @classmethod
    def full(cls, per_second: float, burst: float, now: float) -> Pace:
        """A bucket that nobody has taken from."""
        return cls(per_second, burst, burst, now)

    def take(self, now: float) -> tuple[Pace, float]:
        """Take a turn; return what is left, and how many seconds to wait until the turn has come (0: now). Turns come in the order of the calls."""
        passed = max(0.0, now - self.at)
        turns = min(self.burst, self.turns + passed * self.per_second) - 1.0
        return replace(self, turns=turns, at=max(now, self.at)), max(0.0, -turns / self.per_second)
