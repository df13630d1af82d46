"""The folder of the files that came with a session's messages: ``media/``. Each is called by the position of its message, and an ending.

What is called otherwise there is somebody else's: it is not counted, not followed and not deleted.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from wasess.errors import StoreError
from wasess.store.guard import FILE_MODE, FOLDER_MODE
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEDIA_NAME = "media"
PART = ".part"
"""What the name of a file ends in until all of it is there."""

# A position has 19 digits at most in SQLite; 18 never leave its range.
_NAME = re.compile(r"(?P<position>[0-9]{1,18})(?:\.[a-z0-9]{1,8})?(?P<part>\.part)?", re.ASCII)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class MediaFile(NamedTuple):
    """``position``: of its message; ``size`` in bytes; ``part``: it is not whole."""

    name: str
    position: int
    size: int
    part: bool


def media_files(folder: Path) -> list[MediaFile]:
    """The files of a session's messages, in no order; none when there is no folder. Raises OSError when it can't be read."""
    with _opened(folder / MEDIA_NAME) as descriptor:
        if descriptor is None:
            return []
        found = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                if name is None:
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found.append(MediaFile(entry.name, int(name["position"]), status.st_size, name["part"] is not None))
        return found


def delete_media(folder: Path, names: Iterator[str] | list[str]) -> list[str]:
    """Delete files of a session's messages; return which of them are gone now."""
    gone = []
    with _opened(folder / MEDIA_NAME) as descriptor:
        for name in names if descriptor is not None else ():
            if _NAME.fullmatch(name):
                with suppress(IsADirectoryError, PermissionError):
                    _remove(name, descriptor)
                    gone.append(name)
    return gone


class NewFile:
    """A file below a session's folder while it is written: under its name and `PART`, until `keep`. For its owner alone; no link is followed.

    One that is there already is replaced: it was fetched before, and nobody lived to say so.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        """Begin it. ``path`` is below ``folder``, and the folders between are there. Raises OSError, `errors.StoreError`."""
        *inner, self._name = path.relative_to(folder).parts
        if ".." in path.parts:
            raise StoreError(_("{path} is not in the session's folder.").format(path=path))
        self._folder = _descend(folder, inner)
        try:
            _remove(self._name + PART, self._folder)
            self.descriptor = os.open(self._name + PART, _NEW_FILE, FILE_MODE, dir_fd=self._folder)
        except BaseException:
            os.close(self._folder)
            raise

    def keep(self) -> None:
        """All of it is there and on the disk: give it its name. Call `close` after it, too."""
        os.rename(self._name + PART, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def close(self) -> None:
        """Leave nothing behind unless it was kept."""
        try:
            _remove(self._name + PART, self._folder)
        finally:
            os.close(self.descriptor)
            os.close(self._folder)


def make_media_folder(folder: Path) -> None:
    """Raises OSError."""
    (folder / MEDIA_NAME).mkdir(mode=FOLDER_MODE, exist_ok=True)


def _descend(folder: Path, inner: list[str]) -> int:
    descriptor = os.open(folder, _FOLDER)
    for name in inner:
        outer = descriptor
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=outer)
        finally:
            os.close(outer)
    return descriptor


@contextmanager
def _opened(media: Path) -> Iterator[int | None]:
    """The open folder; None when there is none, or something else of that name."""
    try:
        descriptor = os.open(media, _FOLDER)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(name: str, folder: int | None) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
