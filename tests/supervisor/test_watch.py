from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock
from village import link_device

from wasess.core.events import DatabaseLost, DiskFree, DiskFull, WorkerStuck, WorkerTooLarge
from wasess.link.port import LinkSpec, Vitals
from wasess.link.scripted import ScriptedHost
from wasess.store.disk import room
from wasess.supervisor.watch import DiskWatch, Watch

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.events import Event
    from wasess.link.scripted import ScriptedLink
    from wasess.store.sessions import Home, Session

MIB = 2**20
LIMIT = 256 * MIB


class Guard:
    """A session whose worker is looked at every second of its own clock."""

    def __init__(self, session: Session, link: ScriptedLink) -> None:
        self.session = session
        self.database = session.folder / "device.db"
        self.link = link
        self.clock = HandClock()
        self.watch = Watch(self.clock, LIMIT)
        self.watch.begin(session.folder)

    def look(self, vitals: Vitals | None = None, after: float = 1.0) -> list[Event]:
        self.clock.advance(after)
        self.link.vital = vitals or Vitals(beat_age=0.5, state="S", memory=40 * MIB)
        return self.watch.look(self.link)

    def silent(self, seconds: int, state: str = "S") -> list[Event]:
        return [event for second in range(seconds) for event in self.look(Vitals(beat_age=second + 0.5, state=state))]


@pytest.fixture
async def guard(home: Home) -> Guard:
    session = link_device(home.session("alice"))
    return Guard(session, await ScriptedHost().start(LinkSpec("alice", session.folder, "run")))


async def test_a_healthy_worker_is_left_alone(guard: Guard):
    assert [guard.look() for _ in range(1800)] == [[]] * 1800


async def test_a_stuck_worker_is_told_once(guard: Guard):
    assert guard.silent(10) == [WorkerStuck("silent for 2 s")]


async def test_a_stopped_worker_is_told_sooner(guard: Guard):
    assert guard.silent(10, "T") == [WorkerStuck("stopped by a signal, silent for 2 s")]


async def test_a_starved_worker_gets_its_time(guard: Guard):
    assert guard.silent(20, "R") == []


async def test_a_large_worker_is_told_once(guard: Guard):
    large = Vitals(beat_age=0.5, state="S", memory=LIMIT + 1)
    assert [guard.look(large) for _ in range(4)] == [[], [WorkerTooLarge(LIMIT + 1, LIMIT)], [], []]


async def test_a_lost_line_is_told_twice_a_minute(guard: Guard):
    lost = Vitals(beat_age=0.5, state="S", line_age=60.0)
    told = [second for second in range(91) if guard.look(lost)]
    assert told == [1, 31, 61]
    assert guard.watch.look(guard.link) == []


async def test_of_another_worker_the_same_is_told_again(guard: Guard):
    assert len(guard.silent(10)) == 1
    guard.watch.begin(guard.session.folder)
    assert len(guard.silent(10)) == 1


async def test_the_dead_worker_is_no_measure_for_the_next(guard: Guard):
    guard.silent(3)
    guard.watch.begin(guard.session.folder)
    assert guard.look(Vitals(beat_age=60.0, state="S", memory=LIMIT + 1)) == []


async def test_a_pause_of_everything_is_nobodys_fault(guard: Guard):
    guard.look()
    assert guard.look(Vitals(beat_age=60.5, state="S"), after=60.0) == []
    assert guard.look(Vitals(beat_age=61.5, state="S")) == []
    assert guard.look() == []


# --- the database -------------------------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def replace_by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage, not SQLite")


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


@pytest.mark.parametrize("fault", [remove, replace_by_a_copy, truncate, overwrite, link_elsewhere])
async def test_a_lost_database_is_told_once(guard: Guard, fault):
    assert guard.look() == []
    fault(guard.database)
    found = [event for _ in range(5) for event in guard.look()]
    assert [type(event) for event in found] == [DatabaseLost]
    assert found[0].detail.startswith("device.db ")


async def test_a_database_that_is_worked_on_is_not_lost(guard: Guard):
    for number in range(3):
        with closing(sqlite3.connect(guard.database)) as database, database:
            database.execute("UPDATE whatsmeow_device SET jid = ?", (f"49170000000{number}:1@s.whatsapp.net",))
        assert guard.look() == []


async def test_a_file_that_cannot_be_read_ends_no_look(guard: Guard):
    """As on a disk that fails: it opens, and reading it is an error. The library will say so; the other sessions must not suffer."""
    guard.database.unlink()
    guard.database.mkdir()
    guard.watch.begin(guard.session.folder)
    assert guard.look() == []


async def test_one_look_may_find_two_faults(guard: Guard):
    guard.silent(2)
    guard.database.unlink()
    assert [type(event) for event in guard.look(Vitals(beat_age=3.0, state="S"))] == [WorkerStuck, DatabaseLost]


async def test_without_a_database_there_is_nothing_to_lose(guard: Guard):
    guard.database.unlink()
    guard.watch.begin(guard.session.folder)
    assert guard.look() == []


# --- the disk -----------------------------------------------------------------------------------------------------------


def test_a_disk_with_room_has_nothing_to_tell(tmp_path: Path):
    disk = DiskWatch(tmp_path, reserve=1)
    assert [disk.look() for _ in range(3)] == [None] * 3
    assert DiskWatch(tmp_path, reserve=0).look() is None


def test_full_is_told_once(tmp_path: Path):
    disk = DiskWatch(tmp_path, reserve=2 * room(tmp_path))
    full = disk.look()
    assert isinstance(full, DiskFull)
    assert "MiB free" in full.detail
    assert [disk.look() for _ in range(3)] == [None] * 3


def test_free_again_is_told_with_a_quarter_more_than_the_reserve(tmp_path: Path):
    free = room(tmp_path)
    disk = DiskWatch(tmp_path, reserve=2 * free)
    assert isinstance(disk.look(), DiskFull)
    disk._reserve = int(free / 1.1)  # above the reserve, and not enough above
    assert disk.look() is None
    disk._reserve = int(free / 1.5)
    assert disk.look() == DiskFree()
    disk._reserve = int(free / 1.1)
    assert disk.look() is None


def test_a_file_system_that_does_not_answer_stops_nobody(tmp_path: Path):
    gone = tmp_path / "unmounted"
    gone.mkdir()
    disk = DiskWatch(gone, reserve=1)
    assert disk.look() is None
    gone.rmdir()
    assert disk.look() is None


async def test_a_look_at_the_disk_may_be_had_in_a_thread(tmp_path: Path):
    assert isinstance(await asyncio.to_thread(DiskWatch(tmp_path, reserve=2 * room(tmp_path)).look), DiskFull)
