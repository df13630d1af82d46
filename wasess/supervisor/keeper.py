"""Keeps one session: tells its machine what happens and does what the machine says.

Everything arrives in one inbox and is dealt with in order by one task; what takes long (the bot, a sending, the worker's end) runs
beside it. Messages from the spool go to the dispatcher and are committed when it is done with them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core import backoff, reasons
from wasess.core.commands import ClearTimer, Deliver, KillWorker, Record, Report, SetTimer, StartWorker, StopWorker
from wasess.core.events import Event, MessageReceived, StartRequested, StopRequested, TimerFired, WorkerEnded, WorkerStarted
from wasess.core.machine import Snapshot, Worker, step
from wasess.core.states import LIVE, State
from wasess.delivery.dispatcher import Parcel
from wasess.errors import UnsupportedPlatform, WasessError
from wasess.link.port import LinkSignal, LinkSpec
from wasess.supervisor.intake import Intake
from wasess.supervisor.journal import Journal
from wasess.supervisor.report import Notice, state_notice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from wasess.core.commands import Command
    from wasess.core.message import Message
    from wasess.delivery.dispatcher import Dispatcher
    from wasess.link.port import Link, LinkHost
    from wasess.store.sessions import Session
    from wasess.supervisor.clock import Alarm, Clock
    from wasess.supervisor.intake import Ticket
    from wasess.supervisor.report import Reporter

REPLY_TRIES = 5
BREATH_EVERY = 100  # events from the spool, before other sessions get their turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all keepers share. ``dispatcher`` is None without a bot; ``dice`` is uniform in [0, 1)."""

    host: LinkHost
    translate: Callable[[int, bytes], Event]
    reporter: Reporter
    clock: Clock
    dice: Callable[[], float]
    dispatcher: Dispatcher | None = None


