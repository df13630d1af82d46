"""Random walks of the machine in virtual time, beside a world that owes it what it has promised: turns, answers, ends, alarms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wasess.core import commands, events, reasons
from wasess.core.machine import step
from wasess.core.snapshot import Snapshot, Timer, Worker
from wasess.core.states import LIVE, State

if TYPE_CHECKING:
    from wasess.core.commands import Command
    from wasess.core.events import Event

DICE = st.floats(0, 1, exclude_max=True)
TIMERS = [Timer.CONNECT, Timer.GRACE, Timer.STEADY, Timer.QUIET, Timer.RETRY]
WORDS = st.sampled_from(
    [
        events.Connected(),
        events.Disconnected(),
        events.StreamError("500"),
        events.KeepAliveTimeout(1, 0.0),
        events.KeepAliveTimeout(2, 1e12),
        events.KeepAliveRestored(),
        events.LineLost("x"),
        events.DialRefused(429),
        events.DialRefused(503),
        events.LibraryGaveUp("x"),
        events.LoggedOut(401),
        events.LoggedOut(403),
        events.StreamReplaced(),
        events.TemporaryBan(101, 600.0),
        events.TemporaryBan(101, 0.0),
        events.ClientOutdated(),
        events.ConnectFailure(409),
        events.OfflineSyncPreview(3, 3),
        events.OtherEvent(1),
        events.WorkerStuck("x"),
        events.WorkerTooLarge(2, 1),
        events.DatabaseLost("x"),
        events.FilesReplaced("x"),
        events.DatabaseBusy(),
        events.DiskFull("x"),
        events.DiskFree(),
        events.NetworkBack(),
    ]
)
CAUSES = st.sampled_from(
    [
        ("stopped", ""),
        ("dial-failed", ""),
        ("dial-failed", "but got 429"),
        ("library-returned", ""),
        ("library-returned", "required field ConnectFailure.Reason not set"),
        ("locked", ""),
        ("no-device", ""),
        ("database", ""),
        ("disk-full", ""),
        ("crashed", "SIGSEGV"),
        ("unheard-of", ""),
    ]
)
LATE = st.sampled_from([events.TurnCame(), events.ProbeFailed("late"), events.ProbeAnswered(), events.WorkerEnded("crashed")])
DEAF_TO = (events.StreamReplaced, events.TemporaryBan, events.ClientOutdated, events.ConnectFailure, events.Connected, events.WorkerStuck)


class Walk(RuleBasedStateMachine):
    """``turns``, ``workers``, ``timer``: what is owed. A probe that is asked for drops the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Snapshot()
        self.turns = 0
        self.workers = 0
        self.told_to_end = False
        self.probe = False
        self.timer: tuple[str, float] | None = None
        self.outage: float | None = None
        self.last_end = 0.0
        self.online_since: float | None = None

    def feed(self, event: Event, dice: float, *, human: bool = False) -> None:
        before = self.session
        self.session, wanted = step(before, event, self.now, dice)
        assert (
            wanted
            or (self.session.state, self.session.timer, self.session.worker) == (before.state, before.timer, before.worker)
            or (isinstance(event, (events.WorkerEnded, events.TimerFired)))
        )
        for command in wanted:
            self.carry_out(command)
        self.note_steadiness(before, event)
        if before.resting and self.session.state is not before.state and not human:
            assert self.session.state is State.LOGGED_OUT, f"{before.state} was left by {event}"
        if before.worker is not Worker.RUNNING and isinstance(event, DEAF_TO):
            assert replace(self.session, heard_at=0, suspected=None) == replace(before, heard_at=0, suspected=None), "late words moved it"

    def note_steadiness(self, before: Snapshot, event: Event) -> None:
        forgiven = isinstance(event, (events.StartRequested, events.ReconnectRequested, events.TimerFired))
        assert self.session.failures >= before.failures or forgiven, "failures were forgotten early"
        if self.session.failures < before.failures and isinstance(event, events.TimerFired):
            assert self.online_since is not None
            assert self.now - self.online_since >= 60
        if self.session.state is not State.ONLINE:
            self.online_since = None
        elif self.online_since is None:
            self.online_since = self.now

    def carry_out(self, command: Command) -> None:
        match command:
            case commands.AskTurn():
                assert not self.workers, "asked for a turn beside a living worker"
                self.turns += 1
            case commands.StartWorker():
                assert not self.workers, "two links"
                self.workers, self.told_to_end, self.probe = 1, False, False
            case commands.StopWorker() | commands.KillWorker():
                assert self.workers == 1, "ended a worker that is not there"
                self.told_to_end = True
            case commands.Probe(deadline):
                assert 0 < deadline <= 30
                assert self.workers
                self.probe = True
            case commands.SetTimer(name, delay):
                assert math.isfinite(delay)
                assert delay >= 0
                assert self.timer is None or self.timer[0] == name, "two timers"
                self.timer = (name, self.now + delay)
            case commands.ClearTimer(name):
                assert self.timer, "cleared a timer that is not set"
                assert self.timer[0] == name
                self.timer = None
            case commands.Report(next_try_at=moment) | commands.Record(resume_at=moment):
                assert moment is None or moment >= self.now
            case _:
                self.keep_book(command)

    def keep_book(self, command: Command) -> None:
        match command:
            case commands.BeginOutage(at):
                assert self.outage is None, "two outages at once"
                assert self.last_end <= at <= self.now
                self.outage = at
            case commands.EndOutage(at, attempts):
                assert at == self.now
                assert attempts >= 0
                assert self.outage is None or self.outage <= at
                self.outage, self.last_end = None, at

    # --- people -----------------------------------------------------------------------------------------------------

    @rule(dice=DICE, banned_for=st.sampled_from([0.0, 0.0, 0.0, 500.0]))
    def start(self, dice: float, banned_for: float) -> None:
        running = self.session.worker
        self.feed(events.StartRequested(paired_at=self.now, banned_until=banned_for and self.now + banned_for), dice, human=True)
        assert not self.session.resting
        assert self.session.worker is running or running is Worker.ABSENT

    @rule(dice=DICE)
    def reconnect(self, dice: float) -> None:
        before = self.session
        self.feed(events.ReconnectRequested(), dice, human=True)
        assert self.session.reason is reasons.RECONNECTING or self.session == before
        assert self.session.state in {before.state, State.CONNECTING, State.WAITING}

    @rule(dice=DICE)
    def stop(self, dice: float) -> None:
        self.feed(events.StopRequested(), dice, human=True)
        assert self.session.resting
        assert self.session.state in {State.STOPPED, State.LOGGED_OUT}

    # --- the world ----------------------------------------------------------------------------------------------------

    @rule(word=WORDS, dice=DICE)
    def hear(self, word: Event, dice: float) -> None:
        self.feed(word, dice)

    @rule(slept=st.floats(0, 1e5), dice=DICE)
    def wake(self, slept: float, dice: float) -> None:
        """The alarm stood still meanwhile."""
        self.now += slept
        if self.timer:
            self.timer = (self.timer[0], self.timer[1] + slept)
        self.feed(events.Woke(slept), dice)
        if self.timer and self.timer[0] == Timer.RETRY and self.session.resume_at is not None:
            assert self.timer[1] <= max(self.now + 1, self.session.resume_at), "slept on"

    @precondition(lambda self: self.turns)
    @rule(dice=DICE)
    def turn_comes(self, dice: float) -> None:
        self.turns -= 1
        queued = self.session.worker is Worker.QUEUED
        self.feed(events.TurnCame(), dice)
        assert self.workers or not queued

    @precondition(lambda self: self.workers)
    @rule(cause=CAUSES, dice=DICE)
    def worker_ends(self, cause: tuple[str, str], dice: float) -> None:
        self.workers, self.probe = 0, False
        self.feed(events.WorkerEnded(*cause), dice)

    @precondition(lambda self: self.probe)
    @rule(answered=st.booleans(), dice=DICE)
    def probe_ends(self, answered: bool, dice: float) -> None:
        self.probe = False
        wanted = self.session.suspected is not None
        self.feed(events.ProbeAnswered() if answered else events.ProbeFailed("no answer"), dice)
        assert self.session.suspected is None
        assert not wanted or answered == (self.session.state is State.ONLINE)

    @precondition(lambda self: self.timer)
    @rule(dice=DICE)
    def time_passes(self, dice: float) -> None:
        assert self.timer
        name, at = self.timer
        self.now, self.timer = max(self.now, at), None
        self.feed(events.TimerFired(name), dice)

    @rule(seconds=st.floats(0, 100))
    def a_while_passes(self, seconds: float) -> None:
        self.now = min(self.now + seconds, self.timer[1]) if self.timer else self.now + seconds

    # --- what comes too late ------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(TIMERS), dice=DICE)
    def cleared_timer_fires_late(self, name: str, dice: float) -> None:
        if self.timer is None or self.timer[0] != name:
            before = self.session
            self.feed(events.TimerFired(name), dice)
            assert self.session == before

    @rule(event=LATE, dice=DICE)
    def something_comes_late(self, event: Event, dice: float) -> None:
        """Nobody waits for it: it is only heard."""
        before = self.session
        awaited = {
            events.TurnCame: before.worker is Worker.QUEUED,
            events.WorkerEnded: bool(self.workers),
            events.ProbeFailed: before.suspected is not None,
            events.ProbeAnswered: before.suspected is not None,
        }
        if not awaited[type(event)]:
            self.feed(event, dice)
            assert replace(self.session, heard_at=0.0) == replace(before, heard_at=0.0)

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_worker_and_the_machine_knows_of_it(self) -> None:
        assert self.workers == (self.session.worker in {Worker.RUNNING, Worker.ENDING})
        assert self.told_to_end >= (self.session.worker is Worker.ENDING)
        assert (self.session.worker in {Worker.RUNNING, Worker.QUEUED}) == (self.session.state in LIVE)

    @invariant()
    def no_session_waits_for_nothing(self) -> None:
        asked = self.turns and self.session.worker is Worker.QUEUED
        ending = self.session.worker is Worker.ENDING
        assert asked or ending or self.timer or self.session.resting
        assert self.session.suspected is None or self.probe, "it waits for an answer nobody will give"

    @invariant()
    def the_timer_is_the_one_it_remembers(self) -> None:
        assert self.session.timer == (self.timer[0] if self.timer else None)

    @invariant()
    def a_resting_session_does_nothing_more_once_its_worker_has_ended(self) -> None:
        if self.session.resting:
            assert self.timer is None
            assert self.session.resume_at is None
            assert self.session.worker in {Worker.ABSENT, Worker.ENDING}

    @invariant()
    def the_book_is_right(self) -> None:
        assert self.session.outage == (self.outage is not None)
        if self.session.state is State.ONLINE:
            assert self.outage is None
        elif self.session.state not in {State.NEW, State.CONNECTING, State.PAUSED, State.WAITING}:
            assert self.outage is not None
        assert self.session.suspected is None or self.last_end <= self.session.suspected <= self.now


Walk.TestCase.settings = settings(max_examples=150, stateful_step_count=80)
TestWalk = Walk.TestCase
