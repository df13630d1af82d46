"""What a flipped bit costs is counted, and what a killed writer leaves is not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from wasess.store.damage import destroyed
from wasess.store.frame import HEADER_SIZE, MAGIC, frame
from wasess.store.spool import SpoolReader, scan

if TYPE_CHECKING:
    from pathlib import Path

payloads = some.binary(max_size=40) | some.lists(some.sampled_from([b"W", b"S", b"WS", MAGIC, b"\0", frame(7, b"no")])).map(b"".join)
events = some.lists(some.tuples(some.integers(0, 255), payloads), min_size=1, max_size=6)
PROBE = frame(3, b"behind it")


def counted(data: bytes) -> tuple[int, int]:
    """How many frames were read, and how many are counted as destroyed, with a good one behind them."""
    frames, _ = scan(data + PROBE)
    return len(frames) - 1, sum(one.damaged for one in frames)


@given(events, some.data())
@settings(max_examples=500)
def test_every_frame_that_one_flipped_bit_costs_is_counted(these, data):
    whole = bytearray(b"".join(frame(*event) for event in these))
    whole[data.draw(some.integers(0, len(whole) - 1))] ^= 1 << data.draw(some.integers(0, 7))
    read, lost = counted(bytes(whole))
    assert len(these) - read <= lost <= 3


def test_each_bit_of_each_byte_of_some_frames():
    whole = b"".join(
        frame(*event) for event in ((17, b"hello WS there"), (17, b"W"), (250, b"receipt\0\0x"), (17, b"WS" + MAGIC), (3, b""))
    )
    for at in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            read, lost = counted(bytes(damaged))
            assert 5 - read <= lost <= 3, (at, bit)


@given(events, some.lists(some.tuples(payloads, some.integers(0, 10**6)), min_size=1, max_size=3), events)
def test_what_a_killed_writer_leaves_costs_nothing(before, torn, after):
    pieces = [frame(17, payload) for payload, _ in torn]
    rest = b"".join(piece[: cut % len(piece)] for piece, (_, cut) in zip(pieces, torn, strict=True))
    first, last = (b"".join(frame(*event) for event in these) for these in (before, after))
    read, lost = counted(first + rest + last)
    assert read == len(before) + len(after)
    # One that lacks less than the next one left may seem to be whole.
    assert lost == 0 or len(torn) > 1


@pytest.mark.parametrize(
    ("stretch", "count"),
    [
        (b"", 0),
        (b"WS", 0),
        (MAGIC, 0),
        (frame(17, b"torn")[:-1], 0),
        (frame(17, b"torn")[:5], 0),
        (b"XS\x01", 1),
        (b"?" * HEADER_SIZE, 1),
        (bytes(5000), 1),
        (frame(17, b"one").replace(b"one", b"two"), 1),
        (frame(17, b"one").replace(b"one", b"two") + frame(17, b"one").replace(b"one", b"two"), 2),
        (frame(17, b"one").replace(b"one", b"two") + frame(17, b"torn")[:-1], 1),
        (frame(17, b"torn")[:-1] + frame(17, b"one").replace(b"one", b"two"), 1),
    ],
)
def test_a_stretch(stretch, count):
    assert destroyed(stretch) == count


@given(some.binary(max_size=400))
def test_garbage_is_never_worth_more_frames_than_it_has_room_for(garbage):
    assert 0 <= destroyed(garbage) <= 1 + len(garbage) // HEADER_SIZE + garbage.count(MAGIC)


def test_two_hundred_flips_of_a_long_spool(tmp_path: Path):
    tmp_path.chmod(0o700)
    dice = random.Random(13)
    whole = b"".join(
        frame(17, b"message %d " % number + bytes(dice.randrange(256) for _ in range(dice.randrange(300)))) for number in range(60)
    )
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        (tmp_path / "spool.log").write_bytes(bytes(damaged) + PROBE)
        (tmp_path / "spool.log").chmod(0o600)
        frames = SpoolReader(tmp_path).read_new()
        assert len(frames) - 1 + sum(one.damaged for one in frames) >= 60
