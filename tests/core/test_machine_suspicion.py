"""What makes a session suspect, what decides, and what never does: silence and slowness."""

from __future__ import annotations

import itertools

import pytest
from conversation import DOWN, PREPARED, Talk, online, steady, suspected

from wasess.core import reasons
from wasess.core.commands import AskTurn, ClearTimer, Probe, Report, SetTimer, ShowPresence, StopWorker
from wasess.core.events import (
    Connected,
    Disconnected,
    Event,
    KeepAliveRestored,
    KeepAliveTimeout,
    LineLost,
    MessageArrived,
    ProbeAnswered,
    ProbeFailed,
    TimerFired,
    TurnCame,
    WorkerEnded,
)
from wasess.core.snapshot import Timer, Worker
from wasess.core.states import State

HOUR = 3600.0


# --- suspicion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suspicion", "seconds"), [(KeepAliveTimeout(1, 1000.0), 5.0), (LineLost("no connection for 3 s"), 10.0)])
def test_a_suspicion_is_a_question_and_changes_nothing(suspicion: Event, seconds: float):
    talk = steady()
    assert talk.tell(suspicion) == [Probe(seconds)]
    assert talk.where == (State.ONLINE, "ONLINE")
    assert talk.session.timer == Timer.QUIET
    assert talk.report.level == "info"
    assert talk.book[1:] == []
    for more in (suspicion, LineLost("")):
        assert talk.tell(more) == []
        assert talk.commands == []


def test_a_patient_question_gives_way_to_a_lost_ping():
    talk = steady()
    assert talk.tell(LineLost("no connection is open")) == [Probe(10.0)]
    assert talk.after(1, LineLost("no connection is open")) == []
    assert talk.after(1, KeepAliveTimeout(1, talk.now)) == [Probe(5.0)]
    assert talk.after(1, KeepAliveTimeout(2, talk.now)) == []


@pytest.mark.parametrize(
    ("suspicion", "code", "detail"),
    [(KeepAliveTimeout(1, 1000.0), "PING_LOST", ""), (LineLost("no connection for 3 s"), "LINE_LOST", "no connection for 3 s")],
)
def test_a_suspicion_is_told(suspicion: Event, code: str, detail: str):
    talk = steady()
    talk.tell(suspicion)
    assert (talk.report.state, talk.report.reason.code, talk.report.detail) == (State.ONLINE, code, detail)


def test_an_answer_clears_it():
    talk = suspected()
    assert talk.after(3, ProbeAnswered()) == []
    assert talk.commands == [Report(State.ONLINE, reasons.ANSWERED, "info")]
    assert (talk.session.suspected, talk.session.heard_at) == (None, talk.now)
    assert talk.tell(ProbeFailed("late")) == []
    assert talk.where == (State.ONLINE, "ONLINE")
    assert talk.after(30, KeepAliveTimeout(1, talk.now)) == [Probe(5.0)]


@pytest.mark.parametrize("answer", [KeepAliveRestored(), Connected()])
def test_whatever_else_is_heard_makes_the_question_moot(answer: Event):
    talk = suspected()
    assert talk.after(2, answer) == []
    assert talk.commands == []
    assert (talk.session.suspected, talk.session.heard_at) == (None, talk.now)
    assert talk.tell(ProbeFailed("late")) == []


def test_no_answer_replaces_the_worker_at_once():
    talk = suspected()
    assert talk.after(5, ProbeFailed("no answer in 5 s")) == [StopWorker(), ClearTimer(Timer.QUIET)]
    assert talk.where == (State.WAITING, "ZOMBIE")
    assert talk.report.detail == "no answer in 5 s"
    assert talk.tell(WorkerEnded("crashed")) == [AskTurn()]
    talk.tell(TurnCame(), Connected())
    assert talk.session.failures == 1


def test_the_second_zombie_without_a_steady_minute_waits():
    talk = suspected()
    talk.tell(ProbeFailed(""), WorkerEnded("crashed"), TurnCame(), Connected(), LineLost(""), ProbeFailed(""))
    assert talk.tell(WorkerEnded("crashed")) == [SetTimer(Timer.RETRY, 1.0)]


@pytest.mark.parametrize("position", [*DOWN, "recovering", "connecting", "queued", "online", "steady"])
@pytest.mark.parametrize("outcome", [ProbeAnswered(), ProbeFailed("late")])
def test_the_outcome_of_a_question_nobody_waits_for_moves_nothing(position: str, outcome: Event):
    talk = PREPARED[position]()
    where, timer, worker = talk.where, talk.session.timer, talk.session.worker
    talk.tell(outcome)
    assert talk.commands == []
    assert (talk.where, talk.session.timer, talk.session.worker) == (where, timer, worker)


