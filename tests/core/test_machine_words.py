"""What the server says, and what is made of it: out for good, out for a while, out for now."""

from __future__ import annotations

import pytest
from conversation import EVERYWHERE, PREPARED, RUNNING, Talk, connecting, ended, online, recovering, steady, waiting

from wasess.core import reasons
from wasess.core.commands import AmendOutage, AskTurn, ClearTimer, SetTimer, StopWorker
from wasess.core.events import (
    ClientOutdated,
    Connected,
    ConnectFailure,
    Disconnected,
    Event,
    KeepAliveRestored,
    LoggedOut,
    OfflineSyncCompleted,
    OfflineSyncPreview,
    OtherEvent,
    Paired,
    PairError,
    StartRequested,
    StreamReplaced,
    TemporaryBan,
    TimerFired,
    TurnCame,
    Undecryptable,
    WorkerEnded,
)
from wasess.core.snapshot import Timer
from wasess.core.states import State

HOUR = 3600.0


@pytest.mark.parametrize("position", RUNNING)
@pytest.mark.parametrize(
    ("word", "where", "pause"),
    [
        (LoggedOut(401), (State.LOGGED_OUT, "LOGGED_OUT"), None),
        (LoggedOut(403), (State.LOGGED_OUT, "ACCOUNT_LOCKED"), None),
        (LoggedOut(406), (State.LOGGED_OUT, "ACCOUNT_BANNED"), None),
        (TemporaryBan(101, 600.0), (State.PAUSED, "BANNED"), 600.0),
        (TemporaryBan(101, 0), (State.PAUSED, "BANNED"), 3600.0),
        (StreamReplaced(), (State.PAUSED, "REPLACED"), 60.0),
        (ClientOutdated(), (State.OUTDATED, "OUTDATED"), 3600.0),
        (ConnectFailure(409), (State.WAITING, "REFUSED"), 90.0),
    ],
)
def test_the_servers_last_words_end_the_worker_gently(position: str, word: Event, where: tuple[State, str], pause: float | None):
    talk = PREPARED[position]()
    assert talk.tell(word)[0] == StopWorker()
    assert talk.where == where
    assert talk.session.resume_at == (None if pause is None else talk.now + pause)
    assert talk.tell(WorkerEnded("stopped")) == ([] if pause is None else [SetTimer(Timer.RETRY, pause)])
    if pause is not None:
        assert talk.after(pause, TimerFired(Timer.RETRY)) == [AskTurn()]
        assert talk.where == (State.CONNECTING, where[1])


@pytest.mark.parametrize("position", sorted(set(EVERYWHERE) - set(RUNNING)))
@pytest.mark.parametrize("word", [StreamReplaced(), TemporaryBan(1, 1), ClientOutdated(), ConnectFailure(1), Connected(), Disconnected()])
def test_late_words_of_a_dead_worker_move_nothing(position: str, word: Event):
    talk = PREPARED[position]()
    before = talk.session
    talk.tell(word)
    assert (talk.session, talk.commands) == (before, [])


@pytest.mark.parametrize(
    "word", [Paired("49:3@s.whatsapp.net"), PairError("no"), OfflineSyncCompleted(3), OtherEvent(99), Undecryptable("1", "a", "b")]
)
@pytest.mark.parametrize("position", EVERYWHERE)
def test_words_that_decide_nothing_change_nothing(position: str, word: Event):
    talk = PREPARED[position]()
    before = talk.session
    assert talk.tell(word) == []
    assert (talk.session, talk.commands) == (before, [])


@pytest.mark.parametrize("position", EVERYWHERE)
def test_answered_pings_are_a_sign_of_life_and_no_more(position: str):
    talk = PREPARED[position]()
    where, timer = talk.where, talk.session.timer
    assert talk.after(1, KeepAliveRestored()) == []
    assert (talk.where, talk.session.timer, talk.session.suspected, talk.session.heard_at) == (where, timer, None, talk.now)


