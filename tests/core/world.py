"""A WhatsApp, a network and a machine full of sessions, in virtual time: the least of each that the machine can be tried against.

The library's habits are those of NEONIZE.md 3.1: redials at 0, 2, 6, 12, 20, 30 s..., pings each 20 to 30 s with a deadline of 10 s, a dial
that hangs for 30 s. What is deliberately simpler: pings that are answered are no events, and every dial is one step.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from turns import Gate

from wasess.core import commands, events, reasons
from wasess.core.machine import step
from wasess.core.outages import Ledger, amended, begun, ended, open_outage
from wasess.core.snapshot import Snapshot, Worker
from wasess.core.states import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.commands import Command
    from wasess.core.events import Event

DIAL_HANGS = 30.0
RETRANSMITS = (1.0, 3.0, 7.0, 15.0)  # of the first packet of a connection
NUDGE_GATHERS = 0.2
REFUSED, HOLE, BUSY, UNWELL = "refused", "hole", "429", "503"


class World:
    """``weather``: (begin, end, what) of the network's bad times, which nobody in here knows beforehand but the library's dials."""

    def __init__(self, sessions: int, seed: int, weather: list[tuple[float, float, str]]) -> None:
        self.now = 0.0
        self.luck = Random(seed)
        self.weather = weather
        self.disk_full = False
        self.steps = 0
        self.reached: Counter[str] = Counter()
        self.dials: list[float] = []
        self._due: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._number = 0
        self._nudging = False
        self.gate = Gate(self)
        self.sessions = [Session(self, number) for number in range(sessions)]

    def later(self, delay: float, call: Callable[..., None], *arguments: object) -> None:
        self._number += 1
        heapq.heappush(self._due, (self.now + delay, self._number, call, arguments))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(self._due)
            call(*arguments)
        self.now = until

    def sleep(self, seconds: float) -> None:
        """Everything on this machine stands still; what happens outside does not."""
        self.now += seconds
        self._due = [(at + seconds, number, call, arguments) for at, number, call, arguments in self._due]
        for session in self.sessions:
            if session.library and session.library.open and seconds > DIAL_HANGS:
                if self.luck.random() < 0.5:
                    self.later(0.1, session.library.drop)
                else:
                    session.library.go_deaf()
        for session in self.sessions:
            session.feed(events.Woke(seconds))

    def tell(self, event: Event) -> None:
        for session in self.sessions:
            session.feed(event)

    def network_works(self) -> None:
        if not self._nudging:
            self._nudging = True
            self.later(NUDGE_GATHERS, self._nudge)

    def _nudge(self) -> None:
        self._nudging = False
        self.tell(events.NetworkBack())

    def sky(self) -> tuple[str, float]:
        """What the network is like, and until when."""
        return next(((what, end) for begin, end, what in self.weather if begin <= self.now < end), ("", math.inf))


class Library:
    """One worker: the library in its process."""

    def __init__(self, session: Session) -> None:
        self.open = self.deaf = self.stuck = self.ending = False
        self._session = session
        self._world = session.world
        self._dialling = False
        self._first = True
        self._errors = 0

    @property
    def alive(self) -> bool:
        return self._session.library is self and not self.stuck and not self.ending

    def say(self, event: Event) -> None:
        if self.alive:
            self._session.feed(event)

    def dial(self) -> None:
        if not self.alive or self.open:
            return
        assert not self._dialling, "two dials of one session"
        session = self._session
        assert self._world.now >= session.banned_until - 1e-6, "dialled during a ban"
        assert self._world.now >= session.peace_until - 1e-6, "dialled within a minute after 429"
        self._dialling = True
        what, end = self._world.sky()
        if session.stalls:
            session.stalls -= 1
            return
        if what == HOLE:
            back = next((after for after in RETRANSMITS if self._world.now + after >= end), DIAL_HANGS)
            self._world.later(back, self._dialled, HOLE if back == DIAL_HANGS else "")
        elif what:
            self._world.later(0.05, self._dialled, what)
        else:
            self._world.later(self._world.luck.uniform(0.1, 2.0), self._dialled, "")

    def _dialled(self, failure: str) -> None:
        self._dialling = False
        if not self.alive:
            return
        failure = failure or self._world.sky()[0]
        if failure == BUSY:
            self._session.peace_until = self._world.now + 60
        if failure and self._first:
            self._session.worker_ended(self, "dial-failed", f"dial: but got {failure}")
        elif failure:
            if failure in {BUSY, UNWELL}:
                self.say(events.DialRefused(int(failure)))
            self._redial()
        elif word := self._session.word():
            self.say(word)
        else:
            self.open, self._first, self._errors, self.deaf = True, False, 0, False
            self.say(events.Connected())
            self.say(events.OfflineSyncPreview(2, 1))

    def _redial(self) -> None:
        if self.alive:
            self._world.later(2.0 * self._errors, self.dial)
            self._errors += 1

    def drop(self) -> None:
        """A reset."""
        if self.alive and self.open:
            self.open = self.deaf = False
            self.say(events.Disconnected())
            self._redial()

    def die(self) -> None:
        """A 515 whose login failed: no connection, no word, no dial."""
        if self.alive and self.open:
            self.open = False
            self._world.later(5.0, self._miss_line)

    def _miss_line(self) -> None:
        if self.alive and not self.open and not self._dialling:
            self._world.later(1.0, self._miss_line)
            self.say(events.LineLost("no connection is open"))

    def go_deaf(self) -> None:
        """The other end is gone, without a word."""
        if self.alive and self.open and not self.deaf:
            self.deaf = True
            self._world.later(self._world.luck.uniform(10.0, 40.0), self._lose_ping, 1, self._world.now)

    def _lose_ping(self, count: int, last: float) -> None:
        if self.alive and self.open and self.deaf:
            self._world.later(self._world.luck.uniform(20.0, 30.0) + 10, self._lose_ping, count + 1, last)
            self.say(events.KeepAliveTimeout(count, last))

    def hear_again(self) -> None:
        if self.alive and self.open and self.deaf:
            self.deaf = False
            self._world.later(self._world.luck.uniform(0.0, 30.0), self.say, events.KeepAliveRestored())

    def hang(self) -> None:
        if self.alive:
            self.stuck = True
            self._world.later(self._world.luck.uniform(3.0, 5.0), self._session.saw, self, events.WorkerStuck("silent for 3 s"))

    def grow(self) -> None:
        self._session.saw(self, events.WorkerTooLarge(2, 1))

    def probed(self, deadline: float, token: int) -> None:
        what, end = self._world.sky()
        good = self.alive and self.open and not self.deaf and what != HOLE
        wait = 0.1 if good else (end - self._world.now if what == HOLE and not self._session.lonely else math.inf)
        if wait < deadline:
            self._world.later(wait, self._session.answered, token, events.ProbeAnswered())
        else:
            self._world.later(deadline, self._session.answered, token, events.ProbeFailed("no answer"))


class Session:
    """A keeper with nothing but its machine, and what the server thinks of the session."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.snapshot = Snapshot()
        self.library: Library | None = None
        self.ledger: Ledger = ()
        self.places: list[list[bool]] = []
        self.banned_until = self.peace_until = self.outdated_until = self.refused_until = self.broken_until = self.locked_until = 0.0
        self.rivals = self.stalls = 0
        self.unlinked = self.babel = self.lonely = False
        self.expected: tuple[str, float, float] | None = None  # what was promised, from when, until when it is to be online again
        self.waits: dict[str, float] = {}
        self._timer: tuple[str, int] | None = None
        self._tokens = 0
        self._probe = 0

    @property
    def sound(self) -> bool:
        """Whether nothing but the network can keep it offline."""
        holds = max(self.banned_until, self.outdated_until, self.refused_until, self.broken_until, self.locked_until)
        return holds <= self.world.now and not (self.unlinked or self.rivals or self.stalls or self.babel)

    def word(self) -> Event | None:
        """What the server says to a login; None: welcome."""
        now = self.world.now
        if self.babel and self.library:
            self.babel = False
            self.world.later(0.0, self.worker_ended, self.library, "library-returned", "required field ConnectFailure.Reason not set")
            return events.OtherEvent(0)
        words: list[tuple[bool, Event]] = [
            (self.unlinked, events.LoggedOut(401)),
            (self.banned_until > now, events.TemporaryBan(101, self.banned_until - now)),
            (self.outdated_until > now, events.ClientOutdated()),
            (self.refused_until > now, events.ConnectFailure(409)),
            (self.rivals > 0, events.StreamReplaced()),
        ]
        word = next((word for holds, word in words if holds), None)
        self.rivals -= isinstance(word, events.StreamReplaced)
        return word

    def saw(self, library: Library, event: Event) -> None:
        if self.library is library and not library.ending:
            self.feed(event)

    def answered(self, token: int, event: Event) -> None:
        if token == self._probe:
            self.feed(event)

    def worker_ended(self, library: Library, cause: str, detail: str = "") -> None:
        if self.library is library:
            self.library = None
            self._probe = 0
            self.feed(events.WorkerEnded(cause, detail))

    def feed(self, event: Event, *, human: bool = False) -> None:
        before = self.snapshot
        self.world.steps += 1
        self.snapshot, wanted = step(before, event, self.world.now, self.world.luck.random())
        for command in wanted:
            self._carry_out(command)
        found = self.snapshot
        if found is before:
            return
        assert human or not before.resting or found.state in {before.state, State.LOGGED_OUT}, f"{before.state} was left by {event}"
        self._check(found)
        if (found.worker is not Worker.RUNNING or found.state is State.ONLINE) and self.places:
            for place in self.places:
                self.world.gate.leave(place)
            self.places.clear()
        if found.state is State.ONLINE and before.state is not State.ONLINE:
            self._came_online(before)

    def _came_online(self, before: Snapshot) -> None:
        if before.reason in reasons.NETWORK:
            self.world.network_works()
        if self.expected:
            what, since, _ = self.expected
            self.waits[what] = max(self.waits.get(what, 0.0), self.world.now - since)
            self.expected = None

    def _check(self, found: Snapshot) -> None:
        worker = found.worker
        assert (self.library is not None) == (worker in {Worker.RUNNING, Worker.ENDING})
        assert (worker in {Worker.RUNNING, Worker.QUEUED}) == (found.state in LIVE)
        assert found.timer == (self._timer[0] if self._timer else None)
        assert found.timer or found.resting or worker in {Worker.QUEUED, Worker.ENDING}, "it waits for nothing"
        assert found.suspected is None or self._probe
        assert found.outage == (open_outage(self.ledger) is not None)
        assert found.state is not State.ONLINE or not found.outage

    # --- what the machine says ------------------------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        now = self.world.now
        match command:
            case commands.SetTimer(name, delay):
                assert 0 <= delay < math.inf
                self._tokens += 1
                self._timer = (name, self._tokens)
                self.world.later(delay, self._ring, name, self._tokens)
            case commands.ClearTimer(name):
                assert self._timer
                assert self._timer[0] == name
                self._timer = None
            case commands.Report(reason=reason):
                self.world.reached[reason.code] += 1
            case commands.BeginOutage(at, reason):
                assert open_outage(self.ledger) is None
                assert at <= now
                assert not self.ledger or (self.ledger[-1].end or 0.0) <= at
                self.ledger = begun(self.ledger, at, reason.code)
            case commands.EndOutage(at, attempts):
                self.ledger = ended(self.ledger, at, attempts)
            case commands.AmendOutage(recovered):
                self.ledger = amended(self.ledger, recovered)
            case _:
                self._handle_worker(command)

    def _handle_worker(self, command: Command) -> None:
        world, library = self.world, self.library
        match command:
            case commands.AskTurn():
                world.gate.ask(self)
            case commands.StartWorker():
                assert library is None, "two links"
                world.dials.append(world.now)
                self.library = Library(self)
                self._begin(self.library)
            case commands.StopWorker():
                assert library
                library.ending = True
                world.later(5.0 if library.stuck else world.luck.uniform(0.3, 2.0), self.worker_ended, library, "stopped")
            case commands.KillWorker():
                assert library
                library.ending = True
                world.later(0.05, self.worker_ended, library, "crashed", "SIGKILL")
            case commands.Probe(deadline):
                assert library
                self._tokens += 1
                self._probe = self._tokens
                library.probed(deadline, self._probe)

    def _begin(self, library: Library) -> None:
        now = self.world.now
        if self.locked_until > now:
            self.world.later(0.1, self.worker_ended, library, "locked", "connect")
        elif self.broken_until > now:
            self.world.later(0.1, self.worker_ended, library, "database", "file is not a database")
        elif self.world.disk_full:
            self.world.later(0.1, self.worker_ended, library, "disk-full")
        else:
            self.world.later(0.05, library.dial)

    def _ring(self, name: str, token: int) -> None:
        if self._timer == (name, token):
            self._timer = None
            self.feed(events.TimerFired(name))
