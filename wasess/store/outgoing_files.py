"""The files of replies: each is copied into the session's folder when the reply is queued, and it is the copy that is sent.

A path says nothing of what will be there later, and a bot, a webhook's answer or a command can spell any. So a path is opened once, the open
file is judged, and what it held at that moment is kept in ``outgoing/``, under a random name that no answer can know. `sweep` deletes
the copy once its reply is done with.

Never sent: what is in the home (the credentials), a file of secrets, and what the kernel shows in ``/proc`` and ``/sys``. The open file is compared
by its device and inode with those, so no link and no other spelling of a path leads around it, and by the path that the kernel knows.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.core.file_types import LARGEST_FILE
from wasess.errors import StoreError
from wasess.store.guard import FILE_MODE, FOLDER_MODE
from wasess.store.names import OUTGOING_NAME
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

RESERVE = 32 * 2**20  # bytes of the disk that no copy takes: the spool needs them
YOUNG = 120.0  # seconds: one that no reply names yet may be about to get its reply
_PIECE = 2**20
_KERNELS_OWN = ("/proc/", "/sys/")
# May hold thousands of files. One of these with a single name is known by its path.
_BULKY = frozenset({"media", OUTGOING_NAME})

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # never waits for somebody who writes to a named pipe
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a file that a reply names may be: ``anywhere``, else below ``folder``, else nowhere."""

    anywhere: bool = False
    folder: Path | None = None


ANYWHERE, NOWHERE = Sources(anywhere=True), Sources()


class NotSent(Exception):
    """A file is not sent. The sentence quotes nothing of the reply."""


class OutgoingFiles:
    """Of the session with this ``folder``. ``secret``: files that are never sent, besides what is in the home."""

    def __init__(self, folder: Path, secret: Collection[Path] = ()) -> None:
        self._folder = folder
        self._secret = tuple(secret)

    def copy(self, path: str, sources: Sources) -> str:
        """Copy what is at ``path`` now; return the name of the copy. Raises `NotSent`, and `errors.StoreError` when the disk refuses."""
        with _opened(path, sources) as source:
            self._require_harmless(source)
            return self.write(_pieces(source))

    def write(self, pieces: Iterable[bytes]) -> str:
        """Keep these bytes; return the name of the file. Raises as `copy`."""
        name = secrets.token_hex(16)
        try:
            with _folder(self._folder) as folder:
                copy = os.open(name, _NEW, FILE_MODE, dir_fd=folder)
                try:
                    _fill(copy, pieces)
                    os.fsync(copy)
                    os.fsync(folder)
                except BaseException:
                    os.unlink(name, dir_fd=folder)
                    raise
                finally:
                    os.close(copy)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            sentence = _("a file of a reply can't be kept in {folder}: {problem}").format(
                folder=self._folder / OUTGOING_NAME, problem=problem
            )
            raise StoreError(sentence, hint=f"wasess diagnose {self._folder.name}") from error
        return name

    def _require_harmless(self, source: int) -> None:
        home = self._folder.parent
        try:
            status, path = os.fstat(source), str(Path(f"/proc/self/fd/{source}").readlink())
            ours = _is_in(path, os.path.realpath(home)) or _holds(home, status)
        except OSError as error:  # nobody can say that it is not
            raise _unreadable(error) from error
        if ours:
            raise NotSent(_("what is in wasess's home is never sent: the credentials are there"))
        if any(_same(secret, status) for secret in self._secret) or _is_in(path, os.environ.get("CREDENTIALS_DIRECTORY", "")):
            raise NotSent(_("a file of secrets is never sent"))
        if path.startswith(_KERNELS_OWN):
            raise NotSent(_("the file of a reply is not a regular file"))


