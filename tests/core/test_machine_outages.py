"""The ledger's entries: when an outage begins, when it ends, and what is none."""

from __future__ import annotations

import pytest
from conversation import PREPARED, connecting, ended, online, recovering, steady, suspected, waiting

from wasess.core import reasons
from wasess.core.commands import BeginOutage, EndOutage
from wasess.core.events import (
    Connected,
    Disconnected,
    DiskFree,
    Event,
    KeepAliveTimeout,
    LineLost,
    ProbeFailed,
    StartRequested,
    StopRequested,
    StreamReplaced,
    TimerFired,
    TurnCame,
    Woke,
    WorkerEnded,
)
from wasess.core.snapshot import Timer
from wasess.core.states import State


def test_a_start_is_no_outage_but_its_login_closes_one_of_before():
    assert online().book == [EndOutage(1000.0, 1)]


def test_a_start_that_fails_is_one():
    talk = waiting()
    assert talk.book == [BeginOutage(1000.0, reasons.NETWORK_DOWN)]
    talk.after(7, TimerFired(Timer.RETRY), TurnCame(), Connected())
    assert talk.book[1:] == [EndOutage(1007.0, 2)]


def test_an_outage_is_one_however_many_reasons_it_has():
    talk = recovering()
    talk.after(50, TimerFired(Timer.GRACE), WorkerEnded("crashed"))
    for cause in ("dial-failed", "crashed", "locked", "database"):
        talk.after(60, TimerFired(Timer.RETRY), TurnCame(), WorkerEnded(cause))
    talk.after(60, TimerFired(Timer.RETRY), TurnCame(), Connected())
    assert talk.book == [EndOutage(1000.0, 1), BeginOutage(1100.0, reasons.CONNECTION_LOST), EndOutage(1450.0, 5)]
    assert talk.session.outage is False


def test_the_librarys_own_reconnect_took_no_worker():
    talk = recovering()
    talk.after(2, Connected())
    assert talk.book[-1] == EndOutage(1102.0, 0)


def test_an_outage_began_when_the_last_ping_was_answered():
    talk = suspected()
    last_answer = talk.now - 40
    talk.after(5, ProbeFailed(""))
    assert talk.book[-1] == BeginOutage(last_answer, reasons.ZOMBIE)


@pytest.mark.parametrize(("last_success", "began"), [(0.0, 4100.0), (9999.0, 5000.0), (4990.0, 4990.0)])
def test_the_librarys_clock_is_believed_within_reason(last_success: float, began: float):
    talk = steady()
    talk.now = 5000.0
    talk.tell(KeepAliveTimeout(1, last_success), ProbeFailed(""))
    assert talk.book[-1] == BeginOutage(began, reasons.ZOMBIE)


@pytest.mark.parametrize("suspicion", [KeepAliveTimeout(1, 0.0), Woke(3600.0)])
def test_an_outage_never_begins_before_the_login(suspicion: Event):
    talk = recovering()
    talk.after(30, Connected())
    login = talk.now
    talk.after(3, suspicion, ProbeFailed(""))
    assert talk.book[-1] == BeginOutage(login, reasons.ZOMBIE)


def test_a_line_that_was_lost_was_lost_then():
    talk = steady()
    talk.after(100, LineLost(""))
    talk.after(5, ProbeFailed(""))
    assert talk.book[-1] == BeginOutage(talk.now - 5, reasons.ZOMBIE)


def test_a_suspicion_is_gone_with_the_connection():
    talk = suspected()
    talk.tell(Disconnected())
    assert talk.book[-1] == BeginOutage(talk.now - 40, reasons.CONNECTION_LOST)
    assert talk.session.suspected is None
    talk.after(1, Connected())
    talk.after(5, ProbeFailed("late"))
    assert len(talk.book) == 3


@pytest.mark.parametrize("position", ["banned", "replaced", "left alone", "outdated", "logged out", "stopped", "disk full", "ending"])
def test_whatever_takes_it_down_is_an_outage_until_the_next_login(position: str):
    talk = PREPARED[position]()
    assert isinstance(talk.book[-1], BeginOutage)
    assert talk.session.outage
    talk.tell(DiskFree(), StartRequested(), WorkerEnded("stopped"), TurnCame(), Connected())
    assert talk.session.state is State.ONLINE
    assert isinstance(talk.book[-1], EndOutage)
    assert sum(isinstance(entry, BeginOutage) for entry in talk.book) == 1


def test_who_is_stopped_before_the_first_login_was_away():
    talk = ended(connecting, StopRequested())
    assert talk.book == [BeginOutage(1000.0, reasons.STOPPED)]


def test_the_reason_of_an_outage_is_its_first():
    talk = ended(steady, StreamReplaced())
    talk.tell(StopRequested())
    assert [entry.reason for entry in talk.book if isinstance(entry, BeginOutage)] == [reasons.REPLACED]
