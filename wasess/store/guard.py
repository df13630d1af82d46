"""What wasess opens in a home, and what it refuses.

The one rule:

* a link, a hard-linked file, something that is not ours, or the wrong kind of thing is always refused;
* something of ours that is merely too open is tightened by whoever creates (`Home.open(create=True)`, `Session.create`)
  and refused by whoever only reads.

Too open: a folder that the group or others may enter or list; a file that they may write (inside a 0700 folder
nobody else can read it anyway). Refusals are `errors.UnsafeHome`; nothing is changed.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasess.errors import UnsafeHome
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
OTHERS_WRITE = 0o022


def size_of(path: Path) -> int:
    """Its bytes; 0 when it is not there."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def guard_folder(path: Path, *, tighten: bool) -> bool:
    """Check the folder at ``path``; return whether it exists."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        kind = _("is a symbolic link") if path.is_symlink() else _("is not a folder")
        raise _refusal(path, kind, _("Put a real folder in its place, or name another home: --home FOLDER.")) from error
    except PermissionError as error:
        raise _refusal(path, _("may not be opened by this user"), _own(path)) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _refusal(path, _("belongs to another user"), _own(path))
        if status.st_mode & OTHERS:
            if not tighten:
                raise _refusal(path, _("can be entered or listed by other users"), f"chmod 700 {path}")
            os.fchmod(descriptor, FOLDER_MODE)
    finally:
        os.close(descriptor)
    return True


def guard_file(path: Path, *, tighten: bool = False) -> bool:
    """Check the file at ``path`` without opening it (closing an SQLite file would drop this process's locks on it)."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    _check_file(path, status, tighten=tighten)
    if tighten and status.st_mode & OTHERS:
        path.chmod(FILE_MODE)
    return True


@contextmanager
def open_guarded(path: Path) -> Iterator[int | None]:
    """Open the file at ``path`` for reading: a descriptor for the ``with`` block, None when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if path.is_symlink():
            raise _refusal(path, _("is a symbolic link"), _diagnose(path)) from error
        raise
    try:
        _check_file(path, os.fstat(descriptor), tighten=False)
        yield descriptor
    finally:
        os.close(descriptor)


def read_guarded(path: Path) -> bytes | None:
    """Return the content of the file at ``path``, None when there is no file."""
    with open_guarded(path) as descriptor:
        return None if descriptor is None else read_range(descriptor, os.fstat(descriptor).st_size)


def beginning(path: str | os.PathLike[str], length: int = 4096) -> bytes:
    """The first bytes of whatever is at ``path``: nothing is checked, and nobody is waited for, as at a named pipe. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, length)
    finally:
        os.close(descriptor)


def read_range(descriptor: int, length: int, offset: int = 0) -> bytes:
    """Return ``length`` bytes from ``offset``, fewer only at the end of the file."""
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


def _check_file(path: Path, status: os.stat_result, *, tighten: bool) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise _refusal(path, _("is a symbolic link"), _diagnose(path))
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, _("is not a file"), _diagnose(path))
    if status.st_uid != os.geteuid():
        raise _refusal(path, _("belongs to another user"), _own(path))
    if status.st_nlink > 1:
        raise _refusal(path, _("has a second name (hard link) elsewhere"), _diagnose(path))
    if status.st_mode & OTHERS_WRITE and not tighten:
        raise _refusal(path, _("can be written by other users"), f"chmod 600 {path}")


def _refusal(path: Path, what: str, hint: str) -> UnsafeHome:
    return UnsafeHome(_("{path} {what}; nothing was changed.").format(path=path, what=what), hint=hint)


def _own(path: Path) -> str:
    return _("Run wasess as the user who owns {path}, or name another home: --home FOLDER.").format(path=path)


def _diagnose(path: Path) -> str:
    return f"wasess diagnose {path.parent.name}"
