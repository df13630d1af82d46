"""Keeps the manager's memory flat. It is about glibc's malloc (see mallopt(3)); another C library is left as it is."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# malloc.h
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

LARGE = 128 * 1024  # bytes; where glibc starts from


def keep_heap_whole() -> None:
    """Call before the first thread is started; it holds for as long as the process lives.

    Large blocks come straight from the kernel, and go straight back to it. glibc stops doing so once such a block was given back;
    but CPython's table of interned strings, a megabyte in the manager, is replaced every few minutes, and each time left a hole in
    the heap that other things settled in. And all threads share one heap: only one of them runs Python at a time.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_ARENA_MAX, 1)