class Keeper:
    """One session. ``settled`` is set once the first try has come to an end, good or bad; ``snapshot`` may be read at any time."""

    def __init__(self, session: Session, tools: Tools) -> None:
        self.user = session.user
        self.snapshot = Snapshot()
        self.settled = asyncio.Event()
        self._session = session
        self._tools = tools
        self._inbox: asyncio.Queue[LinkSignal | Event | Exception] = asyncio.Queue()
        self._intake = Intake(session.folder, tools.translate, self._report_poison)
        self._journal = Journal(session, tools.clock.now, lambda sentence: self._report_trouble("RECORD_NOT_KEPT", sentence))
        self._link: Link | None = None
        self._ending: type[StopWorker | KillWorker] | None = None
        self._alarm: Alarm | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._online = asyncio.Event()
        self._closing = False
        self._began_at = 0.0
        self._restored = False

    @property
    def online(self) -> bool:
        """Whether the session is logged in."""
        return self.snapshot.state is State.ONLINE

    def request_start(self) -> None:
        """Try again at once: the session was paired anew, or an operator says so."""
        self._began_at, self._restored = self._tools.clock.now(), False
        self._inbox.put_nowait(StartRequested())

    def request_stop(self) -> None:
        """Drain the worker and let `run` return."""
        self._closing = True
        self._inbox.put_nowait(StopRequested())

    def kill(self) -> None:
        """End the worker at once."""
        self._ending = KillWorker
        if self._link is not None:
            self._link.kill()

    async def run(self) -> None:
        """Bring the session up and keep it up until `request_stop`. Raises `errors.UnsupportedPlatform` when no worker can ever run."""
        self._began_at = self._tools.clock.now()
        await self._journal.open()
        self._inbox.put_nowait(StartRequested())
        self._inbox.put_nowait(LinkSignal("spooled"))  # what was left from before
        try:
            while not self._closing or self.snapshot.worker is not Worker.ABSENT:
                await self._take_in(await self._inbox.get())
        finally:
            self._set_alarm(None)
            self.kill()
            for task in self._tasks:
                task.cancel()

    async def reply(self, chat: str, text: str) -> None:
        """Send a text as soon as the session is online. Raises `errors.WasessError` when it was refused five times while online."""
        failures = 0
        while True:
            await self._online.wait()
            try:
                if self._link is not None:
                    await self._link.send(chat, text)
                    return
            except WasessError:
                if self.online:
                    failures += 1
                if failures == REPLY_TRIES:
                    raise
            await asyncio.sleep(backoff.delay(failures, self._tools.dice()))

    # --- what comes in ----------------------------------------------------------------------------------------------

    async def _take_in(self, item: LinkSignal | Event | Exception) -> None:
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Event):
            await self._feed(item)
        elif item.kind == "spooled":
            await self._read_spool()
        elif item.kind == "started":
            await self._feed(WorkerStarted(int(item.value or 0)))
        elif item.kind == "log":
            level, _, text = item.value.partition(" ")
            logger.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s: %s", self.user, text)
        elif item.kind == "ended":
            await self._read_spool()
            self._link = None
            await self._feed(WorkerEnded(item.value, item.detail))

    async def _read_spool(self) -> None:
        for number, taken in enumerate(self._intake.take(), 1):
            if isinstance(taken.event, MessageReceived):
                await self._feed(taken.event, taken.ticket)
            else:
                if taken.fresh:
                    await self._feed(taken.event)
                self._intake.finish(taken.ticket)
            if number % BREATH_EVERY == 0:
                await asyncio.sleep(0)

    async def _feed(self, event: Event, ticket: Ticket | None = None) -> None:
        now = self._tools.clock.now()
        self.snapshot, commands = step(self.snapshot, event, now, self._tools.dice())
        self._note_state()
        for command in commands:
            await self._carry_out(command, ticket)

    def _note_state(self) -> None:
        if self.online:
            self._online.set()
        else:
            self._online.clear()
        # A predecessor that still drains is no verdict on the session yet.
        if self.online or (self.snapshot.state not in LIVE and self.snapshot.reason is not reasons.SESSION_LOCKED):
            self.settled.set()

    # --- what the machine says --------------------------------------------------------------------------------------

    async def _carry_out(self, command: Command, ticket: Ticket | None) -> None:
        match command:
            case StartWorker():
                self._ending = None
                self._intake.worker_starts()
                self._beside(self._live())
            case StopWorker():
                self._ending = StopWorker
                self._beside(self._stop_link())
            case KillWorker():
                self.kill()
            case SetTimer(name, delay):
                self._set_alarm(self._tools.clock.call_later(delay, lambda: self._inbox.put_nowait(TimerFired(name))))
            case ClearTimer():
                self._set_alarm(None)
            case Deliver(message) if ticket is not None:
                self._deliver(message, ticket)
            case Report():
                self._report(command)
            case Record():
                await self._journal.write(command)
            case _:
                raise AssertionError(command)

    async def _live(self) -> None:
        """From the start of a worker to its end, which is always told."""
        try:
            link = self._link = await self._tools.host.start(LinkSpec(self.user, self._session.folder, "run"))
            if self._ending is KillWorker:
                link.kill()
            elif self._ending is StopWorker:
                self._beside(self._stop_link())
            async for signal in link.signals():
                self._inbox.put_nowait(signal)
        except UnsupportedPlatform as error:
            self._inbox.put_nowait(error)
        except (WasessError, OSError) as error:
            self._inbox.put_nowait(LinkSignal("ended", "crashed", str(error)))
        except Exception as error:  # noqa: BLE001 - a bug: `run` raises it, and nobody waits for an end that is never told
            self._inbox.put_nowait(error)

    async def _stop_link(self) -> None:
        if self._link is None:
            return  # it is being started; `_live` sees what was asked for
        try:
            await self._link.stop()
        except WasessError:
            self.kill()

    def _deliver(self, message: Message, ticket: Ticket) -> None:
        dispatcher = self._tools.dispatcher
        if dispatcher is None:
            self._intake.finish(ticket)
        else:
            dispatcher.submit(Parcel(self.user, message, self.reply, lambda: self._intake.finish(ticket)))

    def _set_alarm(self, alarm: Alarm | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = alarm

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what people are told ---------------------------------------------------------------------------------------

    def _report(self, change: Report) -> None:
        now = self._tools.clock.now()
        lines = {
            reasons.STARTING: "",
            reasons.ONLINE: f"{self.user} is online again" if self._restored else "",
            reasons.STOPPED: f"{self.user} stopped",
        }
        self._tools.reporter.report(state_notice(self.user, change, now, lines.get(change.reason)))
        if change.reason is reasons.ONLINE and not self._restored:
            self._restored = True
            restored = Notice(now, "restored", f"{self.user} restored ({now - self._began_at:.1f} s)", self.user)
            self._tools.reporter.report(restored)
            self._tools.reporter.report(replace(restored, event="reconnect_on", line=f"automatic reconnect on for {self.user}"))

    def _report_poison(self, code: int, error: Exception) -> None:
        self._report_trouble("POISON_FRAME", f"an event of kind {code} can't be read and was skipped ({type(error).__name__})")

    def _report_trouble(self, code: str, sentence: str) -> None:
        line = f"{self.user}: {sentence}"
        self._tools.reporter.report(
            Notice(self._tools.clock.now(), "trouble", line, self.user, code=code, reason=sentence, level="warning")
        )
