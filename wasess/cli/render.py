"""SHOWS a result or a failure: results on stdout, everything else on stderr; colours only on a terminal, and never with NO_COLOR."""

from __future__ import annotations

import codecs
import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

from wasess.cli.layout import laid_out, wrapped
from wasess.cli.result import failure_envelope, success_envelope
from wasess.core.escaping import harmless
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasess.cli.result import Failure, Result

USUAL_WIDTH = 80  # of a terminal that does not know its own


def colourful(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether escape codes are welcome there: a terminal that is not dumb, and no NO_COLOR."""
    return can_redraw(stream, environment) and not environment.get("NO_COLOR")


def can_redraw(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the cursor can be moved there."""
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb"


def emit(result: Result, *, as_json: bool) -> int:
    """Print a result; return the command's exit code."""
    if as_json:
        _document(success_envelope(result))
        return result.exit_code
    sys.stdout.writelines(f"{line}\n" for line in shown(result))
    sys.stdout.flush()
    _suggest(result.hint)
    return result.exit_code


def shown(result: Result) -> Iterator[str]:
    """The lines for people: fit for the window on a terminal; sentences whole and rows with tabs, without headings, in a pipe."""
    yield from result.text
    width = window_width(sys.stdout)
    for line in map(harmless, result.lines):
        yield from wrapped(line, width, rest="  ") if width else [line]
    cells = [tuple(map(harmless, row)) for row in result.table[1:]]
    if not width:
        yield from map("\t".join, cells)
    elif result.table:
        headings, *rows = laid_out((tuple(map(_, result.table[0])), *cells), width)
        yield from (f"\x1b[1m{line}\x1b[0m" for line in headings) if colourful(sys.stdout) else headings
        yield from (line for row in rows for line in row)


def tell(line: str) -> None:
    """Print a line of a result as soon as it is known."""
    _print(line, sys.stdout)


def mention(line: str) -> None:
    """Print a line that is no part of the result."""
    _print(line, sys.stderr)


def complain(failure: Failure, *, as_json: bool) -> int:
    """Print a failure; return its exit code."""
    if as_json:
        _document(failure_envelope(failure))
        return failure.exit_code
    word = _("error:")
    label = f"\x1b[31m{word}\x1b[0m" if colourful(sys.stderr) else word
    first, *others = fitted(f"{word} {failure.message}", sys.stderr)
    sys.stderr.writelines(f"{line}\n" for line in (first.replace(word, label, 1), *others))
    _suggest(failure.hint)
    return failure.exit_code


def window_width(stream: TextIO) -> int:
    """The columns of the terminal that a stream goes to; 0 for anything else."""
    return columns_of(stream.fileno()) if stream.isatty() else 0


def columns_of(terminal: int) -> int:
    """The columns of a terminal (a descriptor), also of one that does not know how many it has."""
    return os.get_terminal_size(terminal).columns or USUAL_WIDTH


def fitted(text: str, stream: TextIO) -> list[str]:
    """The lines of a sentence, made harmless: it may quote what somebody typed, or a file's name. A terminal gets it broken between words."""
    width = window_width(stream)
    line = harmless(text)
    return wrapped(line, width, rest="  ") if width else [line]


def _suggest(hint: str) -> None:
    """The next thing to do, if there is one."""
    if hint:
        _print(_("  next: {hint}").format(hint=hint), sys.stderr)


def in_json(value: object, indent: int | None = None) -> str:
    """JSON, in one line without ``indent``; readable, but without what could steer a terminal. For stdout: ASCII where that is not UTF-8."""
    text = json.dumps(value, ensure_ascii=not _takes_unicode(sys.stdout), indent=indent)
    return "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def _takes_unicode(stream: TextIO) -> bool:
    return codecs.lookup(stream.encoding or "utf-8").name in {"utf-8", "utf-16", "utf-32"}


def _document(envelope: Mapping[str, object]) -> None:
    sys.stdout.write(f"{in_json(envelope)}\n")
    sys.stdout.flush()


def _print(text: str, stream: TextIO) -> None:
    stream.writelines(f"{line}\n" for line in fitted(text, stream))
    stream.flush()
