"""What a worker prints: the library's log lines, Go's own prints, a Python traceback. Made into redacted log lines of bounded length."""

from __future__ import annotations

import os
import re

from wasess.core.redact import redact

MAX_LINE = 500
# A pipe write by the worker is at most this long; a longer line is cut off here.
MAX_PENDING = 4096
# Worth more than the exit status when a process dies.
LAST_WORDS = ("fatal error:", "panic:", "SIG")
# Said by other means, or for a terminal.
NOISE = ("Press Ctrl+C to exit", "Login event:", "SendMessage: Error sending message:")

_LEVEL = re.compile(r"(?:DEBUG|INFO|WARN|ERROR) ")


class Output:
    """The read end of a worker's output pipe.

    ``last_words`` is the first fatal line, redacted. The lines are for people: they quote strangers, and nothing is read from them.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed = False
        self.last_words = ""
        self._pending = b""

    def read(self) -> list[str]:
        """Return the lines that have arrived: ``LEVEL text`` each, without secrets."""
        data = self._take()
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > MAX_PENDING or (self.closed and self._pending):
            lines.append(self._pending)
            self._pending = b""
        return [shown for line in lines if (shown := self._line(line[:MAX_PENDING].decode(errors="replace").strip()))]

    def close(self) -> None:
        """Close the pipe; may be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor, self.closed = -1, True

    def _take(self) -> bytes:
        found = bytearray()
        while not self.closed and len(found) < 1 << 20:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            self.closed = not data
            found += data
        return bytes(found)

    def _line(self, line: str) -> str:
        if not line or line.startswith(NOISE):
            return ""
        shown = redact(line)[:MAX_LINE]
        if not self.last_words and line.startswith(LAST_WORDS):
            self.last_words = shown
        return shown if _LEVEL.match(shown) else f"INFO {shown}"
