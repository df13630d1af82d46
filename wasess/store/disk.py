"""What can be seen of a home's files without opening a database: the room that is left, and whether device.db is still the same.

device.db is looked at with a plain descriptor, and closing one drops every lock that this process has on the file (sqlite.org,
howtocorrupt, section 2.2). The worker's locks are another process's and safe from that; while this process has the file open in
SQLite itself (`sqlite_at_work`), nothing is looked at.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from wasess.store.guard import beginning, size_of
from wasess.store.names import JOURNALS, SIDE_FILES
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The database file format, sqlite.org/fileformat.html, section 1.3.
MAGIC = b"SQLite format 3\0"
HEADER_SIZE = 100
LARGEST_PAGE = 65536
JOURNAL = "-journal"

_mutex = threading.Lock()
_at_work: Counter[str] = Counter()


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


def writable(path: Path) -> bool:
    """Whether this user may write the database at ``path`` and beside it: its mode, its file system, its flags. Nothing is opened."""
    beside = [path.parent, *(found for suffix in SIDE_FILES if (found := path.with_name(path.name + suffix)).exists())]
    return all(os.access(one, os.W_OK) for one in (path, *beside))


@contextmanager
def sqlite_at_work(path: Path) -> Iterator[None]:
    """Around everything that this process's SQLite does with the database at ``path``. Any thread, any number at once."""
    name = str(path)
    with _mutex:
        _at_work[name] += 1
    try:
        yield
    finally:
        with _mutex:
            _at_work[name] -= 1
            if not _at_work[name]:
                del _at_work[name]


def changed(before: Identity, path: Path) -> str:
    """Tell in words what has become of the database that was ``before``; empty when it is the same, and whole as far as can be seen.

    What is cut off is noticed by the size, as long as the length in the header is there to compare it with. A few system calls.
    """
    with _mutex:
        return "" if str(path) in _at_work else _look(before, path)


def cut_off(path: Path) -> bool:
    """Whether a database at rest is shorter than its header says: SQLite reads what is missing of its last page as zeroes, and calls it whole."""
    try:
        with _mutex:
            if str(path) in _at_work:
                return False
            header, size = beginning(path, HEADER_SIZE), path.stat().st_size
    except OSError:
        return False
    at_rest = not any(size_of(path.with_name(path.name + suffix)) for suffix in JOURNALS)
    return at_rest and len(header) == HEADER_SIZE and header[24:28] == header[92:96] and size < _length(header)


def _look(before: Identity, path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _("was removed")
    except OSError as error:
        return _("can't be opened any more ({problem})").format(problem=error.strerror)
    try:
        found = os.fstat(descriptor)
        if Identity(found.st_dev, found.st_ino) != before:
            return _("was replaced by another file")
        if found.st_size == 0:
            return _("was truncated")
        header = os.pread(descriptor, HEADER_SIZE, 0)
        if not header.startswith(MAGIC):
            return _("is no SQLite database any more")
        return _("was truncated") if _cut_off(descriptor, path, header) else ""
    finally:
        os.close(descriptor)


def _cut_off(descriptor: int, path: Path, header: bytes) -> bool:
    """Whether the file is shorter than its header says, and nobody is just writing it.

    A commit writes the header before the pages that lengthen the file. It has a journal until it is done, and the next one
    counts the change counter up: what is too short without a journal, and is so again with the same header, stays so.
    """
    if not _too_short(descriptor, header) or os.path.lexists(f"{path}{JOURNAL}"):
        return False
    return os.pread(descriptor, HEADER_SIZE, 0) == header and _too_short(descriptor, header)


def _too_short(descriptor: int, header: bytes) -> bool:
    size = os.fstat(descriptor).st_size
    if len(header) < HEADER_SIZE:
        return True
    in_wal_mode = 2 in header[18:20]
    length_is_valid = header[24:28] == header[92:96]
    return length_is_valid and not in_wal_mode and size < _length(header)


def _length(header: bytes) -> int:
    """The bytes that a database has by its header."""
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    return pages * (LARGEST_PAGE if page == 1 else page)
