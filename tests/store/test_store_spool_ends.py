"""A spool that was cut while nobody served: what a worker had written behind the cut is known, and counted once."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from wasess.link.spool_file import SpoolFile
from wasess.store.frame import frame
from wasess.store.spool import SPOOL_NAME, SpoolReader, depth
from wasess.store.spool_ends import ENDS_NAME, SLOTS, Ends, read_ends

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *texts: str, durable: bool = False) -> SpoolFile:
    spool = SpoolFile(str(folder / SPOOL_NAME), durable=durable)
    for text in texts:
        spool.append(frame(17, text.encode()))
    return spool


def read(folder: Path, reader: SpoolReader | None = None) -> tuple[list[str], int]:
    """What a reader finds that starts now, and how many events it knows to be gone."""
    found = reader or SpoolReader(folder)
    return [one.payload.decode() for one in found.read_new()], found.lost


def ends(folder: Path) -> list[int]:
    noted = read_ends(str(folder / ENDS_NAME))
    return sorted(noted.ends) if noted else []


TEXTS = [f"message {number}" for number in range(10)]


@pytest.mark.parametrize("left", range(10))
def test_what_was_cut_off_before_anybody_read_it_is_counted(tmp_path: Path, left: int):
    write(tmp_path, *TEXTS)
    os.truncate(tmp_path / SPOOL_NAME, ends(tmp_path)[left] - 1)
    assert read(tmp_path) == (TEXTS[:left], 10 - left)
    assert depth(tmp_path).gone


def test_what_had_been_taken_in_is_not_missing(tmp_path: Path):
    write(tmp_path, *TEXTS)
    reader = SpoolReader(tmp_path)
    place = reader.place(reader.read_new()[6].end)
    os.truncate(tmp_path / SPOOL_NAME, ends(tmp_path)[7])
    assert read(tmp_path, SpoolReader(tmp_path, place)) == (["message 7"], 2)
    os.truncate(tmp_path / SPOOL_NAME, ends(tmp_path)[2])
    assert read(tmp_path, SpoolReader(tmp_path, place))[1] == 3
    (tmp_path / SPOOL_NAME).unlink()
    assert read(tmp_path, SpoolReader(tmp_path, place)) == ([], 3)


def test_an_unread_spool_that_is_gone_is_counted_in_full(tmp_path: Path):
    write(tmp_path, *TEXTS)
    (tmp_path / SPOOL_NAME).unlink()
    assert depth(tmp_path).gone
    reader = SpoolReader(tmp_path)
    assert read(tmp_path, reader) == ([], 10)
    reader.counted()
    assert read(tmp_path) == ([], 0)
    assert not depth(tmp_path).gone


def test_a_whole_spool_and_a_copy_of_it_miss_nothing(tmp_path: Path):
    write(tmp_path, *TEXTS)
    assert read(tmp_path) == (TEXTS, 0)
    (tmp_path / "copy").mkdir()
    for name in (SPOOL_NAME, ENDS_NAME):
        (tmp_path / "copy" / name).write_bytes((tmp_path / name).read_bytes())
    assert read(tmp_path / "copy") == (TEXTS, 0)


def test_the_next_worker_goes_on_noting(tmp_path: Path):
    write(tmp_path, *TEXTS[:4])
    write(tmp_path, *TEXTS[4:])
    assert len(ends(tmp_path)) == 10
    os.truncate(tmp_path / SPOOL_NAME, ends(tmp_path)[1])
    assert read(tmp_path) == (TEXTS[:2], 8)
    write(tmp_path, "behind the cut")
    assert len(ends(tmp_path)) == 3
    assert read(tmp_path) == ([*TEXTS[:2], "behind the cut"], 0)


def test_notes_about_a_file_before_this_one_mean_nothing(tmp_path: Path):
    write(tmp_path, *TEXTS)
    reader = SpoolReader(tmp_path)
    reader.commit(reader.read_new()[5].end)
    assert reader.compact()
    place = reader.here()
    assert read(tmp_path, SpoolReader(tmp_path, place))[1] == 0
    write(tmp_path, "of the new file")
    assert len(ends(tmp_path)) == 1


def test_where_all_must_be_durable_only_what_is_on_the_disk_is_noted(tmp_path: Path):
    spool = write(tmp_path, *TEXTS[:3], durable=True)
    assert ends(tmp_path) == []
    spool.sync()
    assert len(ends(tmp_path)) == 3


def test_more_than_there_is_room_for_is_estimated_and_never_less_than_known():
    noted = Ends("", 1, tuple(range(100_000, 100_000 + 50 * SLOTS, 50)))
    assert noted.beyond(100_000 + 50 * (SLOTS - 3)) == 2
    assert noted.beyond(0) == pytest.approx(SLOTS + 2000, abs=2)


@pytest.mark.parametrize("damage", [b"", b"x", bytes(16 + 8 * SLOTS), b"\xff" * (16 + 8 * SLOTS)])
def test_notes_that_make_no_sense_harm_nobody(tmp_path: Path, damage: bytes):
    write(tmp_path, *TEXTS)
    (tmp_path / ENDS_NAME).write_bytes(damage)
    assert read(tmp_path) == (TEXTS, 0)
    write(tmp_path, "more")
    assert len(ends(tmp_path)) == 1


def test_no_link_is_followed_and_a_pipe_keeps_nobody_waiting(tmp_path: Path):
    (tmp_path / "theirs").write_text("not ours")
    (tmp_path / ENDS_NAME).symlink_to(tmp_path / "theirs")
    write(tmp_path, "one")
    assert (tmp_path / "theirs").read_text() == "not ours"
    (tmp_path / ENDS_NAME).unlink()
    os.mkfifo(tmp_path / ENDS_NAME)
    write(tmp_path, "two")
    assert read(tmp_path) == (["one", "two"], 0)


def test_many_who_bring_it_to_the_disk_at_once_note_each_event_once(tmp_path: Path):
    spool = write(tmp_path, durable=True)
    problems: list[BaseException] = []

    def sync() -> None:
        try:
            for _ in range(100):
                spool.sync()
        except BaseException as error:  # noqa: BLE001 - the test tells it
            problems.append(error)

    threads = [threading.Thread(target=sync) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        spool.append(frame(17, b"%d" % number))
    for thread in threads:
        thread.join()
    spool.sync()
    assert problems == []
    assert len(set(ends(tmp_path))) == len(ends(tmp_path)) == 200
