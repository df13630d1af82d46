"""SHOWS a pairing on stderr: in place on a terminal, once a code elsewhere.

On a terminal the code stands on the alternate screen, as a pager's text does: it never gets into the scrollback, and nothing of it stays when
it is over. Between two codes the old one is erased before the new one is drawn, so a screen read at any instant holds one whole code or none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TextIO

from wasess.cli import code_view
from wasess.cli.layout import wrapped
from wasess.cli.render import can_redraw, colourful, columns_of
from wasess.core.escaping import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasess.cli.code_view import View

ENTER = "\x1b[?1049h"  # the alternate screen
LEAVE = "\x1b[0m\x1b[2J\x1b[H\x1b[?1049l"
ERASE = "\x1b[0m\x1b[2J\x1b[H"
ERASE_LINE = "\x1b[0m\x1b[K"


class Screen(Protocol):
    """Where a person looks."""

    def show(self, view: View, now: float) -> None:
        """Show this from now on instead of what was there."""

    def refresh(self, now: float) -> None:
        """Let the countdown go on, and fit a window that has changed its size."""

    def say(self, sentence: str) -> None:
        """Take the code away and print a line."""

    def close(self) -> None:
        """Take the code away."""


def screen_on(stream: TextIO, environment: Mapping[str, str]) -> Screen:
    """The screen that fits a stream."""
    if can_redraw(stream, environment):
        return TerminalScreen(stream.fileno(), colour=colourful(stream, environment))
    return PlainScreen(stream)


class TerminalScreen:
    """A terminal that can be painted. Writes to the descriptor itself, in UTF-8."""

    def __init__(self, descriptor: int, *, colour: bool) -> None:
        self._descriptor = descriptor
        self._colour = colour
        self._view: View | None = None
        self._drawn: tuple[View, os.terminal_size] | None = None
        self._status_row = 1

    def show(self, view: View, now: float) -> None:
        """Draw it on the alternate screen."""
        if self._view is None:
            self._write(ENTER)
        self._view = view
        self.refresh(now)

    def refresh(self, now: float) -> None:
        """Rewrite the countdown; draw all of it again only when the window has another size."""
        if self._view is None:
            return
        size = os.get_terminal_size(self._descriptor)
        if self._drawn != (self._view, size):
            self._draw(self._view, size)
        line = code_view.status(self._view, now, size.columns)
        self._write(f"\x1b[{self._status_row};1H{line}{ERASE_LINE}")

    def say(self, sentence: str) -> None:
        """Print a line on the normal screen."""
        self.close()
        self._write("".join(f"{line}\r\n" for line in wrapped(harmless(sentence), columns_of(self._descriptor), rest="  ")))

    def close(self) -> None:
        """Erase the code and give the normal screen back."""
        if self._view is not None:
            self._view = self._drawn = None
            self._write(LEAVE)

    def _draw(self, view: View, size: os.terminal_size) -> None:
        lines = code_view.body(view, size.lines, size.columns, colour=self._colour)
        self._write(ERASE + "".join(f"\x1b[{row};1H{line}" for row, line in enumerate(lines, start=1)))
        self._status_row = len(lines) + 1
        self._drawn = (view, size)

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._descriptor, data) :]


class PlainScreen:
    """A pipe, a file, a dumb terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, view: View, _now: float) -> None:
        """Print it once."""
        self._print(code_view.plain(view))

    def refresh(self, now: float) -> None:
        """Nothing moves here."""

    def say(self, sentence: str) -> None:
        """Print a line."""
        self._print([sentence])

    def close(self) -> None:
        """Nothing can be taken back here."""

    def _print(self, lines: list[str]) -> None:
        self._stream.writelines(f"{harmless(line)}\n" for line in lines)
        self._stream.flush()
