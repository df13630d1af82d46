from __future__ import annotations

import json
import os
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasess.errors import Locked, UnsafeHome
from wasess.store.frame import HEADER_SIZE, MAGIC, frame
from wasess.store.lock import FileLock
from wasess.store.spool import Frame, SpoolReader, scan

# Appends as the worker does; the payloads are long enough for a kill to hit the middle of a write.
WRITER = """
import os, sys
from wasess.store.frame import frame
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
life, length = sys.argv[2].encode(), int(sys.argv[3])
n = 0
while True:
    os.write(fd, frame(n % 256, b"%s %d " % (life, n) + b"WS\\x01" * (length * (n % 7))))
    n += 1
    os.write(1, b"%d\\n" % n)
"""

payloads = st.binary(max_size=40) | st.lists(st.sampled_from([b"W", b"S", b"WS", MAGIC, b"\0", frame(7, b"no")])).map(b"".join)
events = st.lists(st.tuples(st.integers(0, 255), payloads), min_size=1, max_size=8)


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool.log"


def append(spool, data: bytes) -> None:
    with spool.open("ab") as file:
        file.write(data)


def contents(frames: list[Frame]) -> list[tuple[int, bytes]]:
    return [(found.code, found.payload) for found in frames]


@given(events)
def test_what_is_framed_is_found(these):
    data = b"".join(frame(code, payload) for code, payload in these)
    frames, skipped = scan(data, base=100)
    assert contents(frames) == these
    assert skipped == 0
    assert (frames[0].offset, frames[-1].end) == (100, 100 + len(data))
    assert all(one.end == two.offset for one, two in pairwise(frames))


@given(payloads)
def test_no_payload_contains_the_beginning_of_a_frame(payload):
    assert MAGIC not in frame(1, payload)[HEADER_SIZE:]


@given(events, st.data())
def test_cut_anywhere_gives_the_complete_frames(these, data):
    whole = [frame(code, payload) for code, payload in these]
    joined = b"".join(whole)
    cut = data.draw(st.integers(0, len(joined)))
    ends = [sum(map(len, whole[: n + 1])) for n in range(len(whole))]
    frames, skipped = scan(joined[:cut])
    assert [found.end for found in frames] == [end for end in ends if end <= cut]
    assert skipped == 0


def test_a_frame_that_lacks_only_its_last_byte_takes_none_of_the_next_one():
    whole = frame(9, b"ends with W"), frame(1, b"the next one")
    frames, skipped = scan(whole[0][:-1] + whole[1])
    assert contents(frames) == [(1, b"the next one")]
    assert skipped == len(whole[0]) - 1
    assert contents(scan(b"".join(whole))[0]) == [(9, b"ends with W"), (1, b"the next one")]


@given(events, events, st.data())
def test_a_torn_frame_costs_only_itself(before, after, data):
    torn = frame(9, data.draw(payloads))
    torn = torn[: data.draw(st.integers(0, len(torn) - 1))]
    first, last = (b"".join(frame(*event) for event in these) for these in (before, after))
    frames, skipped = scan(first + torn + last)
    assert contents(frames) == before + after
    assert skipped == len(torn)


@given(events, st.data())
@settings(max_examples=300)
def test_flipped_bytes_never_invent_a_frame(these, data):
    whole = [frame(code, payload) for code, payload in these]
    damaged = bytearray(b"".join(whole))
    hit = data.draw(st.dictionaries(st.integers(0, len(damaged) - 1), st.integers(1, 255), min_size=1, max_size=4))
    for at, flip in hit.items():
        damaged[at] ^= flip
    good, offset = [], 0
    for event, piece in zip(these, whole, strict=True):
        if not any(offset <= at < offset + len(piece) for at in hit):
            good.append(event)
        offset += len(piece)
    frames, _ = scan(bytes(damaged))
    assert contents(frames) == good


@given(st.binary(max_size=300))
def test_garbage_is_nothing(data):
    assert scan(data) == ([], 0)


