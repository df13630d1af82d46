"""The connection: who redials, and for how long; a network that is away, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conversation import PREPARED, UP, connecting, online, recovering, steady, waiting

from wasess.core.commands import AskTurn, ClearTimer, Probe, SetTimer, StopWorker
from wasess.core.events import (
    Connected,
    DialRefused,
    Disconnected,
    LibraryGaveUp,
    NetworkBack,
    StreamError,
    TimerFired,
    TurnCame,
    WorkerEnded,
)
from wasess.core.snapshot import Timer, Worker
from wasess.core.states import State

HOUR = 3600.0


def test_the_library_redials_first():
    talk = steady()
    assert talk.tell(Disconnected()) == [ClearTimer(Timer.QUIET), SetTimer(Timer.GRACE, 47.5)]
    assert talk.where == (State.RECOVERING, "CONNECTION_LOST")
    assert talk.tell(Connected()) == [ClearTimer(Timer.GRACE), SetTimer(Timer.STEADY, 60.0)]
    assert talk.where == (State.ONLINE, "ONLINE")


@pytest.mark.parametrize(("code", "detail"), [("516", "code 516"), ("", "no code")])
def test_a_stream_error_is_a_question(code: str, detail: str):
    talk = steady()
    assert talk.tell(StreamError(code)) == [Probe(10.0)]
    assert talk.where == (State.ONLINE, "ONLINE")
    assert (talk.report.reason.code, talk.report.detail) == ("STREAM_ERROR", detail)


@pytest.mark.parametrize(("dice", "grace"), [(0.0, 45.0), (0.999, 49.995)])
def test_a_hundred_sessions_do_not_lose_their_patience_in_one_moment(dice: float, grace: float):
    talk = steady()
    talk.dice = dice
    talk.tell(Disconnected())
    assert talk.delay == pytest.approx(grace)


@pytest.mark.parametrize(("prepare", "timer", "code"), [(connecting, Timer.CONNECT, "NO_ANSWER"), (recovering, Timer.GRACE, "NOT_BACK")])
def test_a_worker_that_is_not_online_in_time_is_replaced(prepare, timer: str, code: str):
    talk = prepare()
    assert talk.tell(TimerFired(timer)) == [StopWorker()]
    assert talk.where == (State.WAITING, code)
    assert talk.session.worker is Worker.ENDING
    assert talk.session.resume_at == talk.now + 0.5
    assert talk.tell(WorkerEnded("crashed", "SIGKILL")) == [SetTimer(Timer.RETRY, 0.5)]
    assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]


def test_a_try_that_is_due_when_the_worker_has_ended_begins_at_once():
    talk = recovering()
    talk.tell(TimerFired(Timer.GRACE))
    assert talk.after(4, WorkerEnded("crashed", "SIGKILL")) == [AskTurn()]
    assert talk.where == (State.CONNECTING, "NOT_BACK")


def test_the_fifth_loss_without_a_steady_minute_is_flapping():
    talk = online()
    for _ in range(4):
        assert talk.after(1, Disconnected())[-1] == SetTimer(Timer.GRACE, 47.5)
        talk.tell(Connected())
    assert talk.after(1, Disconnected()) == [StopWorker(), ClearTimer(Timer.STEADY)]
    assert talk.where == (State.WAITING, "FLAPPING")
    waits = []
    for _ in range(7):
        talk.tell(WorkerEnded("crashed"))
        waits.append(talk.delay)
        talk.tell(TimerFired(Timer.RETRY), TurnCame(), Connected(), Disconnected())
        assert talk.where == (State.WAITING, "FLAPPING")
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


def test_a_steady_minute_ends_the_flapping():
    talk = online()
    for _ in range(4):
        talk.tell(Disconnected(), Connected())
    talk.after(60, TimerFired(Timer.STEADY), Disconnected())
    assert talk.where == (State.RECOVERING, "CONNECTION_LOST")
    assert talk.session.losses == 1


# --- the library's own dials ------------------------------------------------------------------------------------------


def test_a_library_that_gives_up_is_replaced_at_once():
    for prepare in (connecting, online, recovering):
        talk = prepare()
        assert talk.tell(LibraryGaveUp("Failed to reconnect after 515 code: EOF"))[0] == StopWorker()
        assert talk.where == (State.WAITING, "GAVE_UP")
        assert talk.report.detail.startswith("Failed to reconnect")
        assert talk.tell(WorkerEnded("crashed")) == [AskTurn()]


@pytest.mark.parametrize("prepare", [connecting, recovering])
def test_a_refused_dial_is_tried_again_by_us_with_jitter(prepare):
    talk = prepare()
    assert talk.tell(DialRefused(503))[0] == StopWorker()
    assert talk.where == (State.WAITING, "NETWORK_DOWN")
    assert talk.report.detail == "HTTP 503"
    assert talk.tell(WorkerEnded("crashed")) == [SetTimer(Timer.RETRY, 0.5)]


@pytest.mark.parametrize("prepare", [connecting, recovering])
def test_too_many_requests_get_a_minute_of_peace_and_more_each_time(prepare):
    talk = prepare()
    waits = []
    talk.dice = 0.0
    for _ in range(3):
        assert talk.tell(DialRefused(429))[0] == StopWorker()
        assert talk.where == (State.WAITING, "RATE_LIMITED")
        assert talk.report.detail == "HTTP 429"
        talk.tell(WorkerEnded("stopped"))
        waits.append(talk.delay)
        talk.tell(TimerFired(Timer.RETRY), TurnCame())
        talk.dice += 0.5
    assert waits == [60.0, 120.0, 300.0]


@pytest.mark.parametrize("position", UP)
def test_the_refusal_of_a_dial_that_was_forgotten_since_is_no_matter(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(DialRefused(429)) == []
    assert talk.session == before


@pytest.mark.parametrize(
    ("text", "code", "least"),
    [
        ("expected handshake response status code 101 but got 429", "RATE_LIMITED", 60.0),
        ('failed to send handshake request: Get "https://x": Too Many Requests', "RATE_LIMITED", 60.0),
        ("x509: certificate has expired or is not yet valid: current time 2019", "CLOCK_WRONG", 0.0),
        ("dial tcp 10.0.4.29:443: connection refused", "NETWORK_DOWN", 0.0),
    ],
)
def test_a_first_dial_that_fails_says_why(text: str, code: str, least: float):
    talk = connecting()
    talk.dice = 0.0
    talk.tell(WorkerEnded("dial-failed", text))
    assert talk.where == (State.WAITING, code)
    assert talk.delay == least
    assert talk.report.detail == text
    assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]


# --- when it is over ----------------------------------------------------------------------------------------------------


def test_who_waits_for_the_network_is_told_that_it_is_back():
    talk = waiting()
    for _ in range(9):
        talk.tell(TimerFired(Timer.RETRY), TurnCame(), WorkerEnded("dial-failed"))
    assert talk.delay == 30.0
    assert talk.after(1, NetworkBack()) == [SetTimer(Timer.RETRY, 0.5)]
    assert talk.session.resume_at == talk.now + 0.5
    talk.dice = 0.9
    assert talk.tell(NetworkBack()) == []  # it is due sooner already


def test_a_dial_that_hangs_is_dialled_anew_when_the_network_is_back():
    talk = connecting()
    assert talk.after(3.0, NetworkBack()) == [SetTimer(Timer.CONNECT, 7.5)]  # it may be about to succeed by itself
    assert talk.after(7.5, TimerFired(Timer.CONNECT)) == [StopWorker()]
    assert talk.where == (State.WAITING, "NO_ANSWER")
    assert talk.session.resume_at == talk.now + 0.5


def test_a_dial_that_has_hung_for_long_is_dialled_anew_at_once():
    talk = connecting()
    talk.session = replace(talk.session, failures=9)
    assert talk.after(20.0, NetworkBack()) == [SetTimer(Timer.CONNECT, 0.5)]
    talk.after(0.5, TimerFired(Timer.CONNECT))
    assert talk.session.resume_at == talk.now + 0.5, "what failed before the network was back is forgiven"


def test_a_dial_that_is_given_up_soon_anyway_is_left_alone():
    talk = connecting()
    assert talk.after(44.8, NetworkBack()) == []


def test_who_is_still_ending_its_worker_tries_sooner_too():
    talk = PREPARED["ending"]()
    talk.dice = 0.0
    assert talk.tell(NetworkBack()) == []
    assert talk.session.resume_at == talk.now
    assert talk.tell(WorkerEnded("crashed")) == [AskTurn()]


def test_a_library_that_has_dialled_for_a_while_is_replaced_when_the_network_is_back():
    talk = recovering()
    assert talk.after(4.9, NetworkBack()) == []
    assert talk.after(0.1, NetworkBack()) == [SetTimer(Timer.GRACE, 0.5)]
    assert talk.after(0.5, TimerFired(Timer.GRACE)) == [StopWorker()]


@pytest.mark.parametrize(
    "position", ["banned", "replaced", "outdated", "disk full", "left alone", "stopped", "logged out", "steady", "queued"]
)
def test_that_the_network_is_back_is_no_matter_to_others(position: str):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(NetworkBack()) == []
    assert (talk.session, talk.commands) == (before, [])


def test_a_library_that_is_to_be_replaced_is_not_told_twice():
    talk = recovering()
    assert talk.after(5, NetworkBack()) == [SetTimer(Timer.GRACE, 0.5)]
    assert talk.session.resume_at == talk.now + 0.5
    before = talk.session
    talk.dice = 0.0
    assert talk.after(0.1, NetworkBack()) == []
    assert talk.session == before
