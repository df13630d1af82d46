"""`wasess` whose workers write to a slow disk: ``python -m bench.slow_disk FOLDER hold|no-hold serve …``, run in its place.

wasess itself knows nothing of it: the fork server is started with a line more, which wraps two things in the workers that it forks. Each write to
the spool takes `DELAY` seconds longer; and the library's log is listened to, which names a receipt as soon as its event is in the library's channel
and before it goes out. So it is known how many events are in that channel: those whose receipt the library wants to send and whose write is not done.
Each worker keeps that number in FOLDER, in a file named as its pid (`in_channel`).

With ``no-hold``, wasess does not hear of these receipts, so nothing holds them back: the same disk and the same kills must then lose messages.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DELAY = (0.020, 0.040)  # also on a busy machine, events must come faster than that
HOLD, NO_HOLD = "hold", "no-hold"
# Where the line goes in, in the fork server's first program (`wasess.link.nursery`).
BEFORE = "from wasess.link.forkserver import main;"
# The end and the beginning of the library's log entry of a stanza that goes out.
_SENT = b"\x12\x05DEBUG\x1a\x0bClient/Send"
_RECEIPT, _BEGINS_WITHIN = b"<receipt ", 12
_ID, _TYPE = re.compile(rb' id="([^"]*)"'), re.compile(rb' type="([^"]*)"')
_TAKEN = frozenset({b"inactive", b"sender", b"peer_msg", b"hist_sync"})  # or none; any other does not say that a message was taken
_REMEMBERED = 500  # writes whose receipt may come later


class Channel:
    """What one worker's library has handed over, and is not written yet."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: set[bytes] = set()
        self._written: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._file = -1

    def takes(self, message_id: bytes) -> None:
        """Its receipt is to be sent; its event may have been written already, when the channel was empty."""
        with self._lock:
            if not any(message_id in record for record in self._written):
                self._waiting.add(message_id)
            self._tell()

    def arrives(self, record: bytes) -> None:
        """This has been written to the spool."""
        with self._lock:
            self._written.append(record)
            self._waiting = {message_id for message_id in self._waiting if message_id not in record}
            self._tell()

    def _tell(self) -> None:
        if self._file < 0:  # here and not earlier: this is the worker, and no more the fork server
            self._file = os.open(f"{self._folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._file, b"%6d" % len(self._waiting), 0)


def in_channel(folder: Path, pid: int) -> int:
    """How many events are, or were when it died, in this worker's channel; 0 when it has had none."""
    try:
        return int((folder / str(pid)).read_text() or 0)
    except FileNotFoundError:
        return 0


def taken(entry: bytes) -> bytes:
    """The message id of a log entry that says: the receipt for this message goes out; empty for any other entry."""
    at = entry.find(_RECEIPT, 0, _BEGINS_WITHIN + len(_RECEIPT))
    if at < 0 or not entry.endswith(_SENT):
        return b""
    kind = _TYPE.search(entry, at)
    found = _ID.search(entry, at) if kind is None or kind[1] in _TAKEN else None
    return found[1] if found else b""


def slow_down(folder: str, *, hold: bool) -> None:
    """Wrap what the workers of this fork server will use. Raises `AttributeError` when wasess has changed, and it is not there."""
    from wasess.link import spool_file, worker  # noqa: PLC0415 - without site-packages this module must be light

    channel = Channel(folder)
    append, log_callback = spool_file.SpoolFile.append, worker.LogCallback

    def slow_append(spool: spool_file.SpoolFile, record: bytes) -> bool:
        time.sleep(random.uniform(*DELAY))
        has_room = append(spool, record)
        channel.arrives(record)
        return has_room

    def listening(on_log: Callable[[int, int], None]) -> object:
        def hear(data: int, size: int) -> None:
            if message_id := taken(ctypes.string_at(data, size)):
                channel.takes(message_id)
                if not hold:
                    return
            on_log(data, size)

        return log_callback(hear)

    spool_file.SpoolFile.append, worker.LogCallback = slow_append, listening  # type: ignore[method-assign,assignment,misc]


def main(folder: str, hold: str, *command: str) -> None:
    """Run `wasess` so. Ends at once when wasess has changed, and there is no place for it any more."""
    from wasess.__main__ import main as wasess  # noqa: PLC0415 - as above
    from wasess.link import nursery  # noqa: PLC0415 - as above

    if BEFORE not in nursery.BOOTSTRAP:
        sys.exit(f"bench.slow_disk: {BEFORE!r} is not in wasess.link.nursery.BOOTSTRAP any more")
    ours = f"from bench.slow_disk import slow_down; slow_down({folder!r}, hold={hold == HOLD});"
    nursery.BOOTSTRAP = nursery.BOOTSTRAP.replace(BEFORE, f"{ours} {BEFORE}")
    sys.argv = ["wasess", *command]
    wasess()


if __name__ == "__main__":
    main(*sys.argv[1:])