def test_a_frame_that_somebody_sent_as_a_message_is_never_read(spool, tmp_path):
    # The outer frame is torn behind the inner one: a reader that resynchronises naively would take the inner one for real.
    inner = frame(17, b"you are logged out")
    append(spool, frame(3, b"text: " + inner + b" and more")[:-4])
    append(spool, frame(3, b"next"))
    reader = SpoolReader(tmp_path)
    assert contents(reader.read_new()) == [(3, b"next")]


def test_reads_on_as_the_spool_grows(spool, tmp_path):
    reader = SpoolReader(tmp_path)
    assert reader.read_new() == []
    append(spool, frame(1, b"a") + frame(2, b"b")[:5])
    assert contents(reader.read_new()) == [(1, b"a")]
    assert reader.read_new() == []
    append(spool, frame(2, b"b")[5:])
    assert contents(reader.read_new()) == [(2, b"b")]
    assert reader.skipped_bytes == 0


def test_begins_behind_what_was_committed(spool, tmp_path):
    append(spool, frame(1, b"a") + frame(2, b"b"))
    reader = SpoolReader(tmp_path)
    reader.commit(reader.read_new()[0].end)
    assert contents(SpoolReader(tmp_path).read_new()) == [(2, b"b")]
    assert (tmp_path / "spool.pos").stat().st_mode & 0o777 == 0o600


def test_another_file_at_the_place_is_read_from_its_beginning(spool, tmp_path):
    append(spool, frame(1, b"a" * 100))
    reader = SpoolReader(tmp_path)
    reader.commit(reader.read_new()[-1].end)
    # Also when the file system gives the new file the old one's inode number, as ext4 likes to.
    spool.unlink()
    append(spool, frame(2, b"b" * 100) + frame(3, b"c"))
    assert contents(SpoolReader(tmp_path).read_new()) == [(2, b"b" * 100), (3, b"c")]
    assert contents(reader.read_new()) == [(2, b"b" * 100), (3, b"c")]


def test_a_position_behind_the_end_means_from_the_beginning(spool, tmp_path):
    append(spool, frame(1, b"a"))
    SpoolReader(tmp_path).read_new()
    reader = SpoolReader(tmp_path)
    reader.read_new()
    reader.commit(10_000)
    assert contents(SpoolReader(tmp_path).read_new()) == [(1, b"a")]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"inode": 1}', "\x00" * 40])
def test_a_damaged_position_means_from_the_beginning(spool, tmp_path, text):
    append(spool, frame(1, b"a"))
    (tmp_path / "spool.pos").write_text(text)
    assert contents(SpoolReader(tmp_path).read_new()) == [(1, b"a")]


def test_a_negative_position_means_from_the_beginning(spool, tmp_path):
    append(spool, frame(1, b"a"))
    reader = SpoolReader(tmp_path)
    reader.read_new()
    reader.commit(-5)
    assert json.loads((tmp_path / "spool.pos").read_text())["position"] == -5
    assert contents(SpoolReader(tmp_path).read_new()) == [(1, b"a")]


def test_compacting_drops_what_is_committed_and_nothing_else(spool, tmp_path):
    append(spool, frame(1, b"a") + frame(2, b"b") + frame(3, b"c") + b"WS\x01torn")
    reader = SpoolReader(tmp_path)
    frames = reader.read_new()
    reader.commit(frames[1].end)
    assert reader.compact() == frames[1].end
    assert reader.read_new() == []
    append(spool, frame(4, b"d"))
    assert contents(reader.read_new()) == [(4, b"d")]
    assert contents(SpoolReader(tmp_path).read_new()) == [(3, b"c"), (4, b"d")]
    assert spool.stat().st_mode & 0o777 == 0o600


