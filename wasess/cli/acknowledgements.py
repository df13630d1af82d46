"""What the reader of `wasess tail --ack` says on our stdin: lines ``USER POSITION``, or ``POSITION`` when one session is read."""

from __future__ import annotations

import os
import queue
import threading
from typing import NamedTuple

LONGEST_LINE = 1000
CHUNK = 65_536


class Acknowledged(NamedTuple):
    """Everything of ``user`` up to ``position`` was dealt with."""

    user: str
    position: int


class Acknowledgements:
    """Reads a descriptor in a thread of its own, so that a reader who writes is never kept waiting.

    ``only_user``: whom a line without a name is about; empty when there is no such one. ``over``: the reader has closed it.
    """

    def __init__(self, descriptor: int, only_user: str) -> None:
        self.over = False
        self._descriptor = descriptor
        self._only_user = only_user
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, patience: float) -> Acknowledged | None:
        """The next one that comes within so many seconds; None when none does. Raises ValueError for a line that is none."""
        if self.over:
            return None
        try:
            line = self._lines.get(timeout=patience) if patience else self._lines.get_nowait()
        except queue.Empty:
            return None
        if line is None:
            self.over = True
            return None
        return understood(line, self._only_user)

    def _read(self) -> None:
        rest = b""
        try:
            while chunk := os.read(self._descriptor, CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._lines.put(line)
                rest = rest[:LONGEST_LINE]
        except OSError:  # as good as closed
            rest = b""
        if rest:
            self._lines.put(rest)
        self._lines.put(None)


def understood(line: bytes, only_user: str) -> Acknowledged | None:
    """What a line says; None when it is empty. Raises ValueError."""
    words = line.split()
    if not words:
        return None
    if len(words) > 2 or (len(words) == 1 and not only_user) or not words[-1].isdigit() or len(words[-1]) > 19:
        raise ValueError("no USER POSITION")
    return Acknowledged(words[0].decode(errors="replace") if len(words) == 2 else only_user, int(words[-1]))
