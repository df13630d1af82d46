"""Measures how long the event loop was kept from waiting: for that long nobody else had a turn.

Every turn of an asyncio loop ends in its selector; what lies between two calls of that is the time in which callbacks ran, or the process
was not let run.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Stall:
    """``seconds`` in which nobody else had a turn; ``at``: when that was over (Unix time), 0 when there was none."""

    seconds: float = 0.0
    at: float = 0.0


class StallMeter:
    """Give its loop to `asyncio.Runner`. ``longest``: the longest stall since `begin`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.longest = Stall()
        self._clock = clock
        self._wall = wall
        self._latest = 0.0

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop that is measured."""
        return asyncio.SelectorEventLoop(_Measured(self))

    def begin(self) -> None:
        """The manager is ready: its start, with all that it loads, counts no more."""
        self.longest = Stall()
        self._latest = 0.0

    def latest(self) -> float:
        """The longest stall, in seconds, since this was asked the last time."""
        latest, self._latest = self._latest, 0.0
        return latest

    def note(self, seconds: float) -> None:
        """A turn of the loop took so long."""
        if seconds > self._latest:
            self._latest = seconds
            if seconds > self.longest.seconds:
                self.longest = Stall(seconds, self._wall())

    def now(self) -> float:
        """The meter's clock."""
        return self._clock()


class _Measured(selectors.DefaultSelector):
    def __init__(self, meter: StallMeter) -> None:
        super().__init__()
        self._meter = meter
        self._since = meter.now()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._meter.note(self._meter.now() - self._since)
        found = super().select(timeout)
        self._since = self._meter.now()
        return found
