"""The worker's sign of life: about once a second, on the host's socket, `Word.BEAT`. Imported by the worker: light."""

from __future__ import annotations

import array
import fcntl
import time
from typing import TYPE_CHECKING

from wasess.link.line import Line

if TYPE_CHECKING:
    import socket

EVERY = 1.0
# Handing an event over takes microseconds. One that takes this long hangs, and all the others wait behind it.
STUCK_AFTER = 5.0
# The kernel counts 768 bytes for a beat. A host that stands still gets no more of them: they would fill the socket, and what else
# the worker has to say would fail.
MAX_UNREAD_BYTES = 8192

_TIOCOUTQ = 0x5411


class Pulse:
    """Knows when a beat is due and what it says. For the thread that beats, but for ``handing_over_since``."""

    def __init__(self, control: socket.socket) -> None:
        self.handing_over_since = 0.0  # when the event callback was entered; 0 outside it
        self._control = control
        self._line = Line()
        self._due = time.monotonic()

    def wait(self, timeout: float | None) -> int:
        """Return the milliseconds to the next beat, or of ``timeout`` (seconds) when that is shorter."""
        left = max(0.0, self._due - time.monotonic())
        return int(1000 * (left if timeout is None else min(left, timeout))) + 1

    def words(self) -> tuple[bytes, bytes] | None:
        """Return the fields of a beat that is due now, None when there is nothing to say, or a reason to be silent."""
        now = time.monotonic()
        if now < self._due:
            return None
        self._due = now + EVERY
        ages = self._line.look(now)
        since = self.handing_over_since
        if (since and now - since > STUCK_AFTER) or self._unread() > MAX_UNREAD_BYTES:
            return None
        line, unacknowledged = (b"%d" % (age * 1000) for age in ages)
        return line, unacknowledged

    def _unread(self) -> int:
        """How many bytes the host has not read, as the kernel counts them."""
        found = array.array("i", [0])
        fcntl.ioctl(self._control, _TIOCOUTQ, found)
        return found[0]