@pytest.mark.parametrize("position", [*DOWN, "queued", "connecting", "recovering"])
@pytest.mark.parametrize("suspicion", [KeepAliveTimeout(1, 0.0), LineLost("")])
def test_only_a_session_that_is_online_is_suspected(position: str, suspicion: Event):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(suspicion) == []
    assert (talk.session, talk.commands) == (before, [])


# --- silence and slowness ---------------------------------------------------------------------------------------------


def day(talk: Talk, latency: float) -> tuple[int, set[type]]:
    """Live through 24 h in which nothing is heard but the answers to what is asked; return how often it was, and all it made it want."""
    asked, wanted = 0, set()
    end = talk.now + 24 * HOUR
    while talk.now < end:
        commands = talk.after(900, TimerFired(Timer.QUIET))
        wanted |= {type(command) for command in talk.commands}
        assert SetTimer(Timer.QUIET, 900.0) in commands
        for command in commands:
            if isinstance(command, Probe):
                assert command.deadline == 10.0
                assert latency < command.deadline
                asked += 1
                talk.after(latency, ProbeAnswered())
                wanted |= {type(command) for command in talk.commands}
                talk.now -= latency
    return asked, wanted


@pytest.mark.parametrize("latency", [0.01, 8.0])
def test_a_session_that_gets_no_message_for_a_day_is_asked_and_never_touched(latency: float):
    talk = steady()
    asked, wanted = day(talk, latency)
    assert 40 <= asked <= 96
    assert wanted <= {Probe, SetTimer, ShowPresence}  # and people hear nothing of it
    assert talk.where == (State.ONLINE, "ONLINE")
    assert len(talk.book) == 1  # the login
    assert talk.session.worker is Worker.RUNNING


def test_a_session_that_is_written_to_is_not_even_asked():
    talk = steady()
    for _ in range(96):
        talk.after(450, MessageArrived())
        assert talk.after(450, TimerFired(Timer.QUIET)) in ([SetTimer(Timer.QUIET, 900.0)], [SetTimer(Timer.QUIET, 900.0), ShowPresence()])


def test_silence_is_measured_from_the_last_word():
    talk = steady()
    talk.after(1, KeepAliveRestored())
    assert talk.after(898, TimerFired(Timer.QUIET)) == [SetTimer(Timer.QUIET, 900.0)]
    assert talk.after(2, TimerFired(Timer.QUIET)) == [SetTimer(Timer.QUIET, 900.0), Probe(10.0)]
    assert talk.session.suspected == talk.session.heard_at


def test_a_long_silence_that_nobody_answers_was_a_dead_connection():
    talk = steady()
    last_word = talk.session.heard_at
    talk.after(900, TimerFired(Timer.QUIET))
    talk.after(30, ProbeFailed("no answer in 30 s"))
    assert talk.where == (State.WAITING, "ZOMBIE")
    assert talk.book[-1].at == last_word


def test_a_lost_ping_does_not_wait_for_the_patient_question():
    talk = steady()
    talk.after(900, TimerFired(Timer.QUIET))
    assert talk.after(1, KeepAliveTimeout(1, talk.now - 40)) == [Probe(5.0)]
    assert talk.after(1, LineLost("")) == []
    assert talk.after(4, ProbeFailed("no answer in 5 s"))[0] == StopWorker()


def test_a_question_that_is_nearly_over_is_not_asked_anew():
    talk = steady()
    talk.after(900, TimerFired(Timer.QUIET))
    assert talk.after(26, KeepAliveTimeout(1, talk.now - 40)) == []


def test_the_device_is_shown_at_the_login_and_once_a_day():
    talk = online()
    shown = [talk.now] if ShowPresence() in talk.commands else []
    talk.after(60, TimerFired(Timer.STEADY))
    for _ in range(4 * 24 * 3 + 2):
        if ShowPresence() in talk.after(900, TimerFired(Timer.QUIET)):
            shown.append(talk.now)
        talk.tell(ProbeAnswered())
    assert [round((later - sooner) / HOUR) for sooner, later in itertools.pairwise(shown)] == [24, 24, 24]


@pytest.mark.parametrize(("away", "shown"), [(3599.0, False), (3600.0, True)])
def test_a_reconnect_within_the_hour_shows_nothing(away: float, shown: bool):
    talk = online()
    talk.tell(Disconnected())
    assert (ShowPresence() in talk.after(away, Connected())) is shown


def test_a_day_is_a_day():
    talk = steady()
    login = talk.session.pulsed_at
    talk.now = login + 24 * HOUR - 1
    assert ShowPresence() not in talk.tell(TimerFired(Timer.QUIET))
    assert ShowPresence() in talk.after(1, TimerFired(Timer.QUIET))
