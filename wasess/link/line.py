"""Looks at this process's own TCP connections: is one open, and does the other end's kernel acknowledge what was sent?

Runs in the worker, whose /proc is root's alone, so it asks the kernel about each descriptor instead. The descriptors are Go's, which
may close or reuse one at any moment: each look is one system call, and the object that makes it is detached before it is dropped,
so that it closes nothing.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

# The kernel hands out the lowest number that is free, and a worker has about 20 descriptors.
DESCRIPTORS = range(3, 128)
ESTABLISHED = 1

# struct tcp_info of linux/tcp.h, since Linux 4.6: state, unacked (segments), bytes_acked, notsent_bytes.
_INFO = struct.Struct("<B 23x I 92x Q 16x I")


class Connection(NamedTuple):
    """An open connection: how many bytes were ever acknowledged, and whether others wait to be."""

    acknowledged: int
    waiting: bool


class Line:
    """The connection that the library holds, as its kernel sees it."""

    def __init__(self, descriptors: range = DESCRIPTORS) -> None:
        self._descriptors = descriptors
        self._known: socket.socket | None = None
        self._open_at: float | None = None
        self._waiting: Connection | None = None
        self._waiting_since = 0.0

    def look(self, now: float, *, up: bool = False) -> tuple[float, float]:
        """Return for how many seconds there has been no open connection, and none of what was sent has been acknowledged; 0: not so.

        Both are 0 before a connection was seen or ``up`` says that there was one. As fine as the looks are frequent.
        """
        found = connection(self._known) if self._known else None
        found = found or self._find()
        if not found:
            self._waiting = None
            if self._open_at is None and up:
                self._open_at = now
            return 0.0 if self._open_at is None else now - self._open_at, 0.0
        self._open_at = now
        if not found.waiting:
            self._waiting = None
            return 0.0, 0.0
        if found != self._waiting:
            self._waiting, self._waiting_since = found, now
        return 0.0, now - self._waiting_since

    def _find(self) -> Connection | None:
        """The first connection that is open; remember where it is. 2 us for each descriptor."""
        self._forget()
        for descriptor in self._descriptors:
            try:
                known = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
            except OSError:
                continue  # closed, or no socket
            if found := connection(known):
                self._known = known
                return found
            known.detach()
        return None

    def _forget(self) -> None:
        if self._known:
            self._known.detach()
            self._known = None

    def __del__(self) -> None:
        """Close nothing."""
        self._forget()


def connection(one: socket.socket) -> Connection | None:
    """Return what the kernel says of an open TCP connection, None when the descriptor is anything else by now."""
    try:
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return None
    if not info or info[0] != ESTABLISHED:
        return None
    if len(info) < _INFO.size:  # an old or a pretended kernel knows fewer fields
        return Connection(0, waiting=False)
    _, unacked, acknowledged, unsent = _INFO.unpack(info)
    return Connection(acknowledged, waiting=bool(unacked or unsent))
