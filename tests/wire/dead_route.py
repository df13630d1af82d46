"""A dead route: every packet that arrives at a socket is dropped before TCP sees it, so that nothing is acknowledged."""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27


def deafen(one: socket.socket) -> None:
    """Let no packet get through to a socket, by a filter of one instruction, "return 0". Some kernels let only root do it."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    try:
        one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))
    except PermissionError:
        pytest.skip("this kernel lets only root filter the packets of a socket")


def let_hear(one: socket.socket) -> None:
    """Take the filter away."""
    one.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
