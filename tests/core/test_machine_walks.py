"""Random walks of the machine in virtual time, beside a world that runs its timers and its worker."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wasess.core import events
from wasess.core.commands import ClearTimer, Command, KillWorker, Report, SetTimer, StartWorker, StopWorker
from wasess.core.machine import Snapshot, Worker, step
from wasess.core.states import State

WORDS = st.sampled_from(
    [
        events.Connected(),
        events.Disconnected(),
        events.StreamError("500"),
        events.KeepAliveTimeout(1, 0.0),
        events.KeepAliveTimeout(2, 0.0),
        events.KeepAliveRestored(),
        events.LoggedOut(401),
        events.StreamReplaced(),
        events.TemporaryBan(101, 600.0),
        events.TemporaryBan(101, 0.0),
        events.ClientOutdated(),
        events.ConnectFailure(409),
        events.OtherEvent(1),
    ]
)
CAUSES = st.sampled_from(["stopped", "dial-failed", "library-returned", "locked", "no-device", "crashed", "unheard-of"])


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Snapshot()
        self.workers = 0
        self.told_to_end = False
        self.timer: tuple[str, float] | None = None
        self.human = False

    def feed(self, event: events.Event, dice: float, *, human: bool = False) -> None:
        before = self.session
        self.session, commands = step(self.session, event, self.now, dice)
        for command in commands:
            self.carry_out(command)
        if before.resting and self.session.state is not before.state and not human:
            assert self.session.state is State.LOGGED_OUT, f"{before.state} was left by {event}"

    def carry_out(self, command: Command) -> None:
        match command:
            case StartWorker():
                self.workers += 1
                self.told_to_end = False
            case StopWorker() | KillWorker():
                assert self.workers == 1, "ended a worker that is not there"
                self.told_to_end = True
            case SetTimer(name, delay):
                assert delay >= 0
                self.timer = (name, self.now + delay)
            case ClearTimer(name):
                assert self.timer, "cleared a timer that is not set"
                assert self.timer[0] == name
                self.timer = None
            case Report(next_try_at=moment):
                assert moment is None or moment >= self.now

    @rule(dice=st.floats(0, 1, exclude_max=True))
    def start(self, dice: float) -> None:
        self.feed(events.StartRequested(), dice, human=True)
        assert not self.session.resting

    @rule(dice=st.floats(0, 1, exclude_max=True))
    def stop(self, dice: float) -> None:
        self.feed(events.StopRequested(), dice, human=True)
        assert self.session.resting

    @rule(word=WORDS, dice=st.floats(0, 1, exclude_max=True))
    def hear(self, word: events.Event, dice: float) -> None:
        self.feed(word, dice)

    @precondition(lambda self: self.workers)
    @rule(cause=CAUSES, dice=st.floats(0, 1, exclude_max=True))
    def worker_ends(self, cause: str, dice: float) -> None:
        self.workers -= 1
        self.feed(events.WorkerEnded(cause), dice)

    @precondition(lambda self: self.timer)
    @rule(dice=st.floats(0, 1, exclude_max=True))
    def time_passes(self, dice: float) -> None:
        assert self.timer
        name, self.now = self.timer
        self.timer = None
        self.feed(events.TimerFired(name), dice)

    @rule(name=st.sampled_from(["connect", "grace", "steady", "retry"]), dice=st.floats(0, 1, exclude_max=True))
    def cleared_timer_fires_late(self, name: str, dice: float) -> None:
        if self.timer is None or self.timer[0] != name:
            before = self.session
            self.feed(events.TimerFired(name), dice)
            assert self.session == before

    @invariant()
    def at_most_one_worker_and_the_machine_knows_of_it(self) -> None:
        assert self.workers == (self.session.worker is not Worker.ABSENT)
        assert self.told_to_end >= (self.session.worker is Worker.ENDING)

    @invariant()
    def no_session_waits_for_nothing(self) -> None:
        assert self.workers or self.timer or self.session.resting

    @invariant()
    def the_timer_is_the_one_it_remembers(self) -> None:
        assert self.session.timer == (self.timer[0] if self.timer else None)

    @invariant()
    def a_resting_session_does_nothing_more_once_its_worker_has_ended(self) -> None:
        if self.session.resting:
            assert self.timer is None
            assert self.session.worker is not Worker.RUNNING


Walk.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWalk = Walk.TestCase
