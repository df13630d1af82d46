"""What a keeper keeps: bans, outages, the phone's signs; and the clocks, which may be set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from village import EVENT, spooled, text, until

from wasess.core.events import (
    Disconnected,
    KeepAliveTimeout,
    NetworkBack,
    OfflineSyncPreview,
    TemporaryBan,
    Woke,
)
from wasess.core.outages import Outage
from wasess.core.snapshot import Timer
from wasess.core.states import State

if TYPE_CHECKING:
    from watchroom import Watchroom

DAY = 86_400.0


# --- bans -----------------------------------------------------------------------------------------------------------


async def test_a_ban_outlives_the_manager_and_nothing_is_dialled_before_it_ends(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.frames(EVENT, spooled(TemporaryBan(101, 7200.0)))
        await room.reach(State.PAUSED)
        banned_until = room.clock.steady() + 7200.0
    record = room.session.record.load()
    assert record is not None
    room.clock.advance(600.0)
    room.keeper = room.new_keeper()
    async with room.running():
        await room.reach(State.PAUSED)
        assert room.code == "BANNED"
        room.keeper.tell(NetworkBack())
        room.keeper.tell(Woke(1.0))
        room.clock.advance(banned_until - room.clock.steady() - 1.0)
        await room.taken_in()
        assert len(room.host.started) == 1
        room.clock.advance(1.0)
        await room.online()
        assert room.clock.steady() == pytest.approx(banned_until, abs=0.1)


async def test_a_ban_outlives_two_stops_and_a_kill(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.frames(EVENT, spooled(TemporaryBan(101, 7200.0)))
        await room.reach(State.PAUSED)
    for ending in ("stopped", "killed"):
        room.keeper = room.new_keeper()
        if ending == "stopped":
            async with room.running():
                await room.reach(State.PAUSED)
        else:
            keeping = asyncio.create_task(room.keeper.run())
            await room.reach(State.PAUSED)
            await until(lambda: (record := room.session.record.load()) and record.state == State.PAUSED)
            keeping.cancel()
            await asyncio.wait({keeping})
    room.clock.advance(7199.0)
    room.keeper = room.new_keeper()
    async with room.running():
        await room.reach(State.PAUSED)
        assert len(room.host.started) == 1
        room.clock.advance(1.0)
        await room.online()


async def test_a_ban_that_ended_while_nobody_ran_is_over(room: Watchroom):
    async with room.running():
        await room.online()
        room.link.frames(EVENT, spooled(TemporaryBan(101, 600.0)))
        await room.reach(State.PAUSED)
    room.clock.advance(601.0)
    room.keeper = room.new_keeper()
    async with room.running():
        await room.online()


# --- what is kept ---------------------------------------------------------------------------------------------------


async def test_every_outage_is_kept_with_what_it_cost(room: Watchroom):
    async with room.running():
        await room.online()
        lost_at = room.clock.steady()
        room.link.frames(EVENT, spooled(Disconnected()))
        await until(lambda: room.keeper.snapshot.state is State.RECOVERING)
        room.host.ends["alice"] = "crashed"
        room.clock.advance(50.0)
        await until(lambda: room.keeper.snapshot.timer == Timer.RETRY)
        room.clock.advance(60.0)
        await until(lambda: len(room.host.started) == 2 and room.keeper.snapshot.timer == Timer.RETRY)
        del room.host.ends["alice"]
        await room.retried()
        back_at = room.clock.steady()
        room.link.frames(EVENT, spooled(OfflineSyncPreview(total=9, messages=7)))
        await room.taken_in()
    (outage, stop) = room.ledger
    assert outage == Outage(pytest.approx(lost_at, abs=0.1), pytest.approx(back_at, abs=0.1), "CONNECTION_LOST", attempts=2, recovered=7)
    assert (stop.code, stop.end) == ("STOPPED", None)


async def test_a_stop_is_an_outage_that_the_next_start_ends(room: Watchroom):
    async with room.running():
        await room.online()
    stopped_at = room.clock.steady()
    room.clock.advance(3600.0)
    room.keeper = room.new_keeper()
    async with room.running():
        await room.online()
    assert room.ledger[0] == Outage(stopped_at, pytest.approx(stopped_at + 3600.0, abs=0.1), "STOPPED", attempts=1)


async def test_a_message_from_the_phone_is_noted(room: Watchroom):
    async with room.running():
        await room.online()
        room.clock.advance(2 * DAY)
        seen_at = room.clock.now()
        event = text("mine")
        message = {
            "id": "1",
            "chat": event.message.chat,
            "sender": event.message.sender,
            "text": "mine",
            "timestamp": seen_at,
            "from_phone": True,
        }
        room.link.frames(EVENT, spooled(type(event)(type(event.message)(**message))))
        await room.taken_in()
    record = room.session.record.load()
    assert record is not None
    assert record.phone_seen_at == seen_at


# --- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [DAY, -DAY])
async def test_a_clock_that_is_set_moves_no_timer_and_people_read_the_new_time(room: Watchroom, by: float):
    async with room.running():
        await room.online()
        first = room.link
        room.clock.set_wall(by)
        first.frames(EVENT, spooled(Disconnected()))
        await until(lambda: room.keeper.snapshot.state is State.RECOVERING)
        assert room.told.notices[-1].at == room.clock.now()
        room.clock.advance(44.0)
        await room.taken_in()
        assert not first.ended.is_set()
        room.clock.advance(6.0)
        await until(first.ended.is_set)
        await until(lambda: room.keeper.snapshot.timer == Timer.RETRY)
        notice = next(notice for notice in room.told.notices if notice.code == "NOT_BACK")
        assert notice.next_retry_at is not None
        assert 0.0 <= notice.next_retry_at - room.clock.now() <= 60.0
        room.clock.set_wall(-by)
        await room.retried()
    record = room.session.record.load()
    assert record is not None
    assert record.last_online_at == pytest.approx(room.clock.now(), abs=1.0)


@pytest.mark.parametrize("by", [DAY, -DAY])
async def test_an_outage_begins_with_the_last_answer_whatever_the_clock_says(room: Watchroom, by: float):
    async with room.running():
        await room.online()
        room.clock.advance(300.0)
        await room.taken_in()
        room.clock.set_wall(by)
        first, last_answer = room.link, room.clock.now() - 35.0
        first.silent_probe = True
        first.frames(EVENT, spooled(KeepAliveTimeout(1, last_answer)))
        await until(lambda: first.probes)
        room.clock.advance(5.0)
        await room.replaced()
    (outage, _) = room.ledger
    assert outage == Outage(pytest.approx(last_answer, abs=0.1), pytest.approx(last_answer + 40.0, abs=0.1), "ZOMBIE", attempts=1)


@pytest.mark.parametrize("by", [DAY, -DAY])
async def test_a_ban_is_kept_in_wall_time(room: Watchroom, by: float):
    """So that it ends at the same hour for a manager that is started later, under a clock that has been set."""
    async with room.running():
        await room.online()
        room.clock.set_wall(by)
        room.link.frames(EVENT, spooled(TemporaryBan(101, 7200.0)))
        await room.reach(State.PAUSED)
        wall = room.clock.now()
        await until(lambda: (record := room.session.record.load()) and record.resume_at == pytest.approx(wall + 7200.0, abs=0.1))
        room.clock.advance(7199.0)
        await room.taken_in()
        assert len(room.host.started) == 1
        room.clock.advance(1.0)
        await room.online()
