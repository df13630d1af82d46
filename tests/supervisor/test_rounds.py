"""The manager's rounds over keepers that are stand-ins, or real and stuck; systemd is a real socket, and the test turns the clock."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock
from village import EVENT, Told, Village, link_device, spooled, tools, until

from wasess.core.events import DiskFree, DiskFull, Event, NetworkBack, StreamReplaced, Woke
from wasess.core.states import State
from wasess.store.disk import room
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home, Session
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.notify import Notifier
from wasess.supervisor.rounds import KEEPER_ANSWERS_WITHIN, Rounds
from wasess.supervisor.stalls import StallMeter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator
    from pathlib import Path

DAY = 86_400.0
STEP = 3.0  # longer, and it would be a sleep


@dataclass(eq=False)
class Resident:
    """What the rounds want of a keeper. It takes in what it is asked at once, unless it is ``stuck``."""

    user: str
    clock: HandClock
    online: bool = True
    stuck: bool = False
    looks: int = 0
    ticked_at: float = 0.0
    told: list[Event] = field(default_factory=list)

    def look(self) -> None:
        self.looks += 1
        if not self.stuck:
            self.ticked_at = self.clock.steady()

    def tell(self, event: Event) -> None:
        self.told.append(event)


class Night:
    """Rounds that walk fast through a time that passes when the test says so."""

    def __init__(self, home: Home, channel: socket.socket, name: str, *, reserve: int = 0) -> None:
        self.home = home
        self.clock = HandClock()
        self.told = Told()
        self.keepers: Collection[Resident | Keeper] = [Resident(user, self.clock) for user in ("alice", "bob")]
        self.asked_in: set[int] = set()
        self.stalls = StallMeter()
        self.rounds = Rounds(home, self.clock, self._running, self.told, Notifier({"NOTIFY_SOCKET": name}), reserve, self.stalls)
        self._channel = channel

    def _running(self) -> Collection[Resident | Keeper]:
        self.asked_in.add(threading.get_ident())
        return self.keepers

    @asynccontextmanager
    async def walking(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.rounds.walk(every=0.001))
        try:
            await self.round()
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def round(self) -> None:
        """All that is due by now has been done."""
        for _ in range(2):
            before = self.rounds._errand
            await until(lambda before=before: (now := self.rounds._errand) is not before and now is not None and now.done())

    async def passes(self, seconds: float) -> None:
        """So much time, in steps."""
        while seconds > 0:
            self.clock.advance(min(STEP, seconds))
            seconds -= STEP
            await self.round()

    def heard(self) -> list[str]:
        """What systemd has heard since it was asked last."""
        words = []
        while True:
            try:
                words += self._channel.recv(65536).decode().splitlines()
            except BlockingIOError:
                return words

    def fed(self) -> bool:
        """Whether the watchdog was, since it was asked last."""
        return "WATCHDOG=1" in self.heard()


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) as bound:
        bound.bind(name)
        yield bound, name


@pytest.fixture
def night(home: Home, channel: tuple[socket.socket, str]) -> Night:
    return Night(home, *channel)


# --- looks --------------------------------------------------------------------------------------------------------------


async def test_every_keeper_is_looked_at_once_a_second(night: Night):
    async with night.walking():
        before = [keeper.looks for keeper in night.keepers]
        for _ in range(10):
            night.clock.advance(0.5)
            await night.round()
        assert [keeper.looks - looks for keeper, looks in zip(night.keepers, before, strict=True)] == [5, 5]


async def test_a_sign_is_left_that_a_manager_runs(night: Night):
    async with night.walking():
        assert night.home.last_alive()


# --- proof of life --------------------------------------------------------------------------------------------------------


async def test_the_watchdog_is_fed_as_long_as_everybody_takes_things_in(night: Night):
    async with night.walking():
        for _ in range(20):
            await night.passes(STEP)
            assert night.fed()


async def test_a_keeper_that_takes_nothing_in_starves_the_watchdog_until_it_does(night: Night, caplog: pytest.LogCaptureFixture):
    _, bob = night.keepers
    async with night.walking():
        await night.passes(STEP)
        bob.stuck = True
        await night.passes(KEEPER_ANSWERS_WITHIN - STEP)
        assert night.fed()
        await night.passes(2 * STEP)
        night.heard()
        await night.passes(10 * STEP)
        assert not night.fed()
        assert "the keepers of bob do not react" in caplog.text
        bob.stuck = False
        await night.passes(2 * STEP)
        assert night.fed()


async def test_a_keeper_that_has_not_begun_is_not_stuck(night: Night):
    _, bob = night.keepers
    bob.stuck = True  # and has never ticked
    async with night.walking():
        await night.passes(2 * KEEPER_ANSWERS_WITHIN)
        night.heard()
        await night.passes(STEP)
        assert night.fed()


async def test_a_real_keeper_that_hangs_in_a_thread_starves_the_watchdog(home: Home, channel: tuple[socket.socket, str], told: Told):
    disk = threading.Event()

    class OnADeadDisk(Session):
        def rival(self, own_pids: Collection[int]) -> str:
            disk.wait()
            return super().rival(own_pids)

    night, host = Night(home, *channel), Village()
    link_device(home.session("alice"))
    keeper = Keeper(OnADeadDisk(home, "alice"), tools(host, told, night.clock))
    night.keepers = [keeper]
    keeping = asyncio.create_task(keeper.run())
    try:
        async with night.walking():
            await until(lambda: keeper.online)
            await night.passes(2 * KEEPER_ANSWERS_WITHIN)
            assert night.fed()
            host.links["alice"].frames(EVENT, spooled(StreamReplaced()))
            await night.passes(KEEPER_ANSWERS_WITHIN + 2 * STEP)
            night.heard()
            await night.passes(5 * STEP)
            assert not night.fed()
            disk.set()
            await until(lambda: keeper.ticked_at == night.clock.steady())
            await night.passes(2 * STEP)
            assert night.fed()
    finally:
        disk.set()
        keeper.request_stop()
        await asyncio.wait_for(keeping, 20)


async def test_a_file_system_that_hangs_starves_the_watchdog_and_stops_no_look(tmp_path: Path, channel: tuple[socket.socket, str]):
    disk = threading.Event()
    disk.set()

    class OnADeadDisk(Home):
        def note_alive(self) -> None:
            disk.wait()

    night = Night(OnADeadDisk(tmp_path / "sessions").open(create=True), *channel)
    alice, _ = night.keepers
    try:
        async with night.walking():
            await night.passes(STEP)
            assert night.fed()
            disk.clear()
            for _ in range(20):
                before = alice.looks
                night.clock.advance(1.0)
                await until(lambda before=before: alice.looks > before)
            night.heard()
            for _ in range(5):
                before = alice.looks
                night.clock.advance(STEP)
                await until(lambda before=before: alice.looks > before)
            assert not night.fed()
            disk.set()
            await night.passes(2 * STEP)
            assert night.fed()
    finally:
        disk.set()


async def test_a_status_is_told_when_it_has_changed(night: Night):
    alice, _ = night.keepers
    async with night.walking():
        await night.passes(3 * STEP)
        alice.online = False
        await night.passes(3 * STEP)
        night.keepers = [alice]
        await night.passes(3 * STEP)
    said = [words for words in night.heard() if words.startswith("STATUS")]
    assert said == ["STATUS=2 of 2 sessions online", "STATUS=1 of 2 sessions online", "STATUS=0 of 1 sessions online"]


# --- sleep and clocks -------------------------------------------------------------------------------------------------------


async def test_all_are_told_that_everything_stood_still(night: Night):
    async with night.walking():
        night.clock.advance(7200.0)
        await night.round()
        assert [keeper.told for keeper in night.keepers] == [[Woke(7200.0)]] * 2
        await night.passes(2 * STEP)
        assert [keeper.told for keeper in night.keepers] == [[Woke(7200.0)]] * 2
    assert night.told.codes() == ["SLEPT"]
    assert "7200 s" in night.told.lines[0]


async def test_after_a_sleep_nobody_is_taken_for_stuck(night: Night, caplog: pytest.LogCaptureFixture):
    async with night.walking():
        await night.passes(STEP)
        night.heard()
        night.clock.advance(7200.0)
        await night.passes(2 * STEP)
        assert night.fed()
    assert "do not react" not in caplog.text


@pytest.mark.parametrize(("by", "codes"), [(DAY, ["CLOCK_JUMPED"]), (-DAY, ["CLOCK_JUMPED"]), (59.0, []), (-59.0, [])])
async def test_a_clock_that_is_set_is_told_once_and_is_no_sleep(night: Night, by: float, codes: list[str]):
    async with night.walking():
        night.clock.set_wall(by)
        wall = night.clock.now()
        await night.round()
        await night.passes(3 * STEP)
        assert night.told.codes() == codes
        assert [keeper.told for keeper in night.keepers] == [[], []]
        assert night.fed()
    assert all(notice.at == wall for notice in night.told.notices)


# --- news for all -----------------------------------------------------------------------------------------------------------


async def test_that_the_network_is_back_is_gathered_and_told_once(night: Night):
    for user in ("alice", "bob", "alice"):
        night.rounds.network_works(user)
    await until(lambda: all(keeper.told for keeper in night.keepers))
    night.rounds.network_works("bob")
    await until(lambda: all(len(keeper.told) > 1 for keeper in night.keepers))
    assert [keeper.told for keeper in night.keepers] == [[NetworkBack()] * 2] * 2


async def test_all_are_told_that_the_disk_is_full_and_so_are_those_that_come_later(home: Home, channel: tuple[socket.socket, str]):
    night = Night(home, *channel, reserve=2 * room(home.path))
    async with night.walking():
        await night.passes(2 * STEP)
        (full,) = night.keepers[0].told
        assert isinstance(full, DiskFull)
        assert night.rounds.disk_full == full
        night.rounds._disk._reserve = 0
        await night.passes(STEP)
        assert night.rounds.disk_full is None
    assert [keeper.told for keeper in night.keepers] == [[full, DiskFree()]] * 2


# --- phones -----------------------------------------------------------------------------------------------------------------


def phone_seen(night: Night, user: str, days_ago: float | None, paired_days_ago: float = 90.0) -> None:
    now = night.clock.now()
    session = link_device(night.home.session(user))
    seen = None if days_ago is None else now - days_ago * DAY
    record = SessionRecord(
        user, now - 99 * DAY, State.ONLINE, "ONLINE", now - DAY, paired_at=now - paired_days_ago * DAY, phone_seen_at=seen
    )
    session.record.save(record)


@pytest.mark.parametrize(
    ("days", "code", "level"), [(9.9, "", ""), (11.0, "PHONE_SILENT", "warning"), (13.0, "PHONE_SILENT_URGENT", "error")]
)
async def test_a_silent_phone_is_warned_of_once_a_day(night: Night, days: float, code: str, level: str):
    phone_seen(night, "alice", days)
    phone_seen(night, "bob", 1.0)
    async with night.walking():
        for _ in range(23):
            night.clock.advance(600.0)  # a machine that sleeps a lot
            night.clock.set_wall(-600.0)  # and time that does not pass for the phone
            await night.round()
        warned = [notice for notice in night.told.notices if notice.code.startswith("PHONE")]
        assert [(notice.session, notice.code, notice.level) for notice in warned] == ([("alice", code, level)] if code else [])
        night.clock.advance(DAY)
        night.clock.set_wall(-DAY)
        await night.round()
    warned = [notice for notice in night.told.notices if notice.code.startswith("PHONE")]
    assert len(warned) == (2 if code else 0)
    assert all("Open WhatsApp on the phone" in notice.line for notice in warned)


async def test_a_phone_that_is_silent_on_grows_urgent_on_the_same_day(night: Night):
    phone_seen(night, "alice", 11.9)
    async with night.walking():
        await night.round()
        night.clock.advance(0.2 * DAY)
        await night.round()
    assert [code for code in night.told.codes() if code.startswith("PHONE")] == ["PHONE_SILENT", "PHONE_SILENT_URGENT"]


async def test_a_pairing_is_a_sign_of_the_phone_and_without_any_sign_there_is_no_warning(night: Night):
    phone_seen(night, "alice", 90.0, paired_days_ago=1.0)
    link_device(night.home.session("bob"))
    async with night.walking():
        await night.passes(STEP)
    assert night.told.codes() == []


async def test_who_runs_is_asked_only_on_the_loop_where_nobody_comes_or_goes_meanwhile(night: Night):
    phone_seen(night, "alice", 11.0)
    async with night.walking():
        await night.passes(2 * STEP)
    assert "PHONE_SILENT" in night.told.codes()
    assert night.asked_in == {threading.get_ident()}


async def test_a_record_that_cannot_be_read_stops_no_round(night: Night):
    phone_seen(night, "alice", 11.0)
    link_device(night.home.session("bob")).folder.joinpath("session.json").write_text("garbage")
    (night.home.session("bob").folder / "session.json").chmod(0o600)
    async with night.walking():
        await night.passes(2 * STEP)
        assert night.fed()
    assert night.told.codes() == ["PHONE_SILENT"]


async def test_a_long_stall_of_the_event_loop_is_told(home: Home, channel: tuple[socket.socket, str]):
    night = Night(home, *channel)
    night.stalls.note(0.9)
    night.rounds._look_at_the_clock()
    assert night.told.codes() == []
    night.stalls.note(1.3)
    night.rounds._look_at_the_clock()
    night.rounds._look_at_the_clock()
    assert [notice.line for notice in night.told.notices] == ["all sessions waited 1.3 s for the manager's event loop"]
