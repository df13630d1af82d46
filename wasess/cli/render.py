"""SHOWS a result or a failure: results on stdout, everything else on stderr; colours only on a terminal, and never with NO_COLOR."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

from wasess.cli.result import failure_envelope, success_envelope
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, RenderableType
    from rich.live import Live

    from wasess.cli.result import Failure, Result

NAME_WIDTH = 20


def colourful(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether escape codes are welcome there: a terminal that is not dumb, and no NO_COLOR."""
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("NO_COLOR")


def emit(result: Result, *, as_json: bool) -> int:
    """Print a result; return the command's exit code."""
    if as_json:
        _document(success_envelope(result))
        return result.exit_code
    sys.stdout.writelines(f"{line}\n" for line in result.lines)
    if result.table:
        _table(result.table)
    sys.stdout.flush()
    _suggest(result.hint)
    return result.exit_code


def tell(line: str) -> None:
    """Print a line of a result as soon as it is known."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(failure: Failure, *, as_json: bool) -> int:
    """Print a failure; return its exit code."""
    if as_json:
        _document(failure_envelope(failure))
        return failure.exit_code
    word = _("error:")
    label = f"\x1b[31m{word}\x1b[0m" if colourful(sys.stderr) else word
    sys.stderr.write(f"{label} {harmless(failure.message)}\n")
    _suggest(failure.hint)
    return failure.exit_code


def harmless(text: str) -> str:
    """The text without what could steer a terminal: it may quote what somebody typed, or a file's name."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def _suggest(hint: str) -> None:
    """The next thing to do, if there is one."""
    if hint:
        sys.stderr.write(_("  next: {hint}").format(hint=harmless(hint)) + "\n")


def _document(envelope: Mapping[str, object]) -> None:
    text = json.dumps(envelope, ensure_ascii=False)
    sys.stdout.write("".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text) + "\n")
    sys.stdout.flush()


def _table(table: tuple[tuple[str, ...], ...]) -> None:
    """A table with rich on a terminal; tab-separated lines without headings in a pipe."""
    if sys.stdout.isatty():
        _console().print(grid((), table))
        return
    sys.stdout.writelines("\t".join(row) + "\n" for row in table[1:])


def grid(lines: tuple[str, ...], table: tuple[tuple[str, ...], ...]) -> RenderableType:
    """Lines and a table (first row: headings) for a console: names of usual length stay whole, all else is wrapped at its words."""
    from rich.console import Group  # noqa: PLC0415 - 60 ms that only a table on a terminal needs
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = Table(box=None, header_style="bold", pad_edge=False)
    headings = table[0] if table else ()
    for number, heading in enumerate(headings):
        longest = max((len(row[number]) for row in table[1:]), default=0)
        shown.add_column(_(heading), min_width=min(longest, NAME_WIDTH) if number == 0 else None, overflow="fold")
    for row in table[1:]:
        shown.add_row(*map(Text, row))
    return Group(*map(Text, lines), *([shown] if table else []))


def drawn() -> Live:
    """A place on the terminal that is drawn anew, as a context manager."""
    from rich.live import Live  # noqa: PLC0415 - as above

    return Live(console=_console(), auto_refresh=False, transient=False)


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(no_color=not colourful(sys.stdout), highlight=False, markup=False)