# --- out for good ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", sorted(set(EVERYWHERE) - {"logged out"}))
def test_a_logout_counts_whenever_it_is_heard(position: str):
    talk = PREPARED[position]()
    talk.tell(LoggedOut(401))
    assert talk.where == (State.LOGGED_OUT, "LOGGED_OUT")
    assert talk.report.detail == "reason 401"
    talk.tell(WorkerEnded("stopped"))
    assert (talk.session.timer, talk.session.resume_at, talk.session.resting) == (None, None, True)
    assert talk.tell(LoggedOut(403)) == []
    assert talk.where == (State.LOGGED_OUT, "LOGGED_OUT")


@pytest.mark.parametrize(("age", "code"), [(59.0, "LOGGED_OUT_EARLY"), (60.0, "LOGGED_OUT")])
def test_a_link_taken_back_within_a_minute_is_called_so(age: float, code: str):
    talk = Talk()
    talk.tell(StartRequested(paired_at=talk.now), TurnCame(), Connected())
    talk.after(age, LoggedOut(0, on_connect=False))
    assert talk.where == (State.LOGGED_OUT, code)
    assert talk.report.detail == ""


@pytest.mark.parametrize(("code", "words"), [(403, "code 403"), (406, "code 406"), (401, "logged out")])
def test_a_logout_says_what_to_do(code: int, words: str):
    talk = ended(online, LoggedOut(code))
    assert words in talk.session.reason.sentence
    assert "`wasess connect {user}`" in talk.session.reason.action
    assert talk.session.reason.level == "error"


def test_a_logged_out_session_is_never_dialled():
    talk = ended(online, LoggedOut(401))
    for name in (Timer.CONNECT, Timer.GRACE, Timer.STEADY, Timer.QUIET, Timer.RETRY):
        assert talk.after(HOUR, TimerFired(name), TurnCame()) == []
    assert talk.where == (State.LOGGED_OUT, "LOGGED_OUT")


# --- out for a while ------------------------------------------------------------------------------------------------------


def test_a_ban_is_waited_for_and_then_tried_once():
    talk = connecting()
    talk.tell(TemporaryBan(104, 7200.0), WorkerEnded("stopped"))
    assert talk.delay == 7200.0
    assert talk.after(7200, TimerFired(Timer.RETRY)) == [AskTurn()]
    assert talk.tell(TurnCame(), TemporaryBan(104, 86400.0))[0] == StopWorker()
    talk.tell(WorkerEnded("stopped"))
    assert talk.delay == 86400.0
    talk.after(86400, TimerFired(Timer.RETRY))
    talk.tell(TurnCame(), Connected())
    assert talk.where == (State.ONLINE, "ONLINE")


def test_a_ban_says_its_code_and_end():
    talk = online()
    talk.tell(TemporaryBan(104, 600.0))
    assert (talk.report.detail, talk.report.next_try_at, talk.report.level) == ("code 104", 1600.0, "error")


def test_the_pause_counts_from_the_word_not_from_the_workers_end():
    talk = online()
    talk.tell(StreamReplaced())
    assert talk.after(4, WorkerEnded("stopped")) == [SetTimer(Timer.RETRY, 56.0)]


def test_a_pause_that_was_over_before_the_worker_ended_is_over():
    talk = online()
    talk.tell(TemporaryBan(101, 2.0))
    assert talk.after(4, WorkerEnded("stopped")) == [SetTimer(Timer.RETRY, 0.0)]
    assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]


@pytest.mark.parametrize(("holder", "words"), [("", "held by an unknown client"), ("host web-2", "held by host web-2")])
def test_a_session_taken_over_says_by_whom(holder: str, words: str):
    talk = online()
    talk.tell(StreamReplaced(holder))
    assert talk.report.detail == words
    left = PREPARED["left alone"]()
    left.tell(StartRequested(), TurnCame())
    for _ in range(3):
        left.tell(StreamReplaced(), WorkerEnded("stopped"), TimerFired(Timer.RETRY), TurnCame())
    left.tell(StreamReplaced(holder))
    assert left.report.detail == words


