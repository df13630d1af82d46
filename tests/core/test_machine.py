"""Starts, turns, tries, stops; what people and the record are told."""

from __future__ import annotations

import pytest
from conversation import EVERYWHERE, LIVE, PREPARED, Talk, connecting, online, started, steady, stopping, waiting

from wasess.core import reasons
from wasess.core.commands import AskTurn, ClearTimer, Record, Report, SetTimer, ShowPresence, StartWorker, StopWorker
from wasess.core.events import (
    Connected,
    DialRefused,
    Disconnected,
    MessageArrived,
    StartRequested,
    StopRequested,
    TemporaryBan,
    TimerFired,
    TurnCame,
    WorkerEnded,
    WorkerStarted,
)
from wasess.core.snapshot import Snapshot, Timer, Worker
from wasess.core.states import State


def test_a_start_asks_for_a_turn_and_starts_one_worker_with_a_deadline():
    talk = Talk()
    assert talk.tell(StartRequested()) == [AskTurn()]
    assert talk.tell(StartRequested()) == []
    assert talk.where == (State.CONNECTING, "STARTING")
    assert talk.tell(TurnCame()) == [StartWorker(), SetTimer(Timer.CONNECT, 45.0)]
    assert talk.tell(TurnCame()) == []
    assert talk.tell(StartRequested()) == []
    assert talk.where == (State.CONNECTING, "STARTING")


def test_a_login_makes_it_online_and_begins_the_steady_minute():
    talk = connecting()
    assert talk.tell(Connected()) == [ClearTimer(Timer.CONNECT), SetTimer(Timer.STEADY, 60.0), ShowPresence()]
    assert talk.where == (State.ONLINE, "ONLINE")


def test_the_login_again_after_515_changes_nothing():
    talk = online()
    before = talk.session
    assert talk.tell(Connected()) == []
    assert talk.session == before


