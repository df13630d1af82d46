"""The spool's file and the room behind it. A full disk: tests/wire/test_worker_disk.py."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import pytest

from wasess.link.spool_file import EVENTS, LARGEST, SMALLEST, STEP, SpoolFile

LEAST = EVENTS * SMALLEST

# Under a limit for files: appends until there is no more room for what may come, then until nothing goes any more.
LIMITED = """
import os, resource, sys
from wasess.link.spool_file import SpoolFile
limit, size = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
spool = SpoolFile(sys.argv[1])
assert spool.reserve()
while spool.append(bytes(size)):
    pass
print(spool.full, os.stat(sys.argv[1]).st_size, sep="|")
try:
    while True:
        assert not spool.append(bytes(size))
except OSError as error:
    print(os.strerror(error.errno))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool.log"


def behind(path) -> int:
    """The bytes on the disk that belong to the file, behind its end."""
    found = path.stat()
    return found.st_blocks * 512 - found.st_size


def test_room_is_taken_behind_the_end_and_the_size_stays(path):
    path.write_bytes(b"from before")
    spool = SpoolFile(str(path))
    assert spool.reserve()
    assert path.read_bytes() == b"from before"
    assert behind(path) >= LEAST


def test_a_new_spool_is_for_its_owner_only(path):
    SpoolFile(str(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        SpoolFile(str(path))


def test_there_is_always_room_for_what_may_still_come(path):
    spool = SpoolFile(str(path))
    spool.reserve()
    for number in range(1000):
        assert spool.append(b"%d" % number + bytes(number))
        assert behind(path) >= LEAST - 4096
    assert behind(path) <= LEAST + STEP + 8192
    spool.sync()


def test_large_events_ask_for_more_room_up_to_a_limit(path):
    spool = SpoolFile(str(path))
    spool.reserve()
    spool.append(bytes(20_000))
    assert behind(path) >= EVENTS * 20_000
    spool.append(bytes(10 * LARGEST))
    assert EVENTS * LARGEST <= behind(path) <= EVENTS * LARGEST + STEP + 8192


@pytest.mark.parametrize("size", [500, 5_000])
def test_the_end_of_the_room_is_told_while_there_is_enough_left(path, size):
    limit = LEAST + 10 * STEP
    command = [sys.executable, "-c", LIMITED, str(path), str(limit), str(size)]
    full, error = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    words, at = full.split("|")
    assert words == "no room for 1024 KiB of events that may still come: File too large"
    assert limit - int(at) >= LEAST - size
    assert error in {"File too large", "No space left on device"}


def test_a_start_without_room_says_so(path):
    program = """
import resource, sys
from wasess.link.spool_file import SpoolFile
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
spool = SpoolFile(sys.argv[1])
print(spool.reserve(), spool.full)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False no room for 1024 KiB of events that may still come: File too large\n"


def test_what_is_no_file_on_a_disk_does_without(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    spool = SpoolFile(str(pipe))
    assert spool.reserve()
    assert spool.append(b"a message")
    assert os.read(reader, 100) == b"a message"
    spool.sync()


def test_room_costs_little(path):
    spool, bare = SpoolFile(str(path)), os.open(path.with_name("bare"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    spool.reserve()
    record, count = bytes(1500), 5000
    started = time.process_time()
    for _ in range(count):
        os.write(bare, record)
    plain = time.process_time() - started
    started = time.process_time()
    for _ in range(count):
        spool.append(record)
    spent = time.process_time() - started
    print(f"an append: {spent / count * 1e6:.1f} us, a bare write: {plain / count * 1e6:.1f} us")  # noqa: T201 - a measurement
    assert spent < 10 * plain + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_waits_for_nobody_at_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "spool.log")
    with pytest.raises(OSError, match="No such device"):
        SpoolFile(str(tmp_path / "spool.log"))


def test_a_spool_at_its_name_has_no_fault(path):
    spool = SpoolFile(str(path))
    spool.append(b"one")
    assert spool.fault(1) == ""
    path.chmod(0o400)
    assert spool.fault() == ""


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "was removed"),
        (lambda path: path.rename(path.with_name("away")), "was removed"),
        (lambda path: (path.unlink(), path.mkdir()), "was replaced by another file"),
        (lambda path: (path.unlink(), path.symlink_to("elsewhere")), "was replaced by another file"),
        (lambda path: (path.rename(path.with_name("away")), path.write_bytes(b"onetwo")), "was replaced by another file"),
        (lambda path: os.truncate(path, 0), "was truncated"),
        (lambda path: os.truncate(path, 5), "was truncated"),
    ],
)
def test_a_fault_is_seen_with_the_next_event_and_stays(path, damage, words):
    spool = SpoolFile(str(path))
    spool.append(b"one")
    spool.append(b"two")
    damage(path)
    spool.append(b"!")
    assert spool.fault(1) == words
    spool.append(b"more")
    assert spool.fault(1) == words
    spool.sign_off()


def test_looking_costs_microseconds(path):
    spool = SpoolFile(str(path))
    began = time.perf_counter()
    for _ in range(1000):
        spool.fault()
    assert time.perf_counter() - began < 0.1, "2 µs each on a quiet machine"


def test_what_is_appended_while_somebody_looks_is_no_truncation(path, monkeypatch):
    spool = SpoolFile(str(path))
    spool.append(b"first")
    look = os.lstat

    def slow_look(name):
        found = look(name)
        spool.append(b"meanwhile")
        return found

    monkeypatch.setattr("wasess.link.spool_file.os.lstat", slow_look)
    assert spool.fault() == ""
