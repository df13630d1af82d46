"""A keeper among faults: what is seen, heard and asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock
from village import EVENT, spooled, until
from watchroom import Watchroom

from wasess.core.events import (
    Connected,
    Disconnected,
    DiskFree,
    DiskFull,
    KeepAliveTimeout,
    NetworkBack,
    StreamReplaced,
    Woke,
)
from wasess.core.snapshot import Worker
from wasess.core.states import State
from wasess.link.port import LinkSignal, Vitals
from wasess.store.lock import FileLock
from wasess.supervisor.gate import Gate

if TYPE_CHECKING:
    from wasess.store.sessions import Home

DAY = 86_400.0


# --- suspicion ----------------------------------------------------------------------------------------------------------


async def test_a_lost_ping_and_no_answer_replace_the_worker_once(room: Watchroom):
    async with room.running():
        await room.online()
        first = room.link
        first.silent_probe = True
        first.frames(EVENT, spooled(KeepAliveTimeout(1, room.clock.steady() - 20)))
        await until(lambda: first.probes == 1)
        assert room.keeper.online
        room.clock.advance(5.0)
        await until(first.ended.is_set)
        await room.replaced()
        assert room.host.living("alice") == [room.link]
        assert len(room.host.started) == 2
    assert "ZOMBIE" in room.told.codes("state")
    assert "alice is online again" in room.told.lines


async def test_a_lost_ping_and_an_answer_leave_everything_as_it_is(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.frames(EVENT, spooled(KeepAliveTimeout(1, room.clock.steady() - 20)))
        await until(lambda: "ANSWERED" in room.told.codes("state"))
        room.clock.advance(30.0)
        await room.taken_in()
        assert room.keeper.online
        assert len(room.host.started) == 1
        assert room.link.probes == 1
    assert room.ledger == () or room.ledger[-1].code == "STOPPED"


async def test_a_lost_line_is_seen_from_outside_and_asked_about(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.vital = Vitals(beat_age=0.5, state="S", line_age=6.0)
        for _ in range(3):
            room.clock.advance(1.0)
            room.keeper.look()
        await until(lambda: "ANSWERED" in room.told.codes("state"))
        assert room.link.probes == 1
        assert len(room.host.started) == 1


async def test_a_silent_process_is_replaced_without_a_question(room: Watchroom):
    async with room.running():
        await room.online()
        first = room.link
        for second in range(5):
            first.vital = Vitals(beat_age=second + 0.5, state="S")
            room.clock.advance(1.0)
            room.keeper.look()
        await until(first.ended.is_set)
        await room.replaced()
        assert first.probes == 0
        assert len(room.host.started) == 2
    assert "WORKER_STUCK" in room.told.codes("state")


async def test_a_worker_that_has_grown_too_large_is_drained(home: Home):
    room = Watchroom(home, memory=100 * 2**20)
    async with room.running():
        await room.online()
        first = room.link
        first.vital = Vitals(beat_age=0.5, state="S", memory=101 * 2**20)
        for _ in range(2):
            room.clock.advance(1.0)
            room.keeper.look()
        await until(first.ended.is_set)
        await room.replaced()
    assert any("too much memory; starting it again (101 MiB of 100)" in line for line in room.told.lines)


async def test_a_database_that_vanishes_is_named(room: Watchroom):
    async with room.running():
        await room.online()
        (room.session.folder / "device.db").unlink()
        room.clock.advance(1.0)
        room.keeper.look()
        await until(lambda: "DATABASE_LOST" in room.told.codes("state"))
    assert any("device.db was removed" in line for line in room.told.lines)


async def test_a_bug_in_a_look_ends_the_keeper(room: Watchroom):
    keeping = asyncio.create_task(room.keeper.run())
    await room.online()
    room.link.vital = None  # no such thing
    with pytest.raises(AttributeError) as raised:
        room.keeper.look()
    room.keeper.fail(raised.value)
    with pytest.raises(AttributeError):
        await asyncio.wait_for(keeping, 20)


async def test_waking_up_is_a_reason_to_ask(room: Watchroom):
    async with room.running():
        await room.online()
        room.clock.advance(3600.0)
        room.keeper.tell(Woke(3600.0))
        await until(lambda: "ANSWERED" in room.told.codes("state"))
        assert len(room.host.started) == 1
        assert room.keeper.online


async def test_a_connection_that_died_in_the_sleep_is_replaced(room: Watchroom):
    async with room.running():
        await room.online()
        first, fell_asleep = room.link, room.clock.steady()
        first.silent_probe = True
        room.clock.time += 3600.0
        room.keeper.tell(Woke(3600.0))
        await until(lambda: first.probes)
        room.clock.advance(5.0)
        await room.replaced()
    (outage, _) = room.ledger
    assert (outage.code, outage.start) == ("ZOMBIE", pytest.approx(fell_asleep, abs=0.1))
    assert outage.end == pytest.approx(fell_asleep + 3605.0, abs=1.0)


# --- what the library says ------------------------------------------------------------------------------------------


async def test_too_many_connections_are_answered_by_at_least_a_minute_of_peace(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.frames(EVENT, spooled(Disconnected()))
        await until(lambda: room.keeper.snapshot.state is State.RECOVERING)
        refused_at = room.clock.steady()
        room.hint("DialRefused", '{"status": 429}')
        await room.reach(State.WAITING)
        assert room.code == "RATE_LIMITED"
        room.keeper.tell(NetworkBack())
        room.clock.advance(59.0)
        await room.taken_in()
        assert len(room.host.started) == 1
        await room.retried()
        assert room.clock.steady() - refused_at >= 60.0
    notice = next(notice for notice in room.told.notices if notice.code == "RATE_LIMITED")
    assert notice.next_retry_at is not None
    assert notice.next_retry_at - refused_at >= 60.0


async def test_a_locked_database_is_told_once_in_ten_minutes_and_moves_nothing(room: Watchroom):
    async with room.running():
        await room.online()
        for _ in range(3):
            room.hint("DatabaseBusy")
        await room.taken_in()
        assert room.told.codes() == ["DATABASE_BUSY"]
        room.clock.advance(600.0)
        room.hint("DatabaseBusy")
        await until(lambda: room.told.codes() == ["DATABASE_BUSY"] * 2)
        assert room.keeper.online
        assert len(room.host.started) == 1


@pytest.mark.parametrize("signal", [LinkSignal("log", "ERROR hint DatabaseBusy"), LinkSignal("log"), LinkSignal("hint", "no such thing")])
async def test_a_line_is_only_logged_and_an_unknown_hint_means_nothing(room: Watchroom, signal: LinkSignal):
    async with room.running():
        await room.online()
        room.link.say(signal)
        await room.taken_in()
        assert room.told.codes() == []


async def test_a_database_counts_as_lost_once_a_look_has_found_it_so(room: Watchroom, caplog: pytest.LogCaptureFixture):
    said = '{"detail": "file is not a database"}'
    async with room.running():
        await room.online()
        first, database = room.link, room.session.folder / "device.db"
        for _ in range(3):
            room.hint("DatabaseLost", said)
            await room.taken_in()
        await until(lambda: "it was looked at, and is well" in caplog.text)
        assert room.keeper.online
        assert not room.told.codes("trouble")
        whole = database.read_bytes()
        database.write_bytes(b"garbage" * 1000)
        room.hint("DatabaseLost", said)
        await until(first.ended.is_set)
        database.write_bytes(whole)
        await room.replaced()
    assert "DATABASE_LOST" in room.told.codes("state")


# --- what the server says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", [True, False])
async def test_whoever_took_the_session_is_named_as_far_as_it_is_known(room: Watchroom, holder: bool):
    lock = None
    async with room.running():
        await room.online()
        if holder:
            lock = FileLock.acquire(room.session.folder / "lock", "another copy")
        room.link.frames(EVENT, spooled(StreamReplaced()))
        await room.reach(State.PAUSED)
        if lock:
            lock.release()
    (line,) = [line for line in room.told.lines if "same credentials" in line]
    assert ("on this machine" in line) is holder
    assert ("held by an unknown client" in line) is not holder
    assert "Stop the other copy of this session." in line


# --- the disk -------------------------------------------------------------------------------------------------------


async def test_a_full_disk_takes_the_session_offline_until_there_is_room(room: Watchroom):
    async with room.running():
        await room.online()
        room.keeper.tell(DiskFull("3 MiB free"))
        await room.reach(State.WAITING)
        assert room.code == "DISK_FULL"
        room.clock.advance(30.0)
        await room.taken_in()
        assert len(room.host.started) == 1
        room.keeper.tell(DiskFree())
        await room.online()


async def test_a_keeper_that_comes_to_a_full_disk_starts_nothing(room: Watchroom):
    room.keeper.tell(DiskFull("3 MiB free"))
    async with room.running():
        await room.reach(State.WAITING)
        assert room.host.started == []
        assert room.code == "DISK_FULL"
        room.keeper.tell(DiskFree())
        await room.online()


# --- presence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "shown"), [(True, [True, False]), (False, [False])])
async def test_at_its_login_and_once_a_day_the_device_is_seen_or_never(home: Home, seen: bool, shown: list[bool]):
    room = Watchroom(home, seen=seen)
    async with room.running():
        await room.online()
        await until(lambda: room.link.presences == shown)
        room.link.frames(EVENT, spooled(Disconnected()))
        room.link.frames(EVENT, spooled(Connected()))
        await until(lambda: "alice is online again" in room.told.lines)
        await room.taken_in()
        assert room.link.presences == shown
        for _ in range(int(DAY / 900) + 2):
            room.clock.advance(900.0)
            await room.taken_in()
        await until(lambda: room.link.presences == shown * 2)


# --- the network comes back -----------------------------------------------------------------------------------------


async def test_a_session_that_is_back_tells_that_the_network_works(home: Home):
    heard: list[str] = []
    room = Watchroom(home, network_works=heard.append)
    async with room.running():
        await room.online()
        assert heard == []
        room.link.frames(EVENT, spooled(Disconnected()))
        room.link.frames(EVENT, spooled(Connected()))
        await until(lambda: heard == ["alice"])
        room.link.end("crashed")
        await room.retried()
    assert heard == ["alice"]


async def test_a_place_is_kept_while_the_session_waits_for_its_worker(home: Home):
    """What is told between the turn and the start must not let another one in too early."""
    clock = HandClock()
    room = Watchroom(home)
    room.clock = clock
    room.others = {"gate": (gate := Gate(1, 1000.0, clock, 60.0))}
    room.host.silent.add("alice")
    room.keeper = room.new_keeper()
    async with room.running():
        other = await gate.turn()
        await until(lambda: room.keeper.snapshot.worker is Worker.QUEUED)
        other.leave()
        for _ in range(50):
            clock.advance(0.01)
            room.keeper.tell(NetworkBack())
            await asyncio.sleep(0)
        await until(lambda: room.host.started)
        next_one = asyncio.create_task(gate.turn())
        for _ in range(50):
            clock.advance(0.01)
            await asyncio.sleep(0)
        assert not next_one.done()
        room.link.frames(EVENT, spooled(Connected()))
        await room.online()
        clock.advance(0.01)
        (await asyncio.wait_for(next_one, 5)).leave()
