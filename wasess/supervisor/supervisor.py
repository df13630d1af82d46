"""Keeps all sessions of a home: brings them up several at a time, takes over those that are newly linked, takes all down within 10 s."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.states import State
from wasess.delivery.dispatcher import Dispatcher
from wasess.errors import UnsupportedPlatform, WasessError
from wasess.supervisor.clock import SystemClock
from wasess.supervisor.ending import Kept, cut_off, drain
from wasess.supervisor.file_budget import TooFewFiles, require_files
from wasess.supervisor.gate import Gate
from wasess.supervisor.keeper import Keeper, Tools
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.notify import Notifier
from wasess.supervisor.report import Notice, trouble_teller
from wasess.supervisor.rounds import Rounds
from wasess.supervisor.setbacks import FIRST_PAUSE, Setbacks
from wasess.supervisor.signals import ending_signals
from wasess.supervisor.stalls import StallMeter
from wasess.supervisor.survey import Survey
from wasess.supervisor.teller import Alerts
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from wasess.core.clock import Clock
    from wasess.core.events import Event
    from wasess.core.live import Live
    from wasess.delivery.bot import Bot
    from wasess.link.port import LinkHost
    from wasess.store.sessions import Home
    from wasess.supervisor.report import Reporter
    from wasess.supervisor.survey import Finding

INTERRUPTED = 130
THREADS = 8  # for what waits for a disk: one that hangs under some sessions leaves threads to the others and to the rounds


class Supervisor:
    """One for a home; `run` once. ``translate`` and ``translate_state`` are those of `link.translate`."""

    def __init__(  # noqa: PLR0913 - the doors of the whole manager, each by its name
        self,
        home: Home,
        host: LinkHost,
        translate: Callable[[int, bytes], Event],
        reporter: Reporter,
        *,
        translate_state: Callable[[int, bytes], Event] | None = None,
        hint: Callable[[str, str], Event | None] = lambda _kind, _text: None,
        bot: Bot | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        stalls: StallMeter | None = None,
        notifier: Notifier | None = None,
        serving: Callable[[Supervisor], AbstractAsyncContextManager[object]] = lambda _manager: nullcontext(),
        purpose: str = "serve",
    ) -> None:
        """``serving`` answers others for as long as the manager runs; ``purpose`` is what the home's lock says of it. ``stalls``: of its event loop."""
        self._home = home
        self._host = host
        self._bot = bot
        self._reporter = reporter
        self._settings = chosen = settings or Settings()
        self._survey = Survey(home, chosen.mail.own)
        self._clock = clock or SystemClock()
        self._notifier = notifier or Notifier({})
        tell = trouble_teller(reporter)
        self._dispatcher = Dispatcher(bot, tell, self._clock, max_age=chosen.max_age) if bot else None
        self.stalls = stalls or StallMeter()
        self._rounds = Rounds(home, self._clock, self._running, reporter, self._notifier, chosen.disk_reserve, self.stalls)
        self._rounds.announced = chosen.announced
        self._tools = Tools(
            host=host,
            translate=translate,
            translate_state=translate_state or translate,
            hint=hint,
            reporter=reporter,
            clock=self._clock,
            dice=random.random,
            gate=Gate(chosen.max_parallel, chosen.dials_per_second, self._clock, chosen.place_for),
            alerts=Alerts(),
            tell=tell,
            memory=chosen.worker_memory,
            seen=chosen.seen,
            network_works=self._rounds.network_works,
            dispatcher=self._dispatcher,
            mail=chosen.mail,
        )
        self._serving = serving
        self._purpose = purpose
        self._last_alive = 0.0
        self._kept: dict[str, Kept] = {}
        self._explained: dict[str, str] = {}
        self._setbacks = Setbacks(self._clock, reporter)
        self._wanted = 0
        self._aside: Counter[str] = Counter()
        self._looking = asyncio.Lock()
        self._stop = asyncio.Event()
        self._leave = asyncio.Event()
        self._fatal: UnsupportedPlatform | None = None
        self.ready = False
        """Whether every session that was found at the start has had its first try."""

    @property
    def home(self) -> Home:
        """The home it keeps."""
        return self._home

    @property
    def keepers(self) -> dict[str, Keeper]:
        """The keepers by their users, sorted."""
        return {user: kept.keeper for user, kept in sorted(self._kept.items())}

    @property
    def blind(self) -> str:
        """Why it can't look for sessions now; empty when it can."""
        return self._setbacks.blind

    def lives(self) -> list[Live]:
        """How each session is, sorted by user: those that are kept, and those that are not, though nobody has stopped them."""
        lives = [keeper.live() for keeper in self.keepers.values()]
        return sorted((*lives, *self._setbacks.lives(self._kept)), key=lambda live: live.user)

    async def look(self) -> None:
        """Look at once for what is new, gone, paused or resumed. Raises what keeps it from looking."""
        async with self._looking:
            busy = {user for user, kept in self._kept.items() if kept.keeper.snapshot.state is not State.LOGGED_OUT}
            findings = await asyncio.to_thread(self._survey.look, skip=busy)
            self._note_found(findings)
            for finding in findings:
                if (kept := self._kept.get(finding.session.user)) and finding.paused != kept.paused:
                    self._pause(kept, paused=finding.paused)
                elif finding.session.user not in busy:  # of those nothing was read
                    self._consider(finding)
            for user in self._kept.keys() - {finding.session.user for finding in findings}:
                self._let_go(self._kept[user])

    @asynccontextmanager
    async def aside(self, *users: str) -> AsyncIterator[None]:
        """Take these sessions down, and leave them alone inside the ``async with`` block: nothing of theirs is open then."""
        self._aside.update(users)
        try:
            tasks = [kept.task for user in users if (kept := self._kept.get(user)) and kept.task]
            for user in users:
                if user in self._kept:
                    self._kept[user].keeper.request_stop()
            if tasks:
                await asyncio.wait(tasks)
            yield
        finally:
            self._aside.subtract(users)

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, by `stop` or a signal."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Drain and end."""
        self._stop.set()

    def leave(self) -> None:
        """End without draining: what is not done comes again at the next start."""
        self._stop.set()
        self._leave.set()

    async def run(self) -> int:
        """Keep the home until `stop`, SIGTERM or SIGINT; return the exit code: 0, or 130 when it was told to `leave`.

        Raises `errors.Locked` (naming the holder) for another manager's home, `errors.UnsupportedPlatform` where no session can ever run.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        self._last_alive = self._home.last_alive()
        with self._home.lock(self._purpose) as lock, ending_signals(self.stop, self.leave):
            self._rounds.guard_home(lock, self._purpose, self.stop)
            self._tell("manager_starting", _("manager starting"))
            async with self._serving(self):
                await self._work()
        if self._fatal:
            raise self._fatal
        return INTERRUPTED if self._leave.is_set() else 0

    async def _work(self) -> None:
        working = {asyncio.create_task(self._manage()), asyncio.create_task(self._rounds.walk())}
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({*working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._notifier.stopping()
            for task in (*working, stopped):
                task.cancel()
            await self._end()
        for task in working:
            with suppress(asyncio.CancelledError):
                await task

    async def _manage(self) -> None:
        findings = await self._first_look()
        self._note_found(findings)
        async with self._looking:
            found = sum(finding.counts for finding in findings)
            self._tell("sessions_found", plural("{count} session found", "{count} sessions found", found).format(count=found))
            for finding in findings:
                self._consider(finding, wait_for_holder=True)
        ready = asyncio.create_task(self._tell_when_ready(found))
        try:
            await self._look_around()
        finally:
            ready.cancel()

    async def _first_look(self) -> list[Finding]:
        while True:
            try:
                return await asyncio.to_thread(self._survey.look)
            except Exception as error:  # noqa: BLE001 - for want of files or memory, or a bug: the manager stays, and looks again
                self._setbacks.blinded(error)
            await asyncio.sleep(self._settings.look_every)

    async def _tell_when_ready(self, found: int) -> None:
        first_tries = [asyncio.create_task(self._first_try(kept)) for kept in self._kept.values()]
        try:
            if first_tries:
                await asyncio.wait(first_tries, timeout=self._settings.ready_within)
        finally:
            for task in first_tries:
                task.cancel()
        self.ready = True
        self.stalls.begin()
        online = sum(kept.keeper.online for kept in self._kept.values())
        self._tell("manager_ready", _("manager ready: {online} of {found} online").format(online=online, found=found))
        self._notifier.ready(_("{online} of {found} sessions online").format(online=online, found=found))

    async def _first_try(self, kept: Kept) -> None:
        """Wait until the session is up, or has failed, or its keeper has."""
        settled = asyncio.create_task(kept.keeper.settled.wait())
        try:
            await asyncio.wait({settled, *filter(None, [kept.task])}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_every)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - as in `_first_look`
                self._setbacks.blinded(error)

    def _note_found(self, findings: list[Finding]) -> None:
        self._setbacks.looked(finding.session.user for finding in findings)
        self._wanted = sum(finding.startable or finding.session.user in self._kept for finding in findings)

    def _consider(self, finding: Finding, *, wait_for_holder: bool = False) -> None:
        """Take a session over if it can be had; one that another process holds only when that is a predecessor on its way out."""
        user = finding.session.user
        kept = self._kept.get(user)
        if self._aside[user]:
            return
        if kept is not None:
            self._pair_again(kept, finding)
        elif finding.startable and (wait_for_holder or not finding.held):
            if self._setbacks.over(user):
                self._explained.pop(user, None)
                try:
                    require_files(self._running(), self._wanted)
                    self._take_over(finding)
                except TooFewFiles as error:
                    self._setbacks.failed(user, error, longest=FIRST_PAUSE)
                except Exception as error:  # noqa: BLE001 - as in `_keep`
                    self._setbacks.failed(user, error)
        elif not finding.held:
            self._setbacks.not_startable(user, finding.problem)
            self._explain(finding)

    def _take_over(self, finding: Finding) -> None:
        keeper = Keeper(finding.session, self._tools, self._last_alive)
        if self._rounds.disk_full:
            keeper.tell(self._rounds.disk_full)
        kept = Kept(finding.session, keeper, finding.device.jid if finding.device else "")
        kept.task = asyncio.create_task(self._keep(kept))
        self._kept[finding.session.user] = kept
        self._setbacks.taken_over(finding.session.user)

    def _pair_again(self, kept: Kept, finding: Finding) -> None:
        """A session that was logged out comes back when a human has paired it: its device went away, or is another one."""
        if kept.keeper.snapshot.state is not State.LOGGED_OUT or finding.problem:
            return
        jid = finding.device.jid if finding.device else ""
        if jid and jid != kept.jid and not finding.held:
            kept.jid = jid
            kept.keeper.request_start()
        elif not jid:
            kept.jid = ""

    def _explain(self, finding: Finding) -> None:
        """Tell once why a session is not brought up."""
        user = finding.session.user
        reason = finding.farewell
        if finding.paused and not finding.problem:
            reason = reasons.PAUSED_BY_OPERATOR
        sentence, action = (finding.problem, "") if finding.problem else (_(reason.sentence), _(reason.action).format(user=user))
        if not finding.counts or self._explained.get(user) == sentence:
            return
        self._explained[user] = sentence
        code = "SESSION_DAMAGED" if finding.problem else reason.code
        line = f"{user}: {sentence} {action}".strip() if finding.problem else f"{user}: {sentence}. {action}"
        level = "error" if finding.problem else reason.level
        self._reporter.report(Notice(self._clock.now(), "trouble", line, user, code=code, reason=sentence, action=action, level=level))

    # --- keeping ----------------------------------------------------------------------------------------------------

    async def _keep(self, kept: Kept) -> None:
        """Stay with the keeper to its end. A session that nobody has stopped is taken over again, whatever has ended its keeper."""
        user = kept.session.user
        task = asyncio.current_task()
        try:
            await kept.keeper.run()
        except UnsupportedPlatform as error:
            self._fatal = error
            self.stop()
        except asyncio.CancelledError:
            if task is None or task.cancelling():
                raise
            self._failed(kept, WasessError(_("something that it waited for was cancelled")))
        except Exception as error:  # noqa: BLE001 - a bug, or what the system refuses: it concerns this session only
            self._failed(kept, error)
        else:
            if not (kept.paused or kept.removed or self._aside[user]):
                self._setbacks.ended(user)
        finally:
            if self._kept.get(user) is kept:
                del self._kept[user]

    def _failed(self, kept: Kept, error: Exception) -> None:
        if kept.session.exists():
            self._setbacks.failed(kept.session.user, error)
        else:
            self._let_go(kept)

    def _pause(self, kept: Kept, *, paused: bool) -> None:
        """An operator wants it down; or up again, before it was down."""
        kept.paused = paused
        if paused:
            self._tell("paused", _("{user} is paused by an operator").format(user=kept.session.user), kept.session.user)
            kept.keeper.request_stop()

    def _let_go(self, kept: Kept) -> None:
        """Its folder is gone."""
        if not kept.removed and not self._aside[kept.session.user]:
            kept.removed = True
            self._tell("removed", _("{user} was removed; no longer kept").format(user=kept.session.user), kept.session.user)
            kept.keeper.request_stop()

    def _running(self) -> list[Keeper]:
        return [kept.keeper for kept in self._kept.values()]

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        self._tell("manager_stopping", _("manager stopping"))
        draining = asyncio.create_task(drain(self._kept, self._dispatcher, self._settings))
        leaving = asyncio.create_task(self._leave.wait())
        await asyncio.wait({draining, leaving}, timeout=self._settings.gone_within, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, leaving):
            task.cancel()
        await cut_off(self._kept, self._dispatcher, self._host, self._bot)
        self._tell("manager_stopped", _("manager stopped"))

    def _tell(self, event: str, line: str, session: str = "") -> None:
        self._reporter.report(Notice(self._clock.now(), event, line, session))
