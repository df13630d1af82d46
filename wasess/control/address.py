"""Where the control socket is, and how to reach it: a socket's address holds 107 bytes, and a home's path may be far longer."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOCKET_NAME = ".control.sock"
SOCKET_MODE = 0o600
BACKLOG = 1024  # a connection beyond these is refused at once
TRIES_EVERY = 0.01

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@contextmanager
def short_address(home: Path) -> Iterator[str]:
    """An address of the home's socket that is short, whatever the home's path: good inside the ``with`` block, in this process.

    Raises OSError when the home can't be opened.
    """
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def listening(home: Path) -> socket.socket:
    """Return a socket (0600) that listens in the home. Only for the holder of the home's lock: what an earlier one left is removed."""
    with short_address(home) as address:
        (home / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.bind(address)
            (home / SOCKET_NAME).chmod(SOCKET_MODE)
            listener.listen(BACKLOG)
            listener.setblocking(False)  # noqa: FBT003 - the standard library's own
        except OSError:
            listener.close()
            raise
    return listener


def connected(home: Path, timeout: float) -> socket.socket:
    """Return a connection to the manager of a home. Raises OSError: nobody listens, or not within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    with short_address(home) as address:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        channel.settimeout(timeout)
        while True:
            try:
                channel.connect(address)
            except BlockingIOError:  # too many others are waiting to be let in
                if time.monotonic() < deadline:
                    time.sleep(TRIES_EVERY)
                    continue
                channel.close()
                raise
            except OSError:
                channel.close()
                raise
            return channel


def peer_uid(channel: socket.socket) -> int:
    """Tell the user id of the process at the other end (SO_PEERCRED, unix(7))."""
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])
