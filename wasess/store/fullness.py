"""Whether there is no room for what SQLite wanted to write: a disk that is full, or the user's quota that is used up, which SQLite calls an I/O error."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

from wasess.store.disk import room

if TYPE_CHECKING:
    from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SMALLEST_ROOM = 64 * 1024


def means_full(primary: int, folder: Path) -> bool:
    """Whether SQLite's primary error code (sqlite.org/rescode.html) for a file in ``folder`` says that there is no room. May ask the file system."""
    return primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and no_room(folder, SMALLEST_ROOM))


def no_room(folder: Path, size: int) -> bool:
    """Whether this user may not write ``size`` bytes more there."""
    try:
        if room(folder) < size:
            return True
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno in FULL
    return False
