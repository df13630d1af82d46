"""The worker's sign of life: about once a second, on the host's socket, `Word.BEAT`. Imported by the worker: light."""

from __future__ import annotations

import array
import fcntl
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

# A look at what is unread is worth doing once for so many beats.
LOOK_EVERY = 8

_TIOCOUTQ = 0x5411


class Pulse:
    """Knows when a beat is due and what it says. For the thread that beats, but for ``handing_over_since``. Times are monotonic."""

    def __init__(self, control: socket.socket) -> None:
        self.handing_over_since = 0.0  # when the event callback was entered; 0 outside it
        self._control = control
        self._line = Line()
        self._trusted = 0
        self._due = 0.0

    def wait(self, timeout: float | None, now: float) -> int:
        """Return the milliseconds to the next beat, or of ``timeout`` (seconds) when that is shorter."""
        left = max(0.0, self._due - now)
        return int(1000 * (left if timeout is None else min(left, timeout))) + 1

    def words(self, now: float, *, up: bool = False) -> tuple[bytes, bytes] | None:
        """Return the fields of a beat that is due now, None when there is nothing to say, or a reason to be silent.

        ``up``: the session has had a connection, even if no beat has seen it.
        """
        if now < self._due:
            return None
        self._due = now - now % EVERY + EVERY  # all workers together: the host wakes up once
        ages = self._line.look(now, up=up)
        since = self.handing_over_since
        if (since and now - since > STUCK_AFTER) or not self._read_lately():
            return None
        line, unacknowledged = (b"%d" % (age * 1000) for age in ages)
        return line, unacknowledged

    def _read_lately(self) -> bool:
        """Whether the host reads what it is told."""
        if not self._trusted:
            unread = array.array("i", [0])
            fcntl.ioctl(self._control, _TIOCOUTQ, unread)
            if unread[0] > MAX_UNREAD_BYTES:
                return False
            self._trusted = LOOK_EVERY
        self._trusted -= 1
        return True
