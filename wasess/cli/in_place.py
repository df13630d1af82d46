"""SHOWS results one over the other, on the terminal's alternate screen: what stood there before comes back when it is over."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.screen import Screen
from rich.text import Text

from wasess.cli.render import columns_of, emit, shown
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasess.cli.result import Result

USUAL_HEIGHT = 24  # of a terminal that does not know its own


@contextmanager
def in_place() -> Iterator[Callable[[Result], None]]:
    """What shows a result in place of the one before; fits a window that has changed its size.

    Ctrl+C and SIGTERM raise KeyboardInterrupt, once the screen is as it was and the last result stands on it.
    """
    console, terminal = Console(), sys.stdout.fileno()
    last: Result | None = None

    def show(result: Result) -> None:
        nonlocal last
        last = result
        rows = os.get_terminal_size(terminal).lines or USUAL_HEIGHT
        console.size = (columns_of(terminal), rows)
        console.update_screen(Screen(Text.from_ansi("\n".join(_cut(list(shown(result)), rows)), no_wrap=True)))

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with console.screen():
            yield show
    except KeyboardInterrupt:
        if last:
            emit(last, as_json=False)
        raise


def _cut(lines: list[str], rows: int) -> list[str]:
    """As many lines as there are rows; the last one tells how many are left out."""
    if len(lines) <= rows:
        return lines
    left_out = len(lines) - (rows - 1)
    return [*lines[: rows - 1], _("… {count} more lines; enlarge the window").format(count=left_out)]
