"""What `connect` shows while it waits for the phone, as lines that fit a given window. Pure: `cli.screen` puts them there."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.cli.pairing import CODES
from wasess.cli.qr import Matrix, fit, framed, half_blocks, smallest_size
from wasess.core.escaping import harmless
from wasess.words import _, mark

if TYPE_CHECKING:
    from pathlib import Path

WHERE_TO_SCAN = mark("On the phone: WhatsApp > Linked devices > Link a device")
WHERE_TO_TYPE = mark("On the phone: WhatsApp > Linked devices > Link a device > Link with phone number instead")
DARK_ONLY = mark("No colours: readable on a dark background only; on a light one use --png FILE.")
STATUS_ROWS = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A code to scan. ``png``: the file that has it, too."""

    user: str
    code: Matrix
    number: int
    until: float
    png: Path | None = None


@dataclass(frozen=True, slots=True)
class Letters:
    """A code to type into the phone."""

    user: str
    text: str
    until: float


View = Picture | Letters


def body(view: View, rows: int, columns: int, *, colour: bool) -> list[str]:
    """Everything but the status line; at most ``rows - 1`` lines, each at most ``columns`` wide. A code is complete or not there at all."""
    if isinstance(view, Letters):
        return _cropped([_(WHERE_TO_TYPE), "", f"    {view.text}", ""], rows, columns)
    above = _wrapped([_(WHERE_TO_SCAN)] if colour else [_(WHERE_TO_SCAN), _(DARK_ONLY)], columns)
    matrix = fit(view.code, rows - len(above) - STATUS_ROWS, columns)
    if matrix:
        return above + half_blocks(matrix, colour=colour)
    return _cropped(_too_small(view, rows, columns), rows, columns)


def status(view: View, now: float, columns: int) -> str:
    """The line below: which code, how long it lives."""
    left = max(0, round(view.until - now))
    if isinstance(view, Letters):
        return _("{user}: {left} s left. Ctrl+C stops.").format(user=view.user, left=left)[: columns - 1]
    if view.number < CODES:
        said = _("{user}: code {number} of {codes}, a new one in {left} s. Ctrl+C stops.")
    else:
        said = _("{user}: code {number} of {codes}, the last one, {left} s left. Ctrl+C stops.")
    also = " " + _("Also in {png}.").format(png=harmless(str(view.png))) if view.png else ""
    return (said.format(user=view.user, number=view.number, codes=CODES, left=left) + also)[: columns - 1]


def plain(view: View) -> list[str]:
    """The same for a pipe or a dumb terminal: said once, nothing moves."""
    if isinstance(view, Letters):
        return [_(WHERE_TO_TYPE), "", f"    {view.text}", ""]
    if view.png:
        text = _("{user}: code {number} of {codes} is in {png}. {where}")
        return [text.format(user=view.user, number=view.number, codes=CODES, png=harmless(str(view.png)), where=_(WHERE_TO_SCAN))]
    below = _("{user}: code {number} of {codes}").format(user=view.user, number=view.number, codes=CODES)
    return [_(WHERE_TO_SCAN), _(DARK_ONLY), *half_blocks(framed(view.code), colour=False), below]


def _too_small(view: Picture, rows: int, columns: int) -> list[str]:
    needed_rows, needed_columns = smallest_size(view.code)
    needed_rows += len(_wrapped([_(WHERE_TO_SCAN)], max(columns, needed_columns))) + STATUS_ROWS
    small = _("The code needs {needed_rows} rows and {needed_columns} columns; this window has {rows} rows and {columns} columns.").format(
        needed_rows=needed_rows, needed_columns=needed_columns, rows=rows, columns=columns
    )
    if view.png:
        return [small, _("It is in {png}.").format(png=harmless(str(view.png))), _(WHERE_TO_SCAN)]
    return [
        small,
        _("Enlarge the window or zoom out (Ctrl and -): the code appears by itself."),
        _("Or press Ctrl+C and choose another way:"),
        f"  wasess connect {view.user} --png FILE",
        f"  wasess connect {view.user} --phone NUMBER",
    ]


def _wrapped(lines: list[str], columns: int) -> list[str]:
    return [
        part for line in lines for part in (textwrap.wrap(line, max(columns, 1), subsequent_indent="  " if columns > 20 else "") or [""])
    ]


def _cropped(lines: list[str], rows: int, columns: int) -> list[str]:
    return _wrapped(lines, columns)[: max(rows - STATUS_ROWS, 0)]
