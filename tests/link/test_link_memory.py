from __future__ import annotations

import ctypes
import mmap

from wasess.link import memory
from wasess.link.memory import new_ranges, occurrences, touched, writable_ranges

MAPS = """\
7f0000000000-7f0000001000 r-xp 00000000 fe:00 12 /a b/neonize.so
7f0000001000-7f0000003000 rw-p 00001000 fe:00 12 /a b/neonize.so
7f0000003000-7f0000004000 rw-p 00000000 00:00 0
7f0000004000-7f0000005000 rw-p 00001000 fe:00 13 /a b/other.so
7f0000005000-7f0000006000 rw-p 00003000 fe:00 12 /a b/neonize.so
"""
BEFORE = """\
550000000000-550000010000 rw-p 00000000 00:00 0 [heap]
7f0000004000-7f0000006000 rw-p 00000000 00:00 0
7f0000007000-7f0000008000 r--p 00000000 fe:00 13 /a b/other.so
"""
AFTER = """\
3b8a99000000-3b8a99800000 rw-p 00000000 00:00 0 [anon: Go: heap]
550000000000-550000020000 rw-p 00000000 00:00 0 [heap]
7f0000001000-7f0000003000 rw-p 00001000 fe:00 12 /a b/neonize.so
7f0000003000-7f0000007000 rw-p 00000000 00:00 0
7f0000007000-7f0000008000 r--p 00000000 fe:00 13 /a b/other.so
7f0000009000-7f000000a000 r--p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
"""


def address_of(region: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(region))


def test_only_the_librarys_writable_memory_is_searched():
    assert writable_ranges(MAPS, "/a b/neonize.so") == [(0x7F0000001000, 0x7F0000003000), (0x7F0000005000, 0x7F0000006000)]
    assert writable_ranges("", "/a b/neonize.so") == []


def test_what_is_new_is_what_was_not_mapped_before():
    """Also where the kernel has made one mapping of an old one and what was put around it."""
    assert new_ranges(BEFORE, AFTER) == [
        (0x3B8A99000000, 0x3B8A99800000),
        (0x7F0000003000, 0x7F0000004000),
        (0x7F0000006000, 0x7F0000007000),
    ]
    assert new_ranges(AFTER, AFTER) == []


def test_a_pattern_is_found_wherever_it_stands():
    """At both ends, and across the border of two pieces that are read one after the other."""
    size, wanted = memory.CHUNK * 2, bytes.fromhex("77617365737300ff")[::-1]
    region = mmap.mmap(-1, size)
    places = [0, memory.CHUNK - 3, size - len(wanted)]
    for place in places:
        region[place : place + len(wanted)] = wanted
    start = address_of(region)
    assert occurrences([(start, start + size)], wanted) == [start + place for place in places]
    assert occurrences([(start, start + size - 1)], wanted) == [start + place for place in places[:2]]
    assert occurrences([], wanted) == []


def test_only_what_was_ever_touched_is_looked_at():
    region = mmap.mmap(-1, memory.PAGE * 64)
    start = address_of(region)
    for page in (3, 4, 60):
        region[page * memory.PAGE] = 1
    parts = touched([(start, start + memory.PAGE * 64)])
    assert parts == [(start + memory.PAGE * 3, start + memory.PAGE * 5), (start + memory.PAGE * 60, start + memory.PAGE * 61)]
    assert touched([(start + memory.PAGE * 4 + 8, start + memory.PAGE * 4 + 16)]) == [
        (start + memory.PAGE * 4 + 8, start + memory.PAGE * 4 + 16)
    ]


def test_memory_that_is_gone_is_no_error():
    region = mmap.mmap(-1, memory.PAGE)
    start = address_of(region)
    assert occurrences([(start, start + memory.PAGE), (0x1000, 0x2000)], b"\0" * memory.PAGE) == [start]
