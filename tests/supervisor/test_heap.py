"""In processes of their own: what is set can't be taken back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A large block is given back, then a smaller one is taken: is that in the heap? And what a thread takes?
PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wasess.supervisor.heap import keep_heap_whole
if sys.argv[1] == "whole":
    keep_heap_whole()
for size in (8_000_000, 1_000_000):
    block = bytes(size)
    del block
large = bytes(500_000)
small = ThreadPoolExecutor(1).submit(bytes, 5_000).result()
lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
heap = [line[0].split("-") for line in lines if line[-1] == "[heap]"]
print(*(any(int(start, 16) <= id(block) < int(end, 16) for start, end in heap) for block in (large, small)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's heap")
@pytest.mark.parametrize(("kept", "in_the_heap"), [("whole", "False True"), ("as it comes", "True False")])
def test_large_blocks_are_never_part_of_the_heap_and_those_of_threads_are(kept, in_the_heap):
    done = subprocess.run([sys.executable, "-c", PROGRAM, kept], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == in_the_heap
