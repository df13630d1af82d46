"""SIGTERM, SIGINT and SIGHUP (the terminal is closed): the first asks to drain, the second to be gone."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def ending_signals(drain: Callable[[], None], leave: Callable[[], None]) -> Iterator[None]:
    """Call ``drain`` at the first of the signals and ``leave`` at every further one, on the running loop, inside the ``with`` block.

    A signal that was ignored before stays so: ``nohup`` does that with SIGHUP.
    """
    loop = asyncio.get_running_loop()
    caught = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    calls = iter([drain])

    def arrived() -> None:
        next(calls, leave)()

    for number in caught:
        loop.add_signal_handler(number, arrived)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
