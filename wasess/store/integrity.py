"""Whether a database is whole, asked of SQLite without disturbing whoever works with it: read-only, from another process, and not for long."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from wasess.store.disk import cut_off, sqlite_at_work

if TYPE_CHECKING:
    from pathlib import Path

ENOUGH = 1.0  # the library waits 5 s for a lock; a check of 10 MB takes 0.05 s
STEPS = 20_000  # of SQLite's machine, between two looks at the clock
MOST_FAULTS = 3


class Unchecked(Exception):
    """It can't be told now: the file is busy, or large, or needs a rollback that is its holder's to do. The message says which."""


def faults(path: Path, table: str = "") -> list[str]:
    """What ``PRAGMA quick_check`` finds in the database at ``path``, in SQLite's words; empty when it is whole. Raises `Unchecked`.

    ``table`` is to be there, too. Never in the worker (two SQLite libraries, one file). Look at the file first: `guard.guard_file`.
    """
    deadline = time.monotonic() + ENOUGH
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with sqlite_at_work(path), closing(sqlite3.connect(address, uri=True, timeout=ENOUGH, isolation_level=None)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
            rows = connection.execute(f"PRAGMA quick_check({MOST_FAULTS})").fetchall()
            if table and not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
                rows.append((f"no such table: {table}",))
    except UnicodeDecodeError as error:  # SQLite quotes a name that is damaged
        return [str(error)]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return [str(error)]
        raise Unchecked(str(error)) from error
    found = [line for (text,) in rows for line in str(text).splitlines() if text != "ok"][: MOST_FAULTS + 1]
    return found or (["it is shorter than its header says"] if cut_off(path) else [])
