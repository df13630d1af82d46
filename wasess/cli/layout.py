"""Text that fits a window: sentences broken between words, tables with straight columns. Pure."""

from __future__ import annotations

import re
import textwrap
from itertools import zip_longest

GAP = 2
READABLE = 32  # a column of sentences that is narrower than this stands beneath its row
LONGEST_WORD = 24  # a longer one (a path) is broken where there is no room for it
BENEATH = " " * 4
NOTHING = "-"

# What belongs together: a command, as long as it fits, for it is to be copied; a number and its unit; a date and its time.
_WHOLE = re.compile(r"`[^`]+`|\bwasess(?: [^\s:;,()]+)+|(?<=\d) (?=[^\W\d_]|%)|(?<=-\d\d) (?=\d\d:)")
_GLUE = "\N{NO-BREAK SPACE}"

Table = tuple[tuple[str, ...], ...]


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """The lines of a text, each at most ``width`` wide unless a word is longer; ``first`` and ``rest`` stand before them."""
    glued = _glued(text, width - len(rest))
    lines = textwrap.wrap(glued, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_GLUE, " ") for line in lines] or [first.rstrip()]


def laid_out(table: Table, width: int) -> list[list[str]]:
    """The lines of each row of a table (first row: headings), at most ``width`` wide.

    A row is one line where that fits. Otherwise cells are broken between words, the widest columns first. Sentences in the last column
    that would get too little room stand beneath their row, and the rest of a row beneath a name (first column) that is too long.
    """
    columns = list(zip(*table, strict=True))
    widths = _widths(columns, width)
    sentences: tuple[str, ...] = ()
    if widths[-1] < READABLE < max(map(len, columns[-1])):
        sentences = columns.pop()
        widths = _widths(columns, width)
    rows = [_row(cells, widths, width) for cells in zip(*columns, strict=True)]
    for row, sentence in zip(rows, sentences, strict=False):
        if row is not rows[0] and sentence != NOTHING:
            row.extend(wrapped(sentence, width, BENEATH, BENEATH))
    return rows


def _widths(columns: list[tuple[str, ...]], width: int) -> list[int]:
    """How wide each column is: as its widest cell, or as much narrower as it must be and can."""
    room = width - GAP * (len(columns) - 1)
    words = [max(len(word) for cell in cells for word in _glued(cell, READABLE).split(" ")) for cells in columns]
    parts = [min(longest, LONGEST_WORD) for longest in words]
    left = max(room - sum(parts[1:]), len(columns[0][0]))
    words[0] = parts[0] = max(len(name) for name in columns[0] if len(name) <= left)
    widths = [words[0], *(max(map(len, cells)) for cells in columns[1:])]
    for least in (words, parts):
        while sum(widths) > room and (can := [number for number in range(len(widths)) if widths[number] > least[number]]):
            widths[max(can, key=widths.__getitem__)] -= 1
    return widths


def _row(cells: tuple[str, ...], widths: list[int], width: int) -> list[str]:
    name, *others = cells
    above = []
    if len(name) > widths[0]:
        above, name = textwrap.wrap(name, width, break_on_hyphens=False), ""
    parts = [
        textwrap.wrap(_glued(cell, READABLE), room, break_on_hyphens=False) for cell, room in zip((name, *others), widths, strict=True)
    ]
    lines = (
        (part.replace(_GLUE, " ").ljust(room) for part, room in zip(line, widths, strict=True))
        for line in zip_longest(*parts, fillvalue="")
    )
    return above + [(" " * GAP).join(line).rstrip() for line in lines]


def _glued(text: str, room: int) -> str:
    """The text with what belongs together glued, unless that alone is wider than ``room``."""
    return _WHOLE.sub(lambda found: found[0].replace(" ", _GLUE) if len(found[0]) <= room else found[0], text)
