"""The real clock, and waiting on one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.clock import Alarm, Clock


class SystemClock:
    """The real one."""

    def __init__(self) -> None:
        self._began = time.time() - _boottime()

    def now(self) -> float:
        """See `Clock`."""
        return time.time()

    def steady(self) -> float:
        """See `Clock`."""
        return self._began + _boottime()

    def wall_of(self, steady: float) -> float:
        """See `Clock`."""
        return self.now() + (steady - self.steady())

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        """See `Clock`."""
        return asyncio.get_running_loop().call_later(delay, callback)


async def pause(clock: Clock, seconds: float) -> None:
    """Wait on a clock."""
    over = asyncio.Event()
    alarm = clock.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
