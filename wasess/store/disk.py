"""What can be seen of a home's files without opening a database: the room that is left, and whether device.db is still the same.

device.db is looked at with a plain descriptor. That is allowed here, because the SQLite that works on it lives in another process:
closing a descriptor drops the closing process's own locks only (sqlite.org, howtocorrupt, section 2.2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"SQLite format 3\0"


class Identity(NamedTuple):
    """Which file it is."""

    device: int
    inode: int


def room(path: Path) -> int:
    """Return how many bytes this user may still write on the file system of ``path``."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def identity(path: Path) -> Identity | None:
    """Return which file is at ``path``; None when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def changed(before: Identity, path: Path) -> str:
    """Tell in words what has become of the database that was ``before``; empty when it is the same, and is a database."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return "was removed"
    except OSError as error:
        return f"can't be opened any more ({error.strerror})"
    try:
        found = os.fstat(descriptor)
        if Identity(found.st_dev, found.st_ino) != before:
            return "was replaced by another file"
        if found.st_size == 0:
            return "was truncated"
        return "" if os.pread(descriptor, len(HEADER), 0) == HEADER else "is no SQLite database any more"
    finally:
        os.close(descriptor)
