"""Looks at device.db when the library says that it could not store a message. Imported by the worker: light.

The file is looked at from another process. Here it is not even opened: closing it would drop the locks that the library's SQLite has on it.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import sys

import wasess

# A disk that has so much room is not full any more.
ROOM = 8 * 1024 * 1024
# A look takes 0.1 s; what takes longer is believed.
LOOKS_WITHIN = 3.0
# Said of the surroundings, by the kernel alone: there is nothing to look at.
UNSEEN = frozenset({"unable to open database file", "disk I/O error"})

_BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from wasess.store.look import main; sys.exit(main(*sys.argv[2:]))"


class Suspicion:
    """Of the database at ``path``, as it was when this was made."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            found = os.stat(path)  # noqa: PTH116 - pathlib is not loaded here
            self._identity = found.st_dev, found.st_ino
        except OSError:
            self._identity = 0, 0

    def confirm(self, words: str) -> str:
        """Why to leave ("disk-full" or "database") when SQLite has said ``words``; empty when nothing is found to be wrong."""
        if "full" in words:
            return "disk-full" if _no_room() else ""
        if _quota_used_up():  # SQLite calls that an I/O error
            return "disk-full"
        return "database" if words in UNSEEN or self._bad(words) else ""

    def _bad(self, words: str) -> bool:
        root = os.path.dirname(os.path.dirname(wasess.__file__))  # noqa: PTH120 - as above
        arguments = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, root, self._path, words, *map(str, self._identity)]
        nothing = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1, 2)]
        try:
            child = os.posix_spawn(sys.executable, arguments, {}, file_actions=nothing, setsigmask=[], setsigdef=[signal.SIGTERM])
        except OSError:
            return True
        return _ends_badly(child)


def _ends_badly(child: int) -> bool:
    handle = os.pidfd_open(child)
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        if not waiting.poll(LOOKS_WITHIN * 1000):
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1] != 0
    finally:
        os.close(handle)


def _no_room() -> bool:
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return True
    found = os.statvfs(".")
    return found.f_bavail * found.f_frsize < ROOM or _taking(ROOM) != 0


def _quota_used_up() -> bool:
    return _taking(ROOM) in {errno.EDQUOT, errno.ENOSPC}


def _taking(size: int) -> int:
    """Why so much can't be written here: an errno, 0 when it can. The user's quota counts."""
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(descriptor)
    return 0
