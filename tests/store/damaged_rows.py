"""Changes rows of an ``inbox.db`` as a disk does that flips bits: in the file, behind SQLite's back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from pathlib import Path


def scratch(folder: Path, old: bytes, new: bytes) -> int:
    """Write over each ``old`` in the pages of its tables, and not in its indexes; return how many there were."""
    assert len(old) == len(new)
    path = folder / MAIL_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    done = 0
    for start in range(4096, len(content), 4096):
        page = content[start : start + 4096]
        if page[0] in {10, 2, 5}:  # of an index, or within a table's tree
            continue
        done += page.count(old)
        content[start : start + 4096] = page.replace(old, new)
    path.write_bytes(content)
    return done


def set_value(folder: Path, statement: str, *values: object) -> None:
    """What SQLite lets anybody write: values of any type, whatever the table says."""
    with closing(sqlite3.connect(folder / MAIL_NAME)) as connection, connection:
        connection.execute(statement, values)
