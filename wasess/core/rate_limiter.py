"""Lets so many things of one kind through, and counts the others. Pure.

Whoever sends a message can have a line of the log written for it. The bound is one for each kind, so that a flood of one hides no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Hashable

BURST = 20
PER_SECOND = 0.1
TOLD_EVERY = 60.0  # seconds from the first that was left out to when it is told how many were
MOST_KINDS = 500


@dataclass(slots=True)
class LeftOut:
    """How many of a kind were left out. ``example`` is the first of them, ``since`` when that was."""

    example: str
    since: float
    count: int = 0


class RateLimiter:
    """One bucket for each kind. Beyond `MOST_KINDS` all further ones share one. Moments are seconds of any steady clock."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, Pace] = {}
        self._left_out: dict[Hashable, LeftOut] = {}

    def admit(self, kind: Hashable, example: str, now: float) -> bool:
        """Whether this one may pass; otherwise it is counted."""
        kind = self._known(kind, now)
        bucket = self._buckets.get(kind) or Pace.full(PER_SECOND, BURST, now)
        if not bucket.wait(now):
            self._buckets[kind] = bucket.take(now)[0]
            return True
        self._left_out.setdefault(kind, LeftOut(example, now)).count += 1
        return False

    def due(self, now: float, within: float = TOLD_EVERY) -> list[LeftOut]:
        """What was left out and is to be told now, once: the first of it at least ``within`` seconds ago."""
        ripe = [kind for kind, found in self._left_out.items() if found.since + within <= now]
        return [self._left_out.pop(kind) for kind in ripe]

    def _known(self, kind: Hashable, now: float) -> Hashable:
        if kind in self._buckets or len(self._buckets) < MOST_KINDS:
            return kind
        full = [known for known, bucket in self._buckets.items() if bucket.turns + (now - bucket.at) * PER_SECOND >= BURST]
        for known in full:
            del self._buckets[known]
        return kind if full else None
