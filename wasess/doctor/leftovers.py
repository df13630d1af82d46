"""What killed processes have left in a home, and nobody needs: temporary files, the texts of locks that nobody holds, a dead socket."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.control.address import SOCKET_NAME
from wasess.store.atomic import ABANDONED_AFTER
from wasess.store.lock import read_holder
from wasess.store.sessions import HOME_LOCK_NAME, SESSION_LOCK_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
"""As `store.atomic` names them."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """``stale_locks``: texts that name a process which holds nothing, as every end leaves them; ``garbled_locks``: no such text at all."""

    abandoned: tuple[Path, ...] = ()
    stale_locks: tuple[Path, ...] = ()
    garbled_locks: tuple[Path, ...] = ()
    stale_socket: Path | None = None


def leftovers(home: Path) -> Leftovers:
    """Look through a home. Changes nothing; what can't be looked at is passed over: other checks say so."""
    folders = [home, *_folders(home)]
    abandoned = tuple(path for folder in folders for path in _abandoned(folder))
    locks = [home / HOME_LOCK_NAME, *(folder / SESSION_LOCK_NAME for folder in folders[1:])]
    texts = {path: text for path in locks if (text := free_text(path))}
    garbled = tuple(path for path, text in texts.items() if not read_holder(text).pid)
    stale = tuple(path for path in texts if path not in garbled)
    socket = home / SOCKET_NAME
    return Leftovers(abandoned, stale, garbled, socket if _is_socket(socket) and is_free(home / HOME_LOCK_NAME) else None)


def free_text(path: Path) -> bytes:
    """What stands in a lock file that nobody holds; empty when it is held, is no file, or has another name elsewhere."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _free(descriptor):
                return os.pread(descriptor, 4096, 0)
        finally:
            os.close(descriptor)
    return b""


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at ``path``, or there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _free(descriptor)
    finally:
        os.close(descriptor)


def names_elsewhere(text: bytes) -> bool:
    """Whether a lock's text tells of another machine: a trace that is worth keeping (`Session.rival`)."""
    holder = read_holder(text)
    with suppress(ValueError, AttributeError, RecursionError):
        if json.loads(text.partition(b"\n")[0]).get("elsewhere"):
            return True
    return bool(holder.pid) and holder.host != os.uname().nodename


def _folders(home: Path) -> list[Path]:
    with suppress(OSError), os.scandir(home) as found:
        return [home / item.name for item in found if item.is_dir(follow_symlinks=False)]
    return []


def _abandoned(folder: Path) -> Iterator[Path]:
    limit = time.time() - ABANDONED_AFTER
    with suppress(OSError), os.scandir(folder) as found:
        for item in found:
            with suppress(OSError):
                status = item.stat(follow_symlinks=False)
                ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
                if TEMPORARY.fullmatch(item.name) and ours and status.st_mtime < limit:
                    yield folder / item.name


def _is_socket(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(path.lstat().st_mode)
    return False


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True
