"""All rows, in the order of the fault matrix, and the choice of some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.drill import disk, inputs, network, processes, words
from wasess.errors import UsageError
from wasess.words import _

if TYPE_CHECKING:
    from wasess.drill.row import Row

ROWS: tuple[Row, ...] = (*network.ROWS, *words.ROWS, *processes.ROWS, *disk.ROWS, *inputs.ROWS)


def chosen(names: tuple[str, ...]) -> tuple[Row, ...]:
    """The rows of these names, in the order of the matrix; all of them for none. Raises `UsageError`, listing what there is."""
    known = {row.name for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        sentence = _("there is no row {rows}; the rows are {known}").format(
            rows=", ".join(map(ascii, unknown)), known=", ".join(row.name for row in ROWS)
        )
        raise UsageError(sentence, hint="wasess drill --list")
    return tuple(row for row in ROWS if not names or row.name in names)
