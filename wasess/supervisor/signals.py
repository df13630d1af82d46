"""SIGTERM and SIGINT: the first asks to drain, the second to be gone."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ending_signals(drain: Callable[[], None], leave: Callable[[], None]) -> Iterator[None]:
    """Call ``drain`` at the first of the signals and ``leave`` at every further one, on the running loop, inside the ``with`` block."""
    loop = asyncio.get_running_loop()
    calls = iter([drain])

    def arrived() -> None:
        next(calls, leave)()

    for number in ENDING:
        loop.add_signal_handler(number, arrived)
    try:
        yield
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