def test_a_failed_dial_waits_longer_each_time_and_never_gives_up():
    talk = connecting()
    delays = []
    for _ in range(2000):
        talk.tell(WorkerEnded("dial-failed", "no route"))
        delays.append(talk.delay)
        assert talk.where == (State.WAITING, "NETWORK_DOWN")
        assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]
        talk.tell(TurnCame())
    assert delays[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(delays[8:]) == {30.0}


@pytest.mark.parametrize(
    ("dice", "waits"), [(0.0, [0.0, 0.0, 0.0, 0.0]), (0.25, [0.25, 0.5, 1.0, 2.0]), (0.999, [0.999, 1.998, 3.996, 7.992])]
)
def test_the_wait_is_drawn_from_the_whole_range(dice: float, waits: list[float]):
    talk = connecting()
    talk.dice = dice
    for wait in waits:
        talk.tell(WorkerEnded("dial-failed"))
        assert talk.delay == pytest.approx(wait)
        talk.tell(TimerFired(Timer.RETRY), TurnCame())


def test_failures_are_forgotten_only_after_a_steady_minute():
    talk = waiting()
    talk.tell(TimerFired(Timer.RETRY), TurnCame(), Connected())
    assert talk.session.failures == 1
    assert talk.after(60, TimerFired(Timer.STEADY)) == [SetTimer(Timer.QUIET, 900.0)]
    assert (talk.session.failures, talk.session.losses, talk.session.replaced) == (0, 0, 0)
    assert talk.where == (State.ONLINE, "ONLINE")


def test_a_short_login_does_not_start_the_backoff_over():
    talk = connecting()
    for _ in range(5):
        talk.tell(WorkerEnded("dial-failed"), TimerFired(Timer.RETRY), TurnCame())
    talk.tell(Connected())
    talk.after(59, WorkerEnded("crashed", "SIGSEGV"))
    assert talk.delay == 16.0
    assert talk.session.failures == 6


def test_an_outage_is_told_loudly_once_and_recorded_once():
    talk = connecting()
    loud, kept = [], []
    for _ in range(50):
        for event in (WorkerEnded("dial-failed", "no route"), TimerFired(Timer.RETRY), TurnCame()):
            talk.tell(event)
            loud += [command for command in talk.commands if isinstance(command, Report) and command.level != "debug"]
            kept += [command for command in talk.commands if isinstance(command, Record)]
    assert [(report.reason, report.level) for report in loud] == [(reasons.NETWORK_DOWN, "warning")]
    assert [record.reason for record in kept] == [reasons.NETWORK_DOWN]


def test_a_report_says_when_the_next_try_is():
    talk = connecting()
    talk.tell(WorkerEnded("dial-failed", "no route"))
    assert talk.report == Report(State.WAITING, reasons.NETWORK_DOWN, "warning", 1, 1000.5, "no route")
    talk.tell(TimerFired(Timer.RETRY))
    assert talk.report == Report(State.CONNECTING, reasons.NETWORK_DOWN, "debug", 1, None, "")
    talk.tell(TurnCame(), Connected())
    assert talk.report == Report(State.ONLINE, reasons.ONLINE, "info", 1, None, "")


def test_a_record_says_when_it_was_and_when_the_next_try_is():
    talk = connecting()
    talk.after(3, WorkerEnded("dial-failed", "no route"))
    assert talk.commands[-2] == Record(State.WAITING, reasons.NETWORK_DOWN, 1003.0, 0, 1003.5)


def test_restarts_are_counted_for_the_record():
    talk = online()
    talk.tell(WorkerEnded("crashed"), TimerFired(Timer.RETRY), TurnCame(), Connected())
    (record,) = (command for command in talk.commands if isinstance(command, Record))
    assert (record.state, record.restarts) == (State.ONLINE, 1)


@pytest.mark.parametrize("position", ["stopped", "logged out", "new"])
def test_a_start_by_hand_is_no_restart(position: str):
    talk = PREPARED[position]()
    before = talk.session.restarts
    talk.tell(StartRequested())
    assert talk.session.restarts == before


def test_the_end_of_a_ban_is_recorded_each_time_and_that_it_is_over_too():
    talk = online()
    talk.tell(TemporaryBan(101, 600))
    assert Record(State.PAUSED, reasons.BANNED, 1000.0, 0, 1600.0) in talk.commands
    talk.tell(WorkerEnded("stopped"))
    talk.after(600, TimerFired(Timer.RETRY))
    assert Record(State.CONNECTING, reasons.BANNED, 1600.0, 1, None) in talk.commands
    talk.tell(TurnCame(), TemporaryBan(101, 60))
    assert Record(State.PAUSED, reasons.BANNED, 1600.0, 1, 1660.0) in talk.commands


@pytest.mark.parametrize("position", EVERYWHERE)
def test_a_stop_ends_in_rest_from_everywhere(position: str):
    talk = PREPARED[position]()
    logged_out = talk.session.state is State.LOGGED_OUT
    was = talk.session.worker
    wanted = talk.tell(StopRequested())
    assert (StopWorker() in wanted) == (was is Worker.RUNNING)
    if talk.session.worker is Worker.ENDING:
        assert talk.tell(WorkerEnded("stopped")) == []
    assert talk.session.state is (State.LOGGED_OUT if logged_out else State.STOPPED)
    assert (talk.session.worker, talk.session.timer, talk.session.resume_at, talk.session.resting) == (Worker.ABSENT, None, None, True)


@pytest.mark.parametrize("position", sorted(set(EVERYWHERE) - set(LIVE) - {"ending", "stopping", "disk full"}))
def test_a_human_can_start_it_from_everywhere(position: str):
    talk = PREPARED[position]()
    timer = talk.session.timer
    assert talk.tell(StartRequested()) == [AskTurn(), *([ClearTimer(timer)] if timer else [])]
    assert talk.where == (State.CONNECTING, "STARTING")
    assert talk.session.resume_at is None


@pytest.mark.parametrize("position", ["ending", "stopping"])
def test_a_start_while_the_old_worker_ends_waits_for_its_end(position: str):
    talk = PREPARED[position]()
    assert talk.tell(StartRequested()) == []
    assert talk.where == (State.WAITING, "STARTING")
    assert talk.session.resume_at == talk.now
    assert talk.tell(WorkerEnded("stopped")) == [AskTurn()]
    assert talk.where == (State.CONNECTING, "STARTING")


def test_a_start_forgives():
    talk = PREPARED["left alone"]()
    talk.tell(StartRequested(paired_at=990.0))
    found = talk.session
    assert (found.failures, found.losses, found.replaced, found.locked, found.paired_at) == (0, 0, 0, 0, 990.0)


@pytest.mark.parametrize(("banned_until", "where", "timer"), [(1500.0, State.PAUSED, Timer.RETRY), (1000.0, State.CONNECTING, None)])
def test_a_new_manager_does_not_dial_before_the_ban_is_over(banned_until: float, where: State, timer: str | None):
    talk = Talk()
    talk.tell(StartRequested(banned_until=banned_until))
    assert (talk.session.state, talk.session.timer) == (where, timer)
    if timer:
        assert talk.commands[0] == SetTimer(Timer.RETRY, 500.0)
        assert talk.session.reason is reasons.BANNED
        assert talk.after(500, TimerFired(Timer.RETRY)) == [AskTurn()]


def test_a_turn_that_comes_too_late_is_not_taken():
    talk = started()
    talk.tell(StopRequested())
    assert talk.tell(TurnCame()) == []
    assert talk.where == (State.STOPPED, "STOPPED")
    assert talk.session.worker is Worker.ABSENT


def test_nothing_hurries_a_session_that_waits_for_its_turn():
    talk = started()
    before = talk.session
    for late in (TimerFired(Timer.CONNECT), DialRefused(503), WorkerEnded("crashed"), Connected()):
        assert talk.tell(late) == []
        assert talk.session == before


@pytest.mark.parametrize("position", EVERYWHERE)
def test_a_message_is_a_sign_of_life_in_every_state(position: str):
    talk = PREPARED[position]()
    where = talk.where
    assert talk.after(1, MessageArrived()) == []
    assert (talk.where, talk.session.heard_at) == (where, talk.now)


@pytest.mark.parametrize("position", EVERYWHERE)
def test_that_the_process_runs_says_nothing_about_the_session(position: str):
    talk = PREPARED[position]()
    before = talk.session
    talk.tell(WorkerStarted(9))
    assert (talk.session, talk.commands) == (before, [])


def test_what_only_a_human_moves_on_is_resting():
    resting = {position for position in EVERYWHERE if PREPARED[position]().session.resting}
    assert resting == {"new", "logged out", "stopped", "stopping", "left alone"}


def test_a_new_session_knows_nothing():
    assert Snapshot() == Snapshot(State.NEW, reasons.NEVER_STARTED, worker=Worker.ABSENT, timer=None, failures=0)
    assert stopping().session.attempts == 0
    assert steady().session.attempts == 0


def test_a_start_forgives_a_session_that_flapped_and_was_held():
    talk = connecting()
    talk.tell(WorkerEnded("locked"), TimerFired(Timer.RETRY), TurnCame(), WorkerEnded("locked"))
    assert talk.session.locked == 2
    talk.tell(StartRequested())
    assert talk.session.locked == 0
    talk = online()
    for _ in range(4):
        talk.tell(Disconnected(), Connected())
    talk.tell(Disconnected(), WorkerEnded("crashed"))
    assert (talk.session.losses, talk.session.failures) == (5, 1)
    talk.tell(StartRequested())
    assert (talk.session.losses, talk.session.failures) == (0, 0)


def test_a_ban_that_is_nearly_over_is_waited_for_to_the_moment():
    talk = Talk()
    assert talk.tell(StartRequested(banned_until=talk.now + 0.3)) == [SetTimer(Timer.RETRY, pytest.approx(0.3))]
