"""What a session stands on: the disk, its database, a machine that is awake."""

from __future__ import annotations

import pytest
from conversation import (
    DOWN,
    EVERYWHERE,
    LIVE,
    PREPARED,
    RUNNING,
    connecting,
    ended,
    online,
    recovering,
    started,
    steady,
    waiting,
    without_room,
)

from wasess.core.commands import AskTurn, ClearTimer, Probe, SetTimer, StopWorker
from wasess.core.events import (
    ClientOutdated,
    Connected,
    DatabaseBusy,
    DatabaseLost,
    DiskFree,
    DiskFull,
    ProbeAnswered,
    ProbeFailed,
    StartRequested,
    StopRequested,
    TemporaryBan,
    TimerFired,
    TurnCame,
    Woke,
    WorkerEnded,
)
from wasess.core.snapshot import Timer, Worker
from wasess.core.states import State

HOUR = 3600.0


# --- the disk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", LIVE)
def test_a_full_disk_takes_every_session_offline_so_that_whatsapp_keeps_its_messages(position: str):
    talk = PREPARED[position]()
    running = talk.session.worker is Worker.RUNNING
    wanted = talk.tell(DiskFull("3 MiB free"))
    assert (StopWorker() in wanted) == running
    assert talk.where == (State.WAITING, "DISK_FULL")
    assert talk.report.detail == "3 MiB free"
    assert talk.session.resume_at == talk.now + 30
    if running:
        wanted = talk.tell(WorkerEnded("stopped"))
    assert wanted == [SetTimer(Timer.RETRY, 30.0)]


def test_as_long_as_the_disk_is_full_nothing_is_started_and_it_is_told_once():
    talk = without_room()
    for _ in range(10):
        assert talk.after(30, TimerFired(Timer.RETRY)) == [SetTimer(Timer.RETRY, 30.0)]
        assert talk.where == (State.WAITING, "DISK_FULL")
        assert talk.session.resume_at == talk.now + 30
        assert talk.report.level == "debug"
    assert talk.session.failures == 0


def test_room_brings_it_back_at_once():
    talk = without_room()
    assert talk.tell(DiskFree()) == [AskTurn(), ClearTimer(Timer.RETRY)]
    assert talk.where == (State.CONNECTING, "DISK_FULL")
    talk.tell(TurnCame(), Connected())
    assert talk.where == (State.ONLINE, "ONLINE")


def test_room_while_the_worker_still_ends_waits_for_its_end():
    talk = online()
    talk.tell(DiskFull(""), DiskFree())
    assert talk.where == (State.WAITING, "DISK_FULL")
    talk.tell(WorkerEnded("stopped"))
    assert talk.after(30, TimerFired(Timer.RETRY)) == [AskTurn()]


