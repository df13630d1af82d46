"""How a worker can end, hang and grow, and what that does to its session. (What it does to others: nothing; each has its own machine.)"""

from __future__ import annotations

import pytest
from conversation import DOWN, PREPARED, RUNNING, connecting, online, recovering, steady

from wasess.core.commands import AskTurn, ClearTimer, KillWorker, SetTimer, StopWorker
from wasess.core.events import Connected, Event, StartRequested, TimerFired, TurnCame, WorkerEnded, WorkerStuck, WorkerTooLarge
from wasess.core.snapshot import Timer, Worker
from wasess.core.states import State

MIB = 2**20


@pytest.mark.parametrize("cause", ["crashed", "library-returned", "stopped", "something new"])
def test_a_worker_that_is_lost_is_replaced_at_once_and_then_with_patience(cause: str):
    talk = online()
    assert talk.tell(WorkerEnded(cause)) == [ClearTimer(Timer.STEADY), SetTimer(Timer.RETRY, 0.0)]
    assert talk.where == (State.WAITING, "WORKER_LOST")
    talk.tell(TimerFired(Timer.RETRY), TurnCame(), Connected())
    assert talk.tell(WorkerEnded(cause))[-1] == SetTimer(Timer.RETRY, 1.0)


@pytest.mark.parametrize(("detail", "told"), [("SIGSEGV", "crashed: SIGSEGV"), ("", "crashed")])
def test_a_lost_worker_says_how(detail: str, told: str):
    talk = online()
    talk.tell(WorkerEnded("crashed", detail))
    assert talk.report.detail == told


def test_a_poison_word_costs_a_worker_and_no_time():
    talk = steady()
    talk.tell(WorkerEnded("library-returned", 'required field "Neonize.Receipt.Type" not set'))
    assert talk.where == (State.WAITING, "WORKER_LOST")
    assert talk.delay == 0.0


@pytest.mark.parametrize("position", ["ending", "stopping"])
@pytest.mark.parametrize("cause", ["no-device", "locked", "dial-failed", "database", "disk-full", "crashed"])
def test_how_a_worker_ended_that_was_told_to_is_no_matter(position: str, cause: str):
    talk = PREPARED[position]()
    where, counted = talk.where, talk.session.failures
    talk.tell(WorkerEnded(cause, "whatever"))
    assert (talk.where, talk.session.failures, talk.session.worker) == (where, counted, Worker.ABSENT)


@pytest.mark.parametrize("position", [*sorted(set(DOWN) - {"ending", "stopping"}), "queued"])
def test_an_end_that_is_told_twice_counts_once(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(WorkerEnded("crashed")) == []
    assert (talk.session, talk.commands) == (before, [])


def test_a_session_held_by_another_process_is_tried_often_and_is_no_failure():
    talk = connecting()
    delays = []
    for _ in range(12):
        talk.tell(WorkerEnded("locked", "connect"))
        delays.append(talk.delay)
        assert talk.where == (State.WAITING, "SESSION_LOCKED")
        assert talk.session.resume_at == talk.now + delays[-1]
        assert talk.report.detail == "connect"
        assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]
        talk.tell(TurnCame())
    assert delays == [0.25] * 8 + [1.0] * 4
    assert (talk.session.failures, talk.session.restarts) == (0, 0)
    talk.tell(Connected())
    assert talk.session.locked == 0


def test_no_device_needs_a_human():
    talk = connecting()
    assert talk.tell(WorkerEnded("no-device")) == [ClearTimer(Timer.CONNECT)]
    assert talk.where == (State.LOGGED_OUT, "NEEDS_PAIRING")
    assert talk.session.resting
    assert talk.tell(StartRequested()) == [AskTurn()]


@pytest.mark.parametrize("position", RUNNING)
def test_a_stuck_worker_is_killed_and_replaced_at_once(position: str):
    talk = PREPARED[position]()
    assert talk.tell(WorkerStuck("no sign of life for 10 s"))[0] == KillWorker()
    assert talk.where == (State.WAITING, "WORKER_STUCK")
    assert talk.report.detail == "no sign of life for 10 s"
    assert talk.tell(WorkerEnded("crashed", "SIGKILL")) == [AskTurn()]
    talk.tell(TurnCame(), Connected(), WorkerStuck(""))
    assert talk.tell(WorkerEnded("crashed", "SIGKILL")) == [SetTimer(Timer.RETRY, 1.0)]


@pytest.mark.parametrize("position", RUNNING)
def test_a_worker_that_grows_too_large_is_drained_and_replaced(position: str):
    talk = PREPARED[position]()
    talk.dice = 0.75
    assert talk.tell(WorkerTooLarge(300 * MIB, 256 * MIB))[0] == StopWorker()
    assert talk.where == (State.WAITING, "WORKER_TOO_LARGE")
    assert talk.report.detail == "300 MiB of 256"
    assert talk.session.resume_at == talk.now
    assert talk.tell(WorkerEnded("stopped")) == [AskTurn()]
    waits = []
    for _ in range(3):
        talk.tell(TurnCame(), Connected(), WorkerTooLarge(300 * MIB, 256 * MIB), WorkerEnded("stopped"))
        waits.append(talk.delay)
        talk.tell(TimerFired(Timer.RETRY))
    assert waits == [1.5, 3.0, 6.0]


@pytest.mark.parametrize("position", [*DOWN, "queued"])
@pytest.mark.parametrize("seen", [WorkerStuck(""), WorkerTooLarge(2, 1)])
def test_what_is_seen_of_a_worker_on_its_way_out_is_no_matter(position: str, seen: Event):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(seen) == []
    assert (talk.session, talk.commands) == (before, [])


def test_workers_are_counted_until_the_next_login():
    talk = recovering()
    talk.tell(TimerFired(Timer.GRACE), WorkerEnded("crashed"), TimerFired(Timer.RETRY))
    for _ in range(3):
        talk.tell(TurnCame(), WorkerEnded("dial-failed"), TimerFired(Timer.RETRY))
    assert talk.session.attempts == 3
    talk.tell(TurnCame(), Connected())
    assert talk.book[-1].attempts == 4
    assert talk.session.attempts == 0
