"""Notices that the machine, or this process, stood still, and that somebody set the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasess.core.clock import Clock

STOOD_STILL = 4.0  # a look is due every half second; a busy machine is late by a second or two


class Awake:
    """Ask it often, in one place."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steady = clock.steady()
        self._wall = clock.now()
        self.jumped = 0.0
        """By how many seconds the wall clock was set between the last two looks."""

    def look(self) -> float:
        """Return for how many seconds everything stood still since the last look: a suspend, a stopped process; 0.0 when it did not."""
        steady, wall = self._clock.steady(), self._clock.now()
        gap = steady - self._steady
        self.jumped = (wall - self._wall) - gap
        self._steady, self._wall = steady, wall
        return gap if gap >= STOOD_STILL else 0.0
