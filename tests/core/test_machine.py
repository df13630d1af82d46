"""The machine as a conversation: ``told`` is what happens to the session, the commands are what it wants done."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from wasess.core import reasons
from wasess.core.commands import ClearTimer, Command, Deliver, KillWorker, Record, Report, SetTimer, StartWorker, StopWorker
from wasess.core.events import (
    ClientOutdated,
    Connected,
    ConnectFailure,
    Disconnected,
    Event,
    KeepAliveRestored,
    KeepAliveTimeout,
    LoggedOut,
    MessageReceived,
    OfflineSyncCompleted,
    OtherEvent,
    Paired,
    StartRequested,
    StopRequested,
    StreamError,
    StreamReplaced,
    TemporaryBan,
    TimerFired,
    WorkerEnded,
    WorkerStarted,
)
from wasess.core.machine import Snapshot, Timer, Worker, step
from wasess.core.message import Message
from wasess.core.states import State

TOLD = (Report, Record)


@dataclass
class Talk:
    """A session, its time and its luck."""

    now: float = 1000.0
    dice: float = 0.5
    session: Snapshot = field(default_factory=Snapshot)
    commands: list[Command] = field(default_factory=list)

    def tell(self, *told: Event) -> list[Command]:
        """Return what the last event made it want done, reports and records left out."""
        for event in told:
            self.session, self.commands = step(self.session, event, self.now, self.dice)
        return [command for command in self.commands if not isinstance(command, TOLD)]

    @property
    def where(self) -> tuple[State, str]:
        return self.session.state, self.session.reason.code


def starting() -> Talk:
    talk = Talk()
    talk.tell(StartRequested())
    return talk


def online() -> Talk:
    talk = starting()
    talk.tell(WorkerStarted(7), Connected())
    return talk


def recovering() -> Talk:
    talk = online()
    talk.tell(Disconnected())
    return talk


def waiting() -> Talk:
    talk = starting()
    talk.tell(WorkerEnded("dial-failed", "no route"))
    return talk


def ended(prepare, event: Event) -> Talk:
    talk = prepare()
    talk.tell(event, WorkerEnded("stopped"))
    return talk


PREPARED = {
    "new": Talk,
    "connecting": starting,
    "online": online,
    "recovering": recovering,
    "waiting": waiting,
    "banned": lambda: ended(online, TemporaryBan(101, 600)),
    "replaced": lambda: ended(online, StreamReplaced()),
    "outdated": lambda: ended(starting, ClientOutdated()),
    "logged out": lambda: ended(online, LoggedOut(401)),
    "stopped": lambda: ended(online, StopRequested()),
}
LIVE = ("connecting", "online", "recovering")


def test_a_start_starts_one_worker_with_a_deadline():
    talk = Talk()
    assert talk.tell(StartRequested()) == [StartWorker(), SetTimer(Timer.CONNECT, 45.0)]
    assert talk.tell(StartRequested()) == []
    assert talk.where == (State.CONNECTING, "STARTING")


def test_a_login_makes_it_online_and_begins_the_steady_minute():
    talk = starting()
    assert talk.tell(Connected()) == [ClearTimer(Timer.CONNECT), SetTimer(Timer.STEADY, 60.0)]
    assert talk.where == (State.ONLINE, "ONLINE")


def test_the_login_again_after_515_changes_nothing():
    talk = online()
    before = talk.session
    assert talk.tell(Connected()) == []
    assert talk.session == before


@pytest.mark.parametrize("lost", [Disconnected(), StreamError("516")])
def test_the_library_redials_first(lost: Event):
    talk = online()
    assert talk.tell(lost) == [ClearTimer(Timer.STEADY), SetTimer(Timer.GRACE, 45.0)]
    assert talk.where == (State.RECOVERING, "CONNECTION_LOST")
    talk.tell(Connected())
    assert talk.where == (State.ONLINE, "ONLINE")


@pytest.mark.parametrize(("prepare", "timer", "code"), [(starting, Timer.CONNECT, "NO_ANSWER"), (recovering, Timer.GRACE, "NOT_BACK")])
def test_a_worker_that_is_not_online_in_time_is_killed_and_replaced(prepare, timer: str, code: str):
    talk = prepare()
    assert talk.tell(TimerFired(timer)) == [KillWorker()]
    assert talk.where == (State.WAITING, code)
    assert talk.session.worker is Worker.ENDING
    assert talk.tell(WorkerEnded("crashed", "SIGKILL")) == [SetTimer(Timer.RETRY, 0.5)]
    assert talk.tell(TimerFired(Timer.RETRY)) == [StartWorker(), SetTimer(Timer.CONNECT, 45.0)]


def test_the_second_lost_ping_replaces_the_worker_at_once():
    talk = online()
    assert talk.tell(KeepAliveTimeout(1, 990.0)) == []
    assert talk.tell(KeepAliveTimeout(2, 990.0)) == [KillWorker(), ClearTimer(Timer.STEADY)]
    assert talk.tell(WorkerEnded("crashed")) == [SetTimer(Timer.RETRY, 0.0)]
    assert talk.session.reason is reasons.ZOMBIE


def test_a_failed_dial_waits_longer_each_time_and_never_gives_up():
    talk = starting()
    delays = []
    for _ in range(2000):
        (timer,) = [command for command in talk.tell(WorkerEnded("dial-failed", "no route")) if isinstance(command, SetTimer)]
        delays.append(timer.delay)
        talk.tell(TimerFired(Timer.RETRY))
    assert delays[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(delays[8:]) == {30.0}


def test_an_outage_is_told_loudly_once_and_recorded_once():
    talk = starting()
    loud, kept = [], []
    for _ in range(50):
        for event in (WorkerEnded("dial-failed", "no route"), TimerFired(Timer.RETRY)):
            talk.tell(event)
            loud += [command for command in talk.commands if isinstance(command, Report) and command.level != "debug"]
            kept += [command for command in talk.commands if isinstance(command, Record)]
    assert [report.reason for report in loud] == [reasons.NETWORK_DOWN]
    assert [record.reason for record in kept] == [reasons.NETWORK_DOWN]


def test_a_report_says_when_the_next_try_is():
    talk = starting()
    talk.tell(WorkerEnded("dial-failed", "no route"))
    (report,) = [command for command in talk.commands if isinstance(command, Report)]
    assert (report.attempt, report.next_try_at, report.detail) == (1, 1000.5, "no route")


@pytest.mark.parametrize("cause", ["crashed", "library-returned", "stopped", "something new"])
def test_a_worker_that_is_lost_is_replaced_at_once_and_then_with_patience(cause: str):
    talk = online()
    assert talk.tell(WorkerEnded(cause)) == [ClearTimer(Timer.STEADY), SetTimer(Timer.RETRY, 0.0)]
    assert talk.where == (State.WAITING, "WORKER_LOST")
    talk.tell(TimerFired(Timer.RETRY), Connected())
    assert talk.tell(WorkerEnded(cause))[-1] == SetTimer(Timer.RETRY, 1.0)


def test_failures_are_forgotten_only_after_a_steady_minute():
    talk = waiting()
    talk.tell(TimerFired(Timer.RETRY), Connected())
    assert talk.session.failures == 1
    talk.tell(TimerFired(Timer.STEADY))
    assert talk.session.failures == 0
    assert talk.where == (State.ONLINE, "ONLINE")


def test_a_session_held_by_another_process_is_tried_often_and_is_no_failure():
    talk = starting()
    delays = []
    for _ in range(12):
        (timer,) = [command for command in talk.tell(WorkerEnded("locked", "connect")) if isinstance(command, SetTimer)]
        delays.append(timer.delay)
        talk.tell(TimerFired(Timer.RETRY))
    assert delays == [0.25] * 8 + [1.0] * 4
    assert (talk.session.failures, talk.session.restarts) == (0, 0)


def test_no_device_needs_a_human():
    talk = starting()
    assert talk.tell(WorkerEnded("no-device")) == [ClearTimer(Timer.CONNECT)]
    assert talk.where == (State.LOGGED_OUT, "NEEDS_PAIRING")


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize(
    ("word", "where", "pause"),
    [
        (LoggedOut(401), (State.LOGGED_OUT, "LOGGED_OUT"), None),
        (TemporaryBan(101, 600.0), (State.PAUSED, "BANNED"), 600.0),
        (TemporaryBan(101, 0), (State.PAUSED, "BANNED"), 3600.0),
        (StreamReplaced(), (State.PAUSED, "REPLACED"), 60.0),
        (ClientOutdated(), (State.OUTDATED, "OUTDATED"), 3600.0),
        (ConnectFailure(409), (State.WAITING, "REFUSED"), 90.0),
    ],
)
def test_the_servers_last_words_end_the_worker_gently(state: str, word: Event, where: tuple[State, str], pause: float | None):
    talk = PREPARED[state]()
    assert talk.tell(word)[0] == StopWorker()
    assert talk.where == where
    assert talk.tell(WorkerEnded("stopped")) == ([] if pause is None else [SetTimer(Timer.RETRY, pause)])
    if pause is not None:
        assert talk.tell(TimerFired(Timer.RETRY))[0] == StartWorker()


def test_the_pause_counts_from_the_word_not_from_the_workers_end():
    talk = online()
    talk.tell(StreamReplaced())
    talk.now += 4
    assert talk.tell(WorkerEnded("stopped")) == [SetTimer(Timer.RETRY, 56.0)]


def test_a_session_that_keeps_being_replaced_is_left_alone_after_three_tries():
    talk = online()
    for _ in range(3):
        talk.tell(StreamReplaced(), WorkerEnded("stopped"), TimerFired(Timer.RETRY), Connected())
    assert talk.tell(StreamReplaced())[0] == StopWorker()
    assert talk.tell(WorkerEnded("stopped")) == []
    assert talk.where == (State.PAUSED, "REPLACED_FOR_GOOD")
    assert talk.tell(StartRequested())[0] == StartWorker()


def test_a_refusal_waits_minutes_and_more_each_time():
    talk = starting()
    pauses = []
    for _ in range(6):
        talk.tell(ConnectFailure(400))
        pauses.append((talk.session.resume_at or 0) - talk.now)
        talk.tell(WorkerEnded("stopped"), TimerFired(Timer.RETRY))
    assert pauses == [90.0, 120.0, 180.0, 300.0, 480.0, 480.0]


def test_a_logout_heard_while_the_worker_is_being_replaced_still_counts():
    talk = recovering()
    talk.tell(TimerFired(Timer.GRACE), LoggedOut(401))
    assert talk.where == (State.LOGGED_OUT, "LOGGED_OUT")
    assert talk.tell(WorkerEnded("stopped")) == []


@pytest.mark.parametrize("state", PREPARED)
def test_a_stop_ends_in_rest_from_everywhere(state: str):
    talk = PREPARED[state]()
    logged_out = talk.session.state is State.LOGGED_OUT
    commands = talk.tell(StopRequested())
    if talk.session.worker is Worker.ENDING:
        assert commands[0] == StopWorker()
        talk.tell(WorkerEnded("stopped"))
    assert talk.session.state is (State.LOGGED_OUT if logged_out else State.STOPPED)
    assert (talk.session.worker, talk.session.timer, talk.session.resting) == (Worker.ABSENT, None, True)


@pytest.mark.parametrize("state", sorted(set(PREPARED) - set(LIVE)))
def test_a_human_can_start_it_from_everywhere(state: str):
    talk = PREPARED[state]()
    assert StartWorker() in talk.tell(StartRequested())
    assert talk.where == (State.CONNECTING, "STARTING")


def test_a_start_while_the_old_worker_ends_waits_for_its_end():
    talk = online()
    talk.tell(StopRequested())
    assert talk.tell(StartRequested()) == []
    assert talk.tell(WorkerEnded("stopped")) == [SetTimer(Timer.RETRY, 0.0)]
    assert talk.tell(TimerFired(Timer.RETRY))[0] == StartWorker()


@pytest.mark.parametrize("state", PREPARED)
@pytest.mark.parametrize(
    "event",
    [
        KeepAliveRestored(),
        Paired("491701234567:3@s.whatsapp.net"),
        OfflineSyncCompleted(3),
        OtherEvent(99),
        WorkerStarted(1),
        TimerFired("no such timer"),
        KeepAliveTimeout(1, 0.0),
    ],
)
def test_what_means_nothing_changes_nothing(state: str, event: Event):
    talk = PREPARED[state]()
    before = talk.session
    talk.tell(event)
    assert (talk.session, talk.commands) == (before, [])


@pytest.mark.parametrize("state", sorted(set(PREPARED) - set(LIVE)))
@pytest.mark.parametrize(
    "event",
    [Connected(), Disconnected(), StreamReplaced(), TemporaryBan(1, 1), ClientOutdated(), ConnectFailure(1), KeepAliveTimeout(5, 0.0)],
)
def test_late_words_of_a_dead_worker_move_nothing(state: str, event: Event):
    talk = PREPARED[state]()
    before = talk.session
    talk.tell(event)
    assert (talk.session, talk.commands) == (before, [])


@pytest.mark.parametrize("state", PREPARED)
def test_a_message_is_delivered_in_every_state(state: str):
    talk = PREPARED[state]()
    message = Message(id="1", chat="a", sender="a", text="hello", timestamp=0.0)
    before = talk.session
    assert talk.tell(MessageReceived(message)) == [Deliver(message)]
    assert talk.session == before


def test_restarts_are_counted_for_the_record():
    talk = online()
    talk.tell(WorkerEnded("crashed"), TimerFired(Timer.RETRY), Connected())
    (record,) = [command for command in talk.commands if isinstance(command, Record)]
    assert (record.state, record.restarts) == (State.ONLINE, 1)
