"""What becomes of ``inbox.db`` when it is removed, replaced or cut while it is open: what the open connection holds is put back in its place.

WhatsApp has been told that those messages were taken, so they win over whatever somebody has put there; that goes to ``kept/``. The
copy is complete and on the disk before anything else is touched, and its name says so: whoever opens the mail next finishes the work.

SQLite must not find another file behind a connection's back: files are looked at by their names alone, never opened (`store.disk`).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from wasess.store.atomic import sync_folder
from wasess.store.disk import Identity
from wasess.store.guard import FILE_MODE, guard_file
from wasess.store.names import SIDE_FILES
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

RESCUED = ".rescued"
"""What the name of a whole copy ends with."""


class Watched:
    """The files of an open database: which they are, and how long the database was. ``path`` is the database's."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")))
        self._known: dict[Path, Identity] = {}
        self._size = 0
        self.fault()

    def fault(self) -> str:
        """Which of them is not what it was any more, and what has become of it; empty when nothing has. Three system calls."""
        for path in self._paths:
            try:
                found = path.lstat()
            except OSError:
                if path in self._known:
                    return f"{path.name} {_('was removed')}"
                continue
            here = Identity(found.st_dev, found.st_ino)
            if self._known.setdefault(path, here) != here:
                return f"{path.name} {_('was replaced by another file')}"
            if path is self._paths[0]:
                if found.st_size < self._size:  # nothing ever makes it shorter
                    return f"{path.name} {_('was truncated')}"
                self._size = found.st_size
        return ""

    def drop(self) -> None:
        """Remove those that are still at their names: what they hold was rescued, and beside somebody else's database they would spoil that."""
        for path, known in self._known.items():
            with suppress(OSError):
                found = path.lstat()
                if Identity(found.st_dev, found.st_ino) == known:
                    path.unlink()


def rescue(connection: sqlite3.Connection, path: Path) -> bool:
    """Write what an open connection holds beside ``path``, to be put there by `reinstate`; False when it isn't whole. Reads all of it: for a thread."""
    part = path.with_name(f".{path.name}{RESCUED}.tmp")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
        with closing(sqlite3.connect(part)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            if copy.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path.with_name(path.name + RESCUED))
        sync_folder(path.parent)
    except (sqlite3.Error, OSError):
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def is_rescued(path: Path) -> bool:
    """Whether there is a whole copy of the database at ``path``, to be put there. Raises `errors.UnsafeHome`."""
    return guard_file(path.with_name(path.name + RESCUED))


def reinstate(path: Path) -> None:
    """Put the copy in its place, once what was there has been moved away."""
    path.with_name(path.name + RESCUED).replace(path)
    sync_folder(path.parent)


def lies_at(path: Path) -> bool:
    """Whether anything of the database is there."""
    return any(os.path.lexists(f"{path}{suffix}") for suffix in ("", *SIDE_FILES))
