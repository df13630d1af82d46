from __future__ import annotations

import pytest

from wasess.errors import WorkerFailed
from wasess.link.library import Library, writable_ranges

MAPS = """\
7f0000000000-7f0000001000 r-xp 00000000 fe:00 12 /a b/neonize.so
7f0000001000-7f0000003000 rw-p 00001000 fe:00 12 /a b/neonize.so
7f0000003000-7f0000004000 rw-p 00000000 00:00 0
7f0000004000-7f0000005000 rw-p 00001000 fe:00 13 /a b/other.so
7f0000005000-7f0000006000 rw-p 00003000 fe:00 12 /a b/neonize.so
"""


def test_only_the_librarys_writable_memory_is_searched():
    assert writable_ranges(MAPS, "/a b/neonize.so") == [(0x7F0000001000, 0x7F0000003000), (0x7F0000005000, 0x7F0000006000)]
    assert writable_ranges("", "/a b/neonize.so") == []


def test_a_library_that_is_none_says_so(tmp_path):
    (tmp_path / "neonize.so").write_bytes(b"not a library")
    with pytest.raises(WorkerFailed, match="can't be loaded"):
        Library(str(tmp_path / "neonize.so"), "uuid")
