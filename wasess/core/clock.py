"""The clock and the alarm that everything which waits is given, a door of its own so that tests can turn the hands.

Two times: *wall* time is what people and files are told, and it jumps when somebody sets the clock. *Steady* time never does; it
looks like Unix time, begins where wall time was when the clock was made, and passes while the machine sleeps (CLOCK_BOOTTIME).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """Tells the time and calls later. All in seconds."""

    def now(self) -> float:
        """Return the wall time."""

    def steady(self) -> float:
        """Return the steady time."""

    def wall_of(self, steady: float) -> float:
        """Return the wall time of a steady moment, as the clock is set now."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` on the event loop in ``delay`` seconds; time in which the machine sleeps does not count."""