def sweep(folder: Path, wanted: Callable[[], Collection[str]]) -> bool:
    """Delete the copies that no reply in the outbox waits for; ``wanted`` tells those that one does. Returns whether none is left.

    A young one stays, for it may belong to a reply that is about to be queued: then call again later.
    """
    outgoing = folder / OUTGOING_NAME
    if outgoing.is_symlink() or not outgoing.is_dir():
        return True
    found = {path: path.lstat().st_ctime for path in outgoing.iterdir()}  # before `wanted`: what comes later is not looked at
    kept, done = wanted() if found else (), True
    for path, changed in found.items():
        if path.name in kept:
            continue
        if time.time() - changed < YOUNG:
            done = False
        else:
            path.unlink(missing_ok=True)
    return done


# --- opening ------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str, sources: Sources) -> Iterator[int]:
    """A descriptor of the regular file at ``path``. Raises `NotSent`."""
    try:
        source = _open_anywhere(path) if sources.anywhere else _open_below(sources.folder, path)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    try:
        status = os.fstat(source)
        _require_regular(status)
        if not sources.anywhere and status.st_nlink > 1:
            raise NotSent(_("the file of a reply has a second name (hard link) elsewhere"))
        if not status.st_size:
            raise NotSent(_("the file of a reply is empty; WhatsApp takes no empty file"))
        yield source
    finally:
        os.close(source)


def _open_anywhere(path: str) -> int:
    _require_regular(os.stat(path))  # noqa: PTH116 - a device is not even opened: some do something then
    return os.open(path, _READ)


def _open_below(top: Path | None, path: str) -> int:
    """Open it step by step: no link is followed and no ``..``, so that no change of the folders on the way leads out."""
    if top is None:
        raise NotSent(_("a webhook names no file of this machine without --webhook-files DIR; it may send the bytes in its answer (data)"))
    names = path.removeprefix(f"{top}{os.sep}").split(os.sep)  # noqa: PTH206 - Path would hide what is empty, and . and /
    if os.pardir in names or not names[0] or not names[-1]:
        raise NotSent(_("the file of a reply is not below the folder of --webhook-files"))
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # its own path is the operator's, who may use links
    try:
        for name in names[:-1]:
            inner = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        _require_regular(os.stat(names[-1], dir_fd=here, follow_symlinks=False))
        return os.open(names[-1], _READ | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def _unreadable(error: OSError | ValueError) -> NotSent:
    problem = error.strerror if isinstance(error, OSError) else str(error)
    return NotSent(_("the file of a reply can't be read: {problem}").format(problem=problem))


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotSent(_("the file of a reply is not a regular file"))


# --- judging ------------------------------------------------------------------------------------------------------------


def _is_in(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder.rstrip(os.sep) + os.sep))


def _same(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except OSError:
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holds(home: Path, status: os.stat_result) -> bool:
    """Whether the file with this status is one of the home's, under whatever name it was opened."""
    left, wanted = [os.fspath(home)], _identity(status)
    while left:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(left.pop()) as inside:
            for entry in inside:
                if entry.is_dir(follow_symlinks=False):
                    if status.st_nlink > 1 or entry.name not in _BULKY:
                        left.append(entry.path)
                elif _identity(entry.stat(follow_symlinks=False)) == wanted:
                    return True
    return False


# --- copying ------------------------------------------------------------------------------------------------------------


def _pieces(source: int) -> Iterator[bytes]:
    """What is in a file, as it is read. Raises `NotSent`."""
    while True:
        try:
            piece = os.read(source, _PIECE)
        except OSError as error:
            raise _unreadable(error) from error
        if not piece:
            return
        yield piece


@contextmanager
def _folder(session: Path) -> Iterator[int]:
    """The folder of the copies, open; it is made when it is not there."""
    path = session / OUTGOING_NAME
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder = os.open(path, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


def _fill(copy: int, pieces: Iterable[bytes]) -> None:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > LARGEST_FILE:
            raise NotSent(_("the file of a reply is larger than {most} MiB, the most that can be sent").format(most=LARGEST_FILE // 2**20))
        disk = os.fstatvfs(copy)
        if disk.f_bavail * disk.f_frsize - len(piece) < RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(copy, rest) :]
