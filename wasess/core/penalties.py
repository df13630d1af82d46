"""Who has to wait because what he sent was not what he said: each further time twice as long, up to an hour.

What is kept is bounded: a stranger has any number of addresses, and the one who waits the least is forgotten for a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10.0
LONGEST = 3600.0
MOST_KEPT = 1000


@dataclass(slots=True)
class _Penalty:
    times: int
    until: float


class Penalties:
    """By sender; ``now`` is a steady clock's, in seconds."""

    def __init__(self) -> None:
        self._penalties: dict[str, _Penalty] = {}

    def charge(self, sender: str, now: float) -> float:
        """Another fault: return the seconds that it costs."""
        known = self._penalties.pop(sender, None)
        if known is not None and now > known.until + LONGEST:
            known = None
        times = known.times + 1 if known else 1
        pause = float(min(LONGEST, FIRST * 2 ** min(times - 1, 16)))
        self._penalties[sender] = _Penalty(times, now + pause)
        if len(self._penalties) > MOST_KEPT:
            del self._penalties[min(self._penalties, key=lambda name: self._penalties[name].until)]
        return pause

    def left(self, sender: str, now: float) -> float:
        """The seconds that he still waits; 0 for everybody else."""
        known = self._penalties.get(sender)
        return max(0.0, known.until - now) if known else 0.0

    def relieve(self, sender: str) -> None:
        """Something of his was what he said: the next fault costs half of what it would have."""
        known = self._penalties.get(sender)
        if known is not None:
            known.times -= 1
            if not known.times:
                del self._penalties[sender]
