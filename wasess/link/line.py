"""Looks at this process's own TCP connections: is one open, and does the other end's kernel acknowledge what was sent?

Runs in the worker, whose /proc is root's alone, so it asks the kernel about each descriptor instead. The descriptors are Go's, which
may close or reuse one at any moment: one getsockopt per look, through ctypes, and never an object that would close it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import NamedTuple

# The kernel hands out the lowest number that is free, and a worker has about 20 descriptors.
DESCRIPTORS = range(3, 128)
ESTABLISHED = 1

# struct tcp_info of linux/tcp.h, since Linux 4.6: state, unacked (segments), bytes_acked, notsent_bytes.
_INFO = struct.Struct("<B 23x I 92x Q 16x I")
_SIZE = ctypes.c_uint32()
_BUFFER = ctypes.create_string_buffer(_INFO.size)
_INTO = ctypes.addressof(_BUFFER), ctypes.addressof(_SIZE)

_getsockopt = ctypes.CDLL(None).getsockopt
_getsockopt.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Connection(NamedTuple):
    """An open connection: how many bytes were ever acknowledged, and whether others wait to be."""

    descriptor: int
    acknowledged: int
    waiting: bool


class Line:
    """The connection that the library holds, as its kernel sees it."""

    def __init__(self, descriptors: range = DESCRIPTORS) -> None:
        self._descriptors = descriptors
        self._known = -1
        self._open_at: float | None = None
        self._waiting: Connection | None = None
        self._waiting_since = 0.0

    def look(self, now: float) -> tuple[float, float]:
        """Return for how many seconds there has been no open connection, and none of what was sent has been acknowledged; 0: not so.

        Before the first open connection, and where the kernel does not tell, both are 0. As fine as the looks are frequent. Not for
        two threads.
        """
        found = self._find()
        if not found:
            self._waiting = None
            return 0.0 if self._open_at is None else now - self._open_at, 0.0
        self._known, self._open_at = found.descriptor, now
        if not found.waiting:
            self._waiting = None
            return 0.0, 0.0
        if found != self._waiting:
            self._waiting, self._waiting_since = found, now
        return 0.0, now - self._waiting_since

    def _find(self) -> Connection | None:
        """The connection of the last look while it is open (2 us), else the first one that is (2 us for each descriptor)."""
        return (connection(self._known) if self._known >= 0 else None) or next(filter(None, map(connection, self._descriptors)), None)


def connection(descriptor: int) -> Connection | None:
    """Return an open TCP connection, None when the descriptor is anything else. Not for two threads."""
    _SIZE.value = _INFO.size
    if _getsockopt(descriptor, socket.IPPROTO_TCP, socket.TCP_INFO, *_INTO):
        return None
    state, unacked, acknowledged, unsent = _INFO.unpack(_BUFFER)
    if state != ESTABLISHED:
        return None
    tells_all = _SIZE.value == _INFO.size  # an old or a pretended kernel knows fewer fields
    return Connection(descriptor, acknowledged, waiting=tells_all and bool(unacked or unsent))
