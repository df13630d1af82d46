"""The clock and the alarm of the supervisor, a door of its own so that tests can turn the hands."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """Tells the time and calls later."""

    def now(self) -> float:
        """Return Unix time in seconds."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` on the event loop in ``delay`` seconds."""


class SystemClock:
    """The real one."""

    def now(self) -> float:
        """See `Clock`."""
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        """See `Clock`."""
        return asyncio.get_running_loop().call_later(delay, callback)