@pytest.mark.parametrize("position", [name for name in EVERYWHERE if name != "disk full"])
def test_room_means_nothing_to_a_session_that_did_not_lack_it(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(DiskFree()) == []
    assert (talk.session, talk.commands) == (before, [])


@pytest.mark.parametrize("position", DOWN)
def test_a_full_disk_is_remembered_by_a_session_that_is_down(position: str):
    talk = PREPARED[position]()
    where = talk.where
    assert talk.tell(DiskFull("")) == []
    assert talk.where == where
    if talk.session.worker is Worker.ENDING:
        talk.tell(WorkerEnded("stopped"))
    talk.tell(StartRequested())
    assert talk.where == (State.WAITING, "DISK_FULL")
    assert talk.tell(DiskFree())[0] == AskTurn()


def test_a_retry_into_a_full_disk_is_none():
    talk = waiting()
    talk.tell(DiskFull(""))
    assert talk.where == (State.WAITING, "NETWORK_DOWN")
    assert talk.tell(TimerFired(Timer.RETRY)) == [SetTimer(Timer.RETRY, 30.0)]
    assert talk.where == (State.WAITING, "DISK_FULL")


def test_a_worker_that_found_no_room_is_tried_again_in_half_a_minute():
    talk = steady()
    assert talk.tell(WorkerEnded("disk-full", "no room for more events")) == [ClearTimer(Timer.QUIET), SetTimer(Timer.RETRY, 30.0)]
    assert talk.where == (State.WAITING, "DISK_FULL")
    assert talk.tell(DiskFree())[0] == AskTurn()


# --- the database ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", RUNNING)
def test_a_database_that_was_changed_from_outside_is_looked_at_again_at_once(position: str):
    talk = PREPARED[position]()
    assert talk.tell(DatabaseLost("unlinked"))[0] == StopWorker()
    assert talk.where == (State.WAITING, "DATABASE_LOST")
    assert talk.report.detail == "unlinked"
    assert talk.tell(WorkerEnded("stopped")) == [AskTurn()]


@pytest.mark.parametrize("position", [*DOWN, "queued"])
def test_without_a_worker_nobody_misses_the_database(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(DatabaseLost("unlinked")) == []
    assert (talk.session, talk.commands) == (before, [])


def test_a_database_that_is_no_good_is_looked_at_again_and_again_and_told_of_once():
    talk = connecting()
    levels = []
    for _ in range(30):
        talk.tell(WorkerEnded("database", "file is not a database"))
        assert talk.where == (State.WAITING, "DATABASE_DAMAGED")
        assert talk.delay == 15.0
        levels.append(talk.report.level)
        talk.after(15, TimerFired(Timer.RETRY), TurnCame())
    assert levels == ["error"] + ["debug"] * 29
    talk.tell(Connected())
    assert talk.where == (State.ONLINE, "ONLINE")


@pytest.mark.parametrize("position", EVERYWHERE)
def test_a_busy_database_is_the_librarys_affair(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(DatabaseBusy()) == []
    assert (talk.session, talk.commands) == (before, [])


# --- sleep ------------------------------------------------------------------------------------------------------------------------


def test_an_awakened_session_asks_before_it_believes_its_connection():
    talk = steady()
    assert talk.after(8 * HOUR, Woke(8 * HOUR - 5)) == [Probe(5.0)]
    assert talk.report.reason.code == "WOKE"
    assert talk.tell(ProbeAnswered()) == []
    assert talk.where == (State.ONLINE, "ONLINE")


def test_a_connection_that_died_in_its_sleep_was_away_since_it_fell_asleep():
    talk = steady()
    asleep = talk.now + 100
    talk.after(100 + HOUR, Woke(HOUR))
    talk.after(5, ProbeFailed("no answer in 5 s"))
    assert talk.where == (State.WAITING, "ZOMBIE")
    assert talk.book[-1].at == asleep


def test_a_library_that_was_dialling_when_it_fell_asleep_is_replaced():
    talk = recovering()
    assert talk.after(HOUR, Woke(HOUR)) == [StopWorker(), ClearTimer(Timer.GRACE)]
    assert talk.where == (State.WAITING, "NOT_BACK")
    assert talk.tell(WorkerEnded("crashed")) == [AskTurn()]


def test_a_dial_that_was_under_way_gets_five_seconds():
    talk = connecting()
    assert talk.after(HOUR, Woke(HOUR)) == [SetTimer(Timer.CONNECT, 5.0)]
    assert talk.after(5, TimerFired(Timer.CONNECT)) == [StopWorker()]


@pytest.mark.parametrize("slept", [0.2, 8 * HOUR])
def test_who_waited_for_the_network_tries_within_a_second(slept: float):
    talk = waiting()
    for _ in range(9):
        talk.tell(TimerFired(Timer.RETRY), TurnCame(), WorkerEnded("dial-failed"))
    assert talk.after(slept, Woke(slept)) == [SetTimer(Timer.RETRY, 0.5)]
    assert talk.session.resume_at == talk.now + 0.5


@pytest.mark.parametrize(("slept", "delay"), [(3 * HOUR, 7 * HOUR), (10 * HOUR, 0.5), (20 * HOUR, 0.5)])
def test_a_ban_goes_on_while_the_machine_sleeps(slept: float, delay: float):
    talk = ended(online, TemporaryBan(101, 10 * HOUR))
    assert talk.after(slept, Woke(slept)) == [SetTimer(Timer.RETRY, delay)]
    assert talk.where == (State.PAUSED, "BANNED")
    assert talk.after(delay, TimerFired(Timer.RETRY)) == [AskTurn()]


def test_an_hourly_try_is_not_put_off_by_sleep():
    talk = ended(connecting, ClientOutdated())
    assert talk.after(1800, Woke(1800)) == [SetTimer(Timer.RETRY, 1800.0)]


@pytest.mark.parametrize("position", ["new", "queued", "ending", "stopping", "left alone", "logged out", "stopped"])
def test_others_sleep_on(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.after(HOUR, Woke(HOUR)) == []
    assert (talk.session, talk.commands) == (before, [])


def test_a_stop_while_the_disk_is_full_is_a_stop():
    talk = without_room()
    assert talk.tell(StopRequested()) == [ClearTimer(Timer.RETRY)]
    assert talk.tell(DiskFree()) == []
    assert talk.where == (State.STOPPED, "STOPPED")
    assert started().session.disk_full is False
