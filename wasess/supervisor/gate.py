"""Who may dial, and when: so many at a time, so many a second, first come first served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasess.core.pace import Pace
from wasess.supervisor.clock import pause

if TYPE_CHECKING:
    from wasess.core.clock import Alarm, Clock


class Place:
    """A turn that has come. Leave it once the dial is over, well or badly; a dial that takes long loses it by itself."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places
        self._alarm: Alarm | None = None

    def leave(self) -> None:
        """Let the next one in. May be called twice."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._places is not None:
            self._places.release()
            self._places = None

    def leave_at(self, alarm: Alarm) -> None:
        """Remember the alarm that makes it leave."""
        self._alarm = alarm


class Gate:
    """``max_parallel`` places, each for ``place_for`` seconds at most; ``per_second`` dials, of which as many as there are places may come at once."""

    def __init__(self, max_parallel: int, per_second: float, clock: Clock, place_for: float = 1.0) -> None:
        self._line = asyncio.Lock()  # held by whoever is first in it; the others wait in the order they came in
        self._places = asyncio.Semaphore(max_parallel)
        self._pace = Pace.full(per_second, min(float(max_parallel), max(1.0, per_second)), clock.steady())
        self._clock = clock
        self._place_for = place_for

    async def turn(self) -> Place:
        """Wait for a place and for its moment. Cancelled, it gives both up, and holds up nobody."""
        async with self._line:
            await self._places.acquire()
            place = Place(self._places)
            try:
                while wait := self._pace.wait(self._clock.steady()):
                    await pause(self._clock, wait)
                self._pace, _ = self._pace.take(self._clock.steady())
                place.leave_at(self._clock.call_later(self._place_for, place.leave))
            except BaseException:
                place.leave()
                raise
            return place
