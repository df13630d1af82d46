"""A fence around this process: nothing outside one folder is written, no program is started, no network is reached."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "os.chown", "os.utime"}
_SECOND_PATH = {"os.rename", "os.link", "os.symlink"}
_FOLLOWING = {"open", "os.chmod", "os.truncate", "os.utime"}
_PROGRAMS = {"os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen", "os.kill", "os.killpg"}
_HARMLESS = frozenset({"/dev/null", "/dev/full", "/dev/zero"})

_inside: str | None = None
_built = False


@contextmanager
def fenced(folder: Path) -> Iterator[None]:
    """In a ``with`` block, let nothing out of the folder. What is refused is an error such as the operating system raises."""
    global _inside, _built  # noqa: PLW0603 - an audit hook is for the whole process, and for ever
    if not _built:
        sys.addaudithook(_guard)
        _built = True
    _inside = os.path.realpath(folder)
    try:
        yield
    finally:
        _inside = None


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if _inside is None:
        return
    if event in _PROGRAMS:
        raise PermissionError(errno.EPERM, f"the fence: {event}")
    if event == "socket.getaddrinfo":
        raise socket.gaierror(socket.EAI_FAIL, "the fence: no network")
    if event in {"socket.connect", "socket.bind"} and arguments[0].family != socket.AF_UNIX:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "the fence: no network")
    if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
        for path in arguments[1 if event == "os.symlink" else 0 : 2 if event in _SECOND_PATH else 1]:
            if isinstance(path, (str, bytes, os.PathLike)):  # else it is a descriptor
                _require_inside(os.fsdecode(path), follow=event in _FOLLOWING)


def _require_inside(path: str, *, follow: bool) -> None:
    real = os.path.realpath(path if follow else os.path.split(os.path.abspath(path))[0])  # noqa: PTH100 - may be no text
    if not f"{real}/".startswith(f"{_inside}/") and real not in _HARMLESS:
        raise PermissionError(errno.EACCES, "the fence: outside of the test's folder", path)
