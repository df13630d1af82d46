"""Hears what is written to a descriptor past us: a bot's stderr, a print, Python's last words. Each line comes to one place.

A bot may quote its messages, so its lines are as little to be trusted as a stranger's. The descriptor itself is replaced, for children
inherit it: nothing can be written that does not come by here. Who writes more than is taken waits, as for any pipe: a bot that prints
without end must not take the processor from the event loop.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST = 64 * 1024  # bytes; what is more than this of one line is left out
READ_WITHIN = 1.0  # at the end
SHARE = 0.2  # of the processor, at most


@contextmanager
def overheard(descriptor: int, hear: Callable[[str], None]) -> Iterator[None]:
    """Inside the ``with`` block ``hear`` is called, from a thread, with each line that is written to the descriptor. At the end all is heard."""
    original = os.dup(descriptor)
    readable, writable = os.pipe()
    over, end = os.pipe()
    listener = threading.Thread(target=_listen, args=(readable, over, hear), name="overhearing", daemon=True)
    listener.start()
    os.dup2(writable, descriptor)
    os.close(writable)
    try:
        yield
    finally:
        os.dup2(original, descriptor)
        os.close(original)
        os.close(end)
        listener.join(READ_WITHIN)
        if not listener.is_alive():  # else it still has its ends in use
            os.close(readable)
            os.close(over)


def _listen(readable: int, over: int, hear: Callable[[str], None]) -> None:
    """Until nobody can write any more, or it is over and all is read."""
    rest, too_long = b"", False
    while True:
        began = time.thread_time()
        ready, _, _ = select.select([readable, over], [], [])
        if readable not in ready:
            break
        data = os.read(readable, LONGEST)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not too_long:
                hear(_text(line))
            too_long = False
        if len(rest) > LONGEST:
            if not too_long:
                hear(_text(rest))
            rest, too_long = b"", True
        time.sleep((time.thread_time() - began) * (1 / SHARE - 1))
    if rest and not too_long:
        hear(_text(rest))


def _text(line: bytes) -> str:
    return line[:LONGEST].decode(errors="backslashreplace").removesuffix("\r")