def test_a_session_that_keeps_being_replaced_is_left_alone_after_three_tries():
    talk = online()
    for tries in range(3):
        talk.tell(StreamReplaced(), WorkerEnded("stopped"))
        assert (talk.where, talk.delay, talk.session.replaced) == ((State.PAUSED, "REPLACED"), 60.0, tries + 1)
        assert talk.after(60, TimerFired(Timer.RETRY)) == [AskTurn()]
        talk.tell(TurnCame(), Connected())
    assert talk.tell(StreamReplaced())[0] == StopWorker()
    assert talk.tell(WorkerEnded("stopped")) == []
    assert talk.where == (State.PAUSED, "REPLACED_FOR_GOOD")
    assert talk.after(24 * HOUR, TimerFired(Timer.RETRY)) == []
    assert talk.tell(StartRequested()) == [AskTurn()]


def test_a_steady_minute_makes_the_next_takeover_the_first():
    talk = online()
    talk.tell(StreamReplaced(), WorkerEnded("stopped"), TimerFired(Timer.RETRY), TurnCame(), Connected())
    talk.after(60, TimerFired(Timer.STEADY), StreamReplaced())
    assert talk.session.replaced == 1


def test_an_outdated_library_is_tried_every_hour_and_told_of_once():
    talk = connecting()
    levels = []
    for _ in range(48):
        talk.tell(ClientOutdated())
        levels.append(talk.report.level)
        assert talk.tell(WorkerEnded("stopped")) == [SetTimer(Timer.RETRY, HOUR)]
        assert talk.where == (State.OUTDATED, "OUTDATED")
        assert talk.after(HOUR, TimerFired(Timer.RETRY)) == [AskTurn()]
        levels.append(talk.report.level)
        talk.tell(TurnCame())
    assert levels == ["error"] + ["debug"] * 95
    assert "pip install --upgrade" in talk.session.reason.action


# --- out for now --------------------------------------------------------------------------------------------------------------


def test_a_refusal_waits_minutes_and_more_each_time():
    talk = connecting()
    pauses = []
    for _ in range(6):
        talk.tell(ConnectFailure(400, "bad request"))
        assert talk.report.detail == "400 bad request"
        pauses.append((talk.session.resume_at or 0) - talk.now)
        talk.tell(WorkerEnded("stopped"), TimerFired(Timer.RETRY), TurnCame())
    assert pauses == [90.0, 120.0, 180.0, 300.0, 480.0, 480.0]


def test_a_refusal_without_words_is_told_by_its_number():
    talk = connecting()
    talk.tell(ConnectFailure(501))
    assert talk.report.detail == "501"


def test_a_refusal_the_library_has_no_word_for_is_named_and_tried_slowly():
    talk = connecting()
    talk.tell(WorkerEnded("library-returned", 'proto: required field "Neonize.ConnectFailure.Reason" not set'))
    assert talk.where == (State.WAITING, "REFUSED_UNKNOWN")
    assert talk.delay == 90.0
    assert talk.report.detail.endswith("not set")
    assert talk.tell(TimerFired(Timer.RETRY)) == [AskTurn()]
    talk.tell(TurnCame(), WorkerEnded("library-returned", "required field TemporaryBan.Code not set"))
    assert talk.delay == 120.0


def test_what_was_kept_for_us_is_noted_for_the_ledger():
    talk = recovering()
    talk.tell(Connected())
    assert talk.after(1, OfflineSyncPreview(9, 4)) == [AmendOutage(4)]
    assert talk.session.heard_at == talk.now
    assert talk.tell(OfflineSyncPreview(9, 0)) == []


def test_a_word_exchanges_the_timer_that_ran():
    talk = steady()
    assert talk.tell(StreamReplaced()) == [StopWorker(), ClearTimer(Timer.QUIET)]
    assert talk.session.timer is None
    assert waiting().session.reason is reasons.NETWORK_DOWN


def test_a_ban_of_less_than_a_second_is_one():
    talk = online()
    talk.tell(TemporaryBan(101, 0.5), WorkerEnded("stopped"))
    assert talk.delay == 0.5


def test_only_a_library_that_has_returned_can_have_met_a_word_it_does_not_know():
    talk = connecting()
    talk.tell(WorkerEnded("crashed", "required field ConnectFailure.Reason not set"))
    assert talk.where == (State.WAITING, "WORKER_LOST")
