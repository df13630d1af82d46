"""Writes lines to stdout or stderr from a thread of its own: whoever is to take them may be slow, stopped or gone, and nobody waits for that.

A pipe that nobody reads and a terminal after Ctrl+S take nothing; a full disk, and a pipe whose reader has ended, refuse. What can't be written
is dropped and counted; the count is written as soon as lines are taken again.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

MOST = 1024 * 1024  # characters that wait
WRITTEN_WITHIN = 1.0  # at the end


class QueuedStream:
    """Of a copy of a descriptor (``descriptor``). As a context manager it ends with what can be written within a second.

    ``gap`` makes the text, with its line end, that tells of so many dropped ones. Methods may be called from any thread.
    """

    def __init__(self, descriptor: int, gap: Callable[[int], str]) -> None:
        self.descriptor = os.dup(descriptor)
        self._gap = gap
        self._waiting: deque[str] = deque()
        self._length = 0
        self._dropped = 0
        self._torn = False
        self._writing = False
        self._over = False
        self._change = threading.Condition()
        self._writer = threading.Thread(target=self._work, name="writing", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._change:
            self._over = True
            self._change.notify()
        self._writer.join(WRITTEN_WITHIN)
        if not self._writer.is_alive():  # else it is in the midst of a write that may never end, and ends with the process
            os.close(self.descriptor)

    @property
    def waiting(self) -> bool:
        """Whether a line was neither written nor refused yet."""
        with self._change:
            return bool(self._waiting) or self._writing

    def write(self, text: str) -> None:
        """Queue a line, with its end, or drop it when too much waits."""
        with self._change:
            if self._length + len(text) > MOST:
                self._dropped += 1
                return
            if self._dropped:
                text, self._dropped = self._gap(self._dropped) + text, 0
            self._waiting.append(text)
            self._length += len(text)
            self._change.notify()

    def flush(self) -> None:
        """Nothing is kept here that a flush could bring on."""

    def _work(self) -> None:
        refused = 0
        while True:
            with self._change:
                self._writing = False
                self._change.wait_for(lambda: self._waiting or self._dropped or self._over)
                if not self._waiting and not self._dropped:
                    return
                text, count = (self._waiting.popleft(), 1) if self._waiting else ("", self._dropped)
                self._length -= len(text)
                self._writing = True
                if not text:
                    self._dropped = 0
            if refused or not text:
                text = self._gap(refused + (0 if text else count)) + text
            refused = 0 if self._put(text) else refused + count

    def _put(self, text: str) -> bool:
        """Whether all of it was taken."""
        data = whole = (b"\n" if self._torn else b"") + text.encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:  # somebody has made the terminal or the pipe so
                select.select([], [self.descriptor], [])
            except OSError:
                self._torn |= len(data) < len(whole)
                return False
        self._torn = False
        return True
