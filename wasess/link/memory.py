"""This process's own memory: where the library's is, and what stands in it. Imported by the worker: light.

Read is through /proc/self/mem: what has been unmapped meanwhile, by the library's threads, is an error there and not the end of the process.
"""

from __future__ import annotations

import errno
import os
from array import array

Range = tuple[int, int]
"""``(start, end)``: addresses."""

CHUNK = 1 << 20
PAGE = os.sysconf("SC_PAGESIZE")
TOUCHED = 0b11 << 62  # of an entry of pagemap: the page is in memory, or swapped out


def maps() -> str:
    """The text of /proc/self/maps. Raises OSError."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - pathlib is not loaded here
        return file.read()


def writable_ranges(text: str, path: str) -> list[Range]:
    """Find where the file at ``path`` is mapped writable, in the text of /proc/self/maps."""
    return [(start, end) for start, end, modes, _inode, name in _mappings(text) if name == path and modes.startswith("rw")]


def new_ranges(before: str, after: str) -> list[Range]:
    """Find the writable memory of no file that is mapped in the second text and was not in the first: ``.bss``, the heaps and stacks.

    The kernel makes one mapping of two that touch, so what is new may be a part of a mapping.
    """
    old = sorted((start, end) for start, end, *_ in _mappings(before))
    found: list[Range] = []
    for start, end, modes, inode, name in _mappings(after):
        if modes.startswith("rw") and inode == "0" and (not name or name.startswith("[anon")):  # Go may name its own (Go 1.25)
            found += _without(start, end, old)
    return found


def touched(ranges: list[Range]) -> list[Range]:
    """The parts of these ranges, of no file, that were ever written or read: 5 of the library's 120 MB. Raises OSError."""
    found: list[Range] = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:  # noqa: PTH123 - pathlib is not loaded here
        for start, end in ranges:
            first = start // PAGE
            entries = array("Q", os.pread(pagemap.fileno(), ((end - 1) // PAGE + 1 - first) * 8, first * 8))
            for number, entry in enumerate(entries, first):
                if not entry & TOUCHED:
                    continue
                if found and found[-1][1] == number * PAGE:
                    found[-1] = found[-1][0], min((number + 1) * PAGE, end)
                else:
                    found.append((max(number * PAGE, start), min((number + 1) * PAGE, end)))
    return found


def occurrences(ranges: list[Range], wanted: bytes) -> list[int]:
    """The addresses in these ranges at which ``wanted`` stands. Raises OSError when memory can't be read."""
    found: list[int] = []
    descriptor = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, end in ranges:
            for at in range(start, end, CHUNK):
                piece = _read(descriptor, at, min(CHUNK + len(wanted) - 1, end - at))
                place = piece.find(wanted)
                while place >= 0:
                    found.append(at + place)
                    place = piece.find(wanted, place + 1)
    finally:
        os.close(descriptor)
    return found


def _read(descriptor: int, at: int, size: int) -> bytes:
    try:
        return os.pread(descriptor, size, at)
    except OSError as error:
        if error.errno != errno.EIO:  # it is not mapped any more, so nothing of ours stands there
            raise
        return b""


def _without(start: int, end: int, taken: list[Range]) -> list[Range]:
    parts = []
    for first, last in taken:
        if last <= start or first >= end:
            continue
        if first > start:
            parts.append((start, first))
        start = max(start, last)
    return [*parts, (start, end)] if start < end else parts


def _mappings(text: str) -> list[tuple[int, int, str, str, str]]:
    """Start, end, modes, inode and name of each."""
    found = []
    for line in text.splitlines():
        fields = line.split(None, 5)
        start, _dash, end = fields[0].partition("-")
        found.append((int(start, 16), int(end, 16), fields[1], fields[4], fields[5] if len(fields) > 5 else ""))
    return found
