"""Gives a part of a file back to the file system: no offset changes, and what is read there is zero."""

from __future__ import annotations

import ctypes
import errno
import os

PIECE = 4 * 1024 * 1024
_KEEP_SIZE, _PUNCH_HOLE = 1, 2


def behind_hole(descriptor: int, start: int, end: int) -> int:
    """Where data begins, from ``start`` on; ``start`` itself where the file system knows no holes."""
    try:
        return min(end, os.lseek(descriptor, start, os.SEEK_DATA))
    except OSError as error:
        return end if error.errno == errno.ENXIO else start


def punch(descriptor: int, start: int, end: int) -> bool:
    """Make a hole; False where the file system does not know how."""
    if end <= start:
        return True
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, start, end - start) == 0)


def zero(descriptor: int, start: int, end: int) -> None:
    """Overwrite what no hole can be made of."""
    while start < end:
        start += os.pwrite(descriptor, bytes(min(PIECE, end - start)), start)
