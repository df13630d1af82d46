"""Takes the library's log: each entry is waited for. Imported by the worker: light.

What is for people is printed; what a line means is told to the host by itself (`Word.HINT`), for a line as text is also a stranger's.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING

from wasess.link.logline import debugger, meaning, read_entry, shown, text_at, undelivered, unserved, unstored
from wasess.link.receipts import HEARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.receipts import Receipts

LONGEST_LINE = 4000  # one atomic write to the pipe, or none: PIPE_BUF is 4096
LONGEST_BEGINNING = 32
LONGEST_STANZA = 16 * 1024  # but for a receipt: what it says stands at its end
TELLS_AGAIN_AFTER = 1.0  # seconds; a kind of hint that comes more often says nothing new


class LogReader:
    """``tell`` takes the fields of a hint; ``could_not_store`` SQLite's words, and lets the library go on when it returns."""

    def __init__(self, receipts: Receipts, tell: Callable[..., None], could_not_store: Callable[[str], None]) -> None:
        self._receipts = receipts
        self._tell = tell
        self._could_not_store = could_not_store
        self._told_at: dict[bytes, float] = {}

    def take(self, data: int, size: int) -> None:
        """Take a serialized neonize.LogEntry at an address. Raises `IndexError` when it is none, `OSError` when nobody reads what is printed."""
        start, end = text_at(ctypes.string_at(data, min(size, 6)))
        if logger := debugger(ctypes.string_at(data + end, size - end)) if 0 < end < size else b"":
            line = ctypes.string_at(data + start, min(end - start, LONGEST_BEGINNING))
            if line.startswith(HEARD):
                longest = end - start if line.startswith(b"<receipt ") else LONGEST_STANZA
                self._receipts.hear_debug(ctypes.string_at(data + start, min(end - start, longest)), logger)
            return
        entry = read_entry(ctypes.string_at(data, size))
        if missing := undelivered(entry):
            self._receipts.hear_undelivered(missing)
            if words := unstored(missing):
                self._could_not_store(words)
        if asked := unserved(entry):
            self._receipts.hear_unserved(asked)
        if (found := meaning(entry)) and self._is_news(found):
            self._tell(*(field[:LONGEST_LINE] for field in found))
        os.write(2, shown(entry)[:LONGEST_LINE] + b"\n")

    def _is_news(self, found: tuple[bytes, ...]) -> bool:
        if found[0] == b"unencrypted":
            return True
        kind = found[1] if found[0] == b"database" else found[0]
        now = time.monotonic()
        if now < self._told_at.get(kind, 0.0) + TELLS_AGAIN_AFTER:
            return False
        self._told_at[kind] = now
        return True