def test_compacting_all_leaves_an_empty_spool_that_goes_on(spool, tmp_path):
    append(spool, frame(1, b"a"))
    reader = SpoolReader(tmp_path)
    reader.commit(reader.read_new()[-1].end)
    reader.compact()
    assert spool.stat().st_size == 0
    assert reader.compact() == 0
    append(spool, frame(2, b"b"))
    assert contents(reader.read_new()) == [(2, b"b")]
    assert contents(SpoolReader(tmp_path).read_new()) == [(2, b"b")]


def test_compacting_is_refused_while_a_worker_lives(spool, tmp_path):
    append(spool, frame(1, b"a"))
    reader = SpoolReader(tmp_path)
    reader.commit(reader.read_new()[-1].end)
    with FileLock.acquire(tmp_path / "lock", "worker"), pytest.raises(Locked):
        reader.compact()
    assert spool.stat().st_size > 0


def test_compacting_nothing(tmp_path):
    assert SpoolReader(tmp_path).compact() == 0


def test_reads_more_than_a_window_and_frames_longer_than_one(spool, tmp_path):
    sizes = [3_000_000, 2_000_000, 9_000_000, 10, 5_000_000]
    for code, size in enumerate(sizes):
        append(spool, frame(code, os.urandom(16) * (size // 16)))
    reader = SpoolReader(tmp_path)
    read: list[Frame] = []
    while frames := reader.read_new():
        read += frames
    assert [(found.code, len(found.payload)) for found in read] == [(code, size // 16 * 16) for code, size in enumerate(sizes)]


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "folder", "writable"])
def test_refuses_what_is_not_its_own_file(spool, tmp_path, kind):
    other = tmp_path / "other"
    other.touch()
    if kind == "symlink":
        spool.symlink_to(other)
    elif kind == "hardlink":
        spool.hardlink_to(other)
    elif kind == "folder":
        spool.mkdir()
    else:
        spool.touch()
        spool.chmod(0o666)
    with pytest.raises(UnsafeHome):
        SpoolReader(tmp_path).read_new()


def test_every_kill_of_the_writer_costs_at_most_the_frame_in_its_hands(spool, tmp_path, another):
    seeded = random.Random(20)
    reader = SpoolReader(tmp_path)
    found: dict[bytes, list[int]] = {}
    bytes_in_frames = torn = 0
    written: dict[bytes, int] = {}
    for life in (b"life-%d" % number for number in range(20)):
        with another(WRITER, spool, life.decode(), seeded.choice([1_000, 100_000, 400_000])) as writer:
            time.sleep(seeded.uniform(0, 0.02))  # the instant of the kill is what is random here, not a wait
            writer.kill()
            written[life] = 1 + len(writer.stdout.read().splitlines())
        frames = reader.read_new()
        while frames:
            for one in frames:
                name, number, _ = one.payload.split(b" ", 2)
                found.setdefault(name, []).append(int(number))
                bytes_in_frames += one.end - one.offset
            reader.commit(frames[-1].end)
            frames = reader.read_new()
        tail = spool.stat().st_size - bytes_in_frames - reader.skipped_bytes
        torn += tail > 0
    assert reader.skipped_bytes + tail + bytes_in_frames == spool.stat().st_size
    for life, numbers in found.items():
        assert numbers == list(range(len(numbers)))
        # A frame may be complete before its writer could say so.
        assert len(numbers) in {written[life], written[life] + 1}
    assert len(found) == 20
    print(f"{torn} of 20 kills tore a frame")  # noqa: T201 - shown with -rP


@pytest.mark.parametrize("position", [b"[" * 4000, b'{"inode": 1}', b"\xff", b'{"inode": 1, "head": "", "position": 1e400}', None])
def test_begins_anew_when_the_position_makes_no_sense(spool, position):
    append(spool, frame(1, b"first"))
    if position is None:
        os.mkfifo(spool.with_name("spool.pos"))
    else:
        spool.with_name("spool.pos").write_bytes(position)
    assert [found.payload for found in SpoolReader(spool.parent).read_new()] == [b"first"]
