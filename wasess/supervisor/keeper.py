"""Keeps one session: tells its machine what happens and does what the machine says.

Everything arrives in one inbox and is dealt with in order by one task; what takes long (the bot, a sending, the worker's end) runs
beside it. What the worker says of its connection is read here at once; the mail in the same spool is the mailroom's, at its own pace.

The machine's moments are the clock's steady ones; what people and files are told is wall time.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wasess.core import commands, events, reasons
from wasess.core.live import Live
from wasess.core.machine import step
from wasess.core.snapshot import Snapshot, Worker
from wasess.core.states import LIVE, State
from wasess.errors import StoreError
from wasess.link.port import LinkSignal
from wasess.store.spool import SPOOL_NAME
from wasess.supervisor.journal import Journal
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.mailroom import Mailroom
from wasess.supervisor.report import detail_of
from wasess.supervisor.state_reader import StateReader
from wasess.supervisor.teller import Teller
from wasess.supervisor.tether import Tether
from wasess.supervisor.watch import Watch
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.clock import Alarm, Clock
    from wasess.core.commands import Command
    from wasess.core.events import Event
    from wasess.delivery.bot import Tell
    from wasess.delivery.dispatcher import Dispatcher
    from wasess.link.port import LinkHost
    from wasess.store.sessions import Session
    from wasess.supervisor.gate import Gate
    from wasess.supervisor.report import Reporter
    from wasess.supervisor.teller import Alerts
    from wasess.supervisor.tether import Incoming

    Account = commands.Report | commands.Record | commands.BeginOutage | commands.EndOutage | commands.AmendOutage

LOOK_AT_LOGGED_OUT_EVERY = 20.0  # well below `rounds.KEEPER_ANSWERS_WITHIN`
SPOOL_RETRY = 5.0  # a spool that can't be opened is tried again after it

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """A question to the keeper itself: do you still take things in?"""


@dataclass(frozen=True, slots=True)
class Asked:
    """An event that somebody waits for; ``done`` is set once it has been taken in."""

    event: Event
    done: asyncio.Event


@dataclass(frozen=True, slots=True)
class Tools:
    """What all keepers share. ``hint`` says what the library's log means; ``dice`` is uniform in [0, 1).

    ``translate`` reads spool frames; ``translate_state`` does, too, and need not look into mail.

    ``memory``: bytes a worker may use, 0 for any. ``seen``: whether WhatsApp may show this device as in use now and then.
    ``network_works`` is called with a user whose session has come back from a network failure. ``dispatcher`` is None without a bot.
    ``tell`` takes what is wrong with a bot or a reply.
    """

    host: LinkHost
    translate: Callable[[int, bytes], Event]
    translate_state: Callable[[int, bytes], Event]
    hint: Callable[[str, str], Event | None]
    reporter: Reporter
    clock: Clock
    dice: Callable[[], float]
    gate: Gate
    alerts: Alerts
    tell: Tell
    memory: int = 0
    seen: bool = True
    network_works: Callable[[str], None] = lambda _user: None
    dispatcher: Dispatcher | None = None
    mail: MailSettings = field(default_factory=MailSettings)


class Keeper:
    """One session. ``settled`` is set once the first try has come to an end, good or bad; ``snapshot`` may be read at any time.

    ``last_alive``: Unix time when a manager was last known to run here, 0 when unknown.
    """

    def __init__(self, session: Session, tools: Tools, last_alive: float = 0.0) -> None:
        self.user = session.user
        self.snapshot = Snapshot()
        self.settled = asyncio.Event()
        self.ticked_at = 0.0
        self._session = session
        self._tools = tools
        self._last_alive = last_alive
        self._inbox: asyncio.Queue[Incoming | Tick | Asked] = asyncio.Queue()
        self._teller = Teller(session.user, tools.reporter, tools.clock, tools.alerts)
        self._journal = Journal(session, tools.clock.now, lambda sentence: self._teller.trouble("RECORD_NOT_KEPT", sentence))
        self._tether = Tether(session, tools.host, tools.gate, tools.clock, Watch(tools.clock, tools.memory), self._put)
        self.mail = Mailroom(session, tools.mail, tools.clock, tools.dispatcher, self._teller, self._tether, self._journal.phone_seen)
        self._states = StateReader(session.folder, tools.translate_state)
        self._alarm: Alarm | None = None
        self._spool_waits = False  # a look into the spool is queued already
        self._moved = asyncio.Event()
        self._logins = 0
        self._closing = False
        self._leaving = False
        self._last_word: LinkSignal | None = None
        self._pid = 0
        self._detail = ""

    @property
    def online(self) -> bool:
        """Whether the session is logged in."""
        return self.snapshot.state is State.ONLINE

    @property
    def logins(self) -> int:
        """How often it has come online."""
        return self._logins

    def live(self) -> Live:
        """How it is now, for people and programs."""
        found, clock = self.snapshot, self._tools.clock
        living = found.worker in {Worker.RUNNING, Worker.ENDING}
        return Live(
            self.user,
            found.state,
            found.reason.code,
            self._detail,
            since=clock.wall_of(found.since),
            next_try_at=None if found.resume_at is None else clock.wall_of(found.resume_at),
            failures=found.failures,
            restarts=found.restarts,
            proven_at=clock.wall_of(found.heard_at) if found.heard_at else None,
            pid=self._pid if living else 0,
            memory=self._tether.memory() if living else 0,
            received_at=self.mail.received_at,
            sent_at=self.mail.sent_at,
            waiting=self.mail.waiting,
            problem=self.mail.problem,
        )

    async def moved(self) -> None:
        """Wait until its snapshot is another one."""
        await self._moved.wait()

    async def ask(self, event: Event) -> None:
        """Tell it something; return once it has been taken in."""
        asked = Asked(event, asyncio.Event())
        self._inbox.put_nowait(asked)
        await asked.done.wait()

    async def prove(self, deadline: float) -> None:
        """Ask WhatsApp something small. Raises `errors.WasessError` when there is no answer within ``deadline`` seconds."""
        await self._tether.prove(deadline)
        self._inbox.put_nowait(events.ProbeAnswered())

    async def logout(self) -> None:
        """Unlink the device at WhatsApp. Raises `errors.WasessError` when that did not work; nothing has changed then."""
        self._leaving = True  # WhatsApp's own word for it, and the process's end, may come before the answer
        try:
            await self._tether.logout()
            await self.ask(events.LoggedOut(here=True))
        finally:
            self._leaving = False
            if self._last_word is not None:
                self._inbox.put_nowait(self._last_word)
                self._last_word = None

    def request_start(self) -> None:
        """Try again at once: the session was paired anew, or an operator says so."""
        self._teller.begin()
        self._inbox.put_nowait(events.StartRequested(paired_at=self._tools.clock.steady()))

    def request_stop(self) -> None:
        """Drain the worker and let `run` return."""
        self._closing = True
        self._inbox.put_nowait(events.StopRequested())

    def tell(self, event: Event) -> None:
        """Something that concerns every session has happened."""
        self._inbox.put_nowait(event)

    def fail(self, error: Exception) -> None:
        """End with this error: something of this session raised it in another's turn."""
        self._inbox.put_nowait(error)

    def look(self) -> None:
        """Look at the worker from outside, and see whether the keeper itself takes things in: ``ticked_at`` follows.

        While the session waits for a human to pair it, now and then only: hundreds may.
        """
        idle = self.snapshot.state is State.LOGGED_OUT and self.snapshot.worker is Worker.ABSENT
        if idle and self._tools.clock.steady() - self.ticked_at < LOOK_AT_LOGGED_OUT_EVERY:
            return
        self._tether.look()
        self.mail.tend()
        if self.mail.is_open and not self._closing:
            self._look_at_mail()
        self._inbox.put_nowait(Tick())

    def _look_at_mail(self) -> None:
        """Where its messages can't stay open, this keeper ends, and the next one opens them anew (`Mailroom.close`, `Supervisor.look`)."""
        if fault := self.mail.mail.fault():
            self._teller.trouble(reasons.FILES_REPLACED.code, _("{fault}; starting afresh").format(fault=fault), level="error")
            self.mail.tell_problem(reasons.FILES_REPLACED.code)
            self.request_stop()
        elif self.snapshot.worker is Worker.RUNNING and self._states.replaced:
            self._inbox.put_nowait(events.FilesReplaced(_("{name} was replaced or removed").format(name=SPOOL_NAME)))

    def kill(self) -> None:
        """End the worker at once."""
        self._tether.kill()

    async def run(self) -> None:
        """Bring the session up and keep it up until `request_stop`. Raises `errors.UnsupportedPlatform` when no worker can ever run."""
        self._teller.begin()
        self.ticked_at = self._tools.clock.steady()
        async with AsyncExitStack() as closing:  # from the last to the first, each whatever another one raises: no mail stays open
            closing.push_async_callback(self._journal.flush)
            closing.push_async_callback(self.mail.close)
            closing.callback(self._states.close)
            closing.callback(self._tether.close)
            closing.callback(self._set_alarm, None)
            self.mail.start(self._tools.translate, self._tools.tell, self.fail)
            past = await self._journal.open(self._last_alive)
            self._inbox.put_nowait(events.StartRequested(self._steady_of(past.paired_at), self._steady_of(past.banned_until)))
            stopped = {State.STOPPED, State.LOGGED_OUT}
            while not (self._closing and self.snapshot.state in stopped and self.snapshot.worker is Worker.ABSENT):
                await self._take_in(await self._inbox.get())

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _put(self, item: Incoming) -> None:
        spooled = isinstance(item, LinkSignal) and item.kind == "spooled"
        if not (spooled and self._spool_waits):
            self._spool_waits |= spooled
            self._inbox.put_nowait(item)

    async def _take_in(self, item: Incoming | Tick | Asked) -> None:
        match item:
            case Asked(event, done):
                await self._feed(event)
                done.set()
            case Tick():
                self.ticked_at = self._tools.clock.steady()
            case Exception():
                raise item
            case events.Event():
                await self._feed(item)
            case LinkSignal(kind="spooled"):
                self._spool_waits = False
                await self._read_spool()
                self.mail.look()
            case LinkSignal(kind="started", value=pid, detail=at):
                self._pid = int(pid or 0)
                self._states.worker_started(int(at or 0))
                self.mail.worker_started(int(at or 0))
                await self._feed(events.WorkerStarted(self._pid))
            case LinkSignal(kind="log" | "hint"):
                await self._hear(item)
            case LinkSignal(kind="ended") if self._leaving:
                self._last_word = item
            case LinkSignal(kind="ended", value=cause, detail=detail):
                await self._read_spool()
                self.mail.worker_ended()
                self._tether.ended()
                await self._feed(events.WorkerEnded(cause, detail))

    async def _hear(self, said: LinkSignal) -> None:
        if said.kind == "log":
            level, _blank, text = said.value.partition(" ")
            same = {"session": self.user, "kind": " ".join(text.split()[:3])}  # the library's own words come first
            logger.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s: %s", self.user, text, extra=same)
            return
        hint = self._tools.hint(said.value, said.detail)
        if isinstance(hint, events.DatabaseBusy):
            self._teller.trouble("DATABASE_BUSY", _("another program keeps its database (device.db) locked; messages wait"), sparing=True)
        elif isinstance(hint, events.DatabaseLost):
            self._tether.look_at_database(hint)
        elif hint is not None:
            await self._feed(hint)

    async def _read_spool(self) -> None:
        try:
            for event in self._states.read():
                await self._feed(event)
        except (StoreError, OSError) as error:
            self._teller.trouble("SPOOL_NOT_READ", str(error), level="error", sparing=True)
            self._tools.clock.call_later(SPOOL_RETRY, lambda: self._inbox.put_nowait(LinkSignal("spooled")))

    async def _feed(self, event: Event) -> None:
        if isinstance(event, events.StreamReplaced):
            event = replace(event, holder=await asyncio.to_thread(self._session.rival, {self._pid}))
        elif isinstance(event, events.LoggedOut):
            event = replace(event, here=self._leaving)
        elif isinstance(event, events.KeepAliveTimeout):
            event = replace(event, last_success=self._steady_of(event.last_success))
        before = self.snapshot
        self.snapshot, wanted = step(before, event, self._tools.clock.steady(), self._tools.dice())
        self._note_state(before)
        if (before.state, before.reason, before.since) != (self.snapshot.state, self.snapshot.reason, self.snapshot.since):
            self._moved.set()
            self._moved = asyncio.Event()
        for command in wanted:
            await self._carry_out(command)

    def _note_state(self, before: Snapshot) -> None:
        was_online = before.state is State.ONLINE
        if self.online and not was_online:
            self._logins += 1
            self.mail.online()
        elif was_online and not self.online:
            self.mail.offline()
        # A predecessor that still drains is no verdict on the session yet.
        if self.online or (self.snapshot.state not in LIVE and self.snapshot.reason is not reasons.SESSION_LOCKED):
            self.settled.set()
        self._tether.outdated = self.snapshot.reason is reasons.OUTDATED or (self._tether.outdated and not self.online)
        if self.snapshot.worker in {Worker.ABSENT, Worker.ENDING} or self.online:
            self._tether.leave_place()
        if self.snapshot.reason is reasons.FILES_REPLACED is not before.reason:
            self.mail.tell_problem(reasons.FILES_REPLACED.code)
        if self.online and before.reason in reasons.NETWORK:
            self._tools.network_works(self.user)

    # --- what the machine says --------------------------------------------------------------------------------------

    async def _carry_out(self, command: Command) -> None:
        match command:
            case commands.SetTimer(name, delay):
                self._set_alarm(self._tools.clock.call_later(delay, lambda: self._inbox.put_nowait(events.TimerFired(name))))
            case commands.ClearTimer():
                self._set_alarm(None)
            case commands.Report() | commands.Record() | commands.BeginOutage() | commands.EndOutage() | commands.AmendOutage():
                await self._keep_account(command)
            case commands.StartWorker():
                self._teller.starting()
                await self.mail.compact()
                self.mail.worker_starts(self._states.worker_starts())
                self._tether.start()
            case _:
                self._handle_worker(command)

    def _handle_worker(self, command: Command) -> None:
        match command:
            case commands.AskTurn():
                self._tether.ask_turn()
            case commands.StopWorker():
                self._tether.stop()
            case commands.KillWorker():
                self._tether.kill()
            case commands.Probe(deadline):
                self._tether.probe(deadline)
            case commands.ShowPresence():
                self._tether.show_presence(seen=self._tools.seen)
            case _:
                raise AssertionError(command)

    async def _keep_account(self, command: Account) -> None:
        """What people and files are told, in wall time."""
        wall_of = self._tools.clock.wall_of
        match command:
            case commands.Report(next_try_at=moment):
                if command.reason is self.snapshot.reason:
                    self._detail = command.detail
                next_try_at = None if moment is None else wall_of(moment)
                self._teller.report(replace(command, detail=detail_of(command), next_try_at=next_try_at))
            case commands.Record(at=at, resume_at=moment):
                await self._journal.write(replace(command, at=wall_of(at), resume_at=None if moment is None else wall_of(moment)))
            case commands.BeginOutage(at=at) | commands.EndOutage(at=at):
                await self._journal.outage(replace(command, at=wall_of(at)))
            case commands.AmendOutage():
                await self._journal.outage(command)

    def _steady_of(self, wall: float) -> float:
        return self._tools.clock.steady() + (wall - self._tools.clock.now()) if wall else 0.0

    def _set_alarm(self, alarm: Alarm | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = alarm
