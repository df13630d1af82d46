"""The manager's rounds: looks at everything that does not tell by itself, and proves to systemd that the manager lives.

Nothing here decides about a session: what is seen is told to its keeper.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from wasess.core.events import DiskFull, NetworkBack, Woke
from wasess.core.warnings import client_warning, phone_warning
from wasess.errors import Locked, WasessError
from wasess.store.sessions import HOME_LOCK_NAME
from wasess.supervisor.awake import Awake
from wasess.supervisor.report import Notice
from wasess.supervisor.watch import DiskWatch
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from wasess.core.clock import Clock
    from wasess.core.events import DiskFree
    from wasess.core.reasons import Reason
    from wasess.store.lock import FileLock
    from wasess.store.sessions import Home
    from wasess.supervisor.keeper import Keeper
    from wasess.supervisor.notify import Notifier
    from wasess.supervisor.report import Reporter
    from wasess.supervisor.stalls import StallMeter

ROUND = 0.5
LOOK_EVERY = 1.0
DISK_EVERY = 2.0
NOTE_EVERY = 10.0
PROOF_EVERY = 3.0  # sooner when systemd wants it sooner
WARN_EVERY = 3600.0
WARN_AGAIN_AFTER = 86400.0
CLIENT_AFTER = 15.0  # the start has been told by then
KEEPER_ANSWERS_WITHIN = 60.0  # a keeper that has not taken anything in for so long is stuck
NUDGE_GATHERS = 0.2
CLOCK_JUMP = 60.0
STALL_TOLD = 1.0  # a machine that is busy keeps every program waiting for some tenths of a second

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """When what is to be done next, in steady seconds."""

    look: float = 0.0
    disk: float = 0.0
    note: float = 0.0
    proof: float = 0.0
    warn: float = 0.0
    client: float = 0.0


class Rounds:
    """One for a manager. ``keepers`` gives those that run now; ``reserve``: bytes that must stay free on the home's file system."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        keepers: Callable[[], Collection[Keeper]],
        reporter: Reporter,
        notifier: Notifier,
        reserve: int,
        stalls: StallMeter,
    ) -> None:
        self._home = home
        self._clock = clock
        self._keepers = keepers
        self._reporter = reporter
        self._notifier = notifier
        self._awake = Awake(clock)
        self._stalls = stalls
        self._disk = DiskWatch(home.path, reserve)
        self._proof_every = min(PROOF_EVERY, notifier.watchdog_interval or PROOF_EVERY)
        self._errand: asyncio.Task[_Due] | None = None
        self._nudging: asyncio.TimerHandle | None = None
        self._status = ""
        self._warned: dict[tuple[str, str], float] = {}
        self._keep_home: Callable[[], bool] = bool
        self._home_lost: Callable[[], object] = bool
        self.announced: Callable[[], int] | None = None
        """The N of the client version that sessions announce; None when nothing is to be said of its age."""
        self.disk_full: DiskFull | None = None
        """What a keeper that comes later must be told."""

    def guard_home(self, lock: FileLock, purpose: str, lost: Callable[[], object]) -> None:
        """Keep the home's lock at its name. ``lost`` is called when another manager has taken the home meanwhile."""
        self._keep_home = partial(lock.keep, self._home.path / HOME_LOCK_NAME, purpose)
        self._home_lost = lost

    async def walk(self, every: float = ROUND) -> None:
        """Until cancelled, a round every so many seconds. Neither the looks nor the sense of time wait for the file system."""
        due = _Due(client=self._clock.steady() + CLIENT_AFTER)
        try:
            while True:
                await asyncio.sleep(every)
                try:
                    due = self._round(due, self._clock.steady())
                except Exception:  # a bug: it ends neither the rounds nor the manager
                    logger.exception("a round of the manager failed")
        finally:
            if self._errand is not None:
                self._errand.cancel()

    def _round(self, due: _Due, now: float) -> _Due:
        if self._look_at_the_clock():
            due = replace(due, look=now, proof=now + self._proof_every)  # nobody has had the time to answer yet
        if now >= due.look:
            due = replace(due, look=now + LOOK_EVERY)
            for keeper in self._keepers():
                try:
                    keeper.look()
                except Exception as error:  # noqa: BLE001 - a bug: it ends this keeper, and no other's round
                    keeper.fail(error)
        return self._send_out(due, now)

    def network_works(self, _user: str) -> None:
        """One session has come back from a network failure: the others need not wait any longer."""
        if self._nudging is None:
            self._nudging = asyncio.get_running_loop().call_later(NUDGE_GATHERS, self._nudge)

    def _send_out(self, due: _Due, now: float) -> _Due:
        """One errand at a time; while the file system keeps it, nothing is proved."""
        if self._errand is not None:
            if not self._errand.done():
                return due
            errand, self._errand = self._errand, None  # first: one that has failed is followed by others
            done = errand.result()
            due = replace(done, look=due.look, proof=max(due.proof, done.proof))
        self._errand = asyncio.create_task(self._run_errand(due, now))
        return due

    async def _run_errand(self, due: _Due, now: float) -> _Due:
        """Everything that is due; the file system may take its time, in a thread."""
        if now >= due.disk:
            due = replace(due, disk=now + DISK_EVERY)
            if news := await asyncio.to_thread(self._disk.look):
                self.disk_full = news if isinstance(news, DiskFull) else None
                self._tell_all(news)
            await self._look_at_lock()
        if now >= due.note:
            due = replace(due, note=now + NOTE_EVERY)
            await asyncio.to_thread(self._home.note_alive)
        if now >= due.proof:
            due = replace(due, proof=now + self._proof_every)
            self._prove(now)
        if now >= due.warn:
            due = replace(due, warn=now + WARN_EVERY)
            users = [keeper.user for keeper in self._keepers()]  # here: on the loop nobody comes or goes meanwhile
            for user, reason in await asyncio.to_thread(self._silent_phones, users):
                self._warn_of_phone(user, reason, now)
        if now >= due.client:
            due = replace(due, client=now + WARN_AGAIN_AFTER)
            if self.announced and (old := client_warning(self.announced(), self._clock.now())):
                self._tell_reason(old)
        return due

    async def _look_at_lock(self) -> None:
        """Without it, a second manager would take the same sessions up. A home that can't be reached has other troubles."""
        try:
            if await asyncio.to_thread(self._keep_home):
                self._warn("HOME_LOCK_LOST", _("the lock of this home ({name}) was removed; it was put back").format(name=HOME_LOCK_NAME))
        except Locked as error:
            self._warn("HOME_LOCK_LOST", _("another manager has taken this home; this one ends. {error}").format(error=error))
            self._home_lost()
        except (WasessError, OSError) as error:
            self._warn("HOME_LOCK_LOST", _("the lock of this home ({name}) is lost: {error}").format(name=HOME_LOCK_NAME, error=error))

    def _look_at_the_clock(self) -> bool:
        """Whether everything stood still for a while."""
        slept, stalled = self._awake.look(), self._stalls.latest()
        if stalled >= STALL_TOLD and not slept:
            self._warn("LOOP_STALLED", _("all sessions waited {seconds:.1f} s for the manager's event loop").format(seconds=stalled))
        if slept:
            self._warn(
                "SLEPT", _("this machine, or this program, stood still for {seconds:.0f} s; looking at all sessions").format(seconds=slept)
            )
            self._tell_all(Woke(slept))
        if abs(self._awake.jumped) >= CLOCK_JUMP:
            self._warn("CLOCK_JUMPED", _("this machine's clock was set by {seconds:+.0f} s").format(seconds=self._awake.jumped))
        return bool(slept)

    def _nudge(self) -> None:
        self._nudging = None
        self._tell_all(NetworkBack())

    def _tell_all(self, event: Woke | NetworkBack | DiskFull | DiskFree) -> None:
        for keeper in self._keepers():
            keeper.tell(event)

    def _prove(self, now: float) -> None:
        """Proof of life: the loop turns, threads answer (we are here), and every keeper takes things in."""
        keepers = self._keepers()
        stuck = [keeper.user for keeper in keepers if keeper.ticked_at and now - keeper.ticked_at > KEEPER_ANSWERS_WITHIN]
        if stuck:
            logger.error("the keepers of %s do not react", ", ".join(stuck))
            return
        self._notifier.alive()
        online = sum(keeper.online for keeper in keepers)
        status = _("{online} of {found} sessions online").format(online=online, found=len(keepers))
        if status != self._status:
            self._status = status
            self._notifier.status(status)

    def _silent_phones(self, users: list[str]) -> list[tuple[str, Reason]]:
        """Whose phone WhatsApp may miss. A record that can't be read has its own complaints."""
        found = []
        for user in users:
            try:
                record = self._home.session(user).record.load()
            except (WasessError, OSError):
                continue
            seen = max(record.phone_seen_at or 0.0, record.paired_at or 0.0) if record else 0.0
            if seen and (reason := phone_warning(seen, self._clock.now())):
                found.append((user, reason))
        return found

    def _warn_of_phone(self, user: str, reason: Reason, now: float) -> None:
        """Once a day."""
        if now - self._warned.get((user, reason.code), -WARN_AGAIN_AFTER) < WARN_AGAIN_AFTER:
            return
        self._warned[user, reason.code] = now
        self._tell_reason(reason, user)

    def _tell_reason(self, reason: Reason, user: str = "") -> None:
        sentence, action = _(reason.sentence), _(reason.action)
        line = f"{user}: {sentence}. {action}".removeprefix(": ")
        notice = Notice(self._clock.now(), "trouble", line, user, code=reason.code, reason=sentence, action=action)
        self._reporter.report(replace(notice, level=reason.level))

    def _warn(self, code: str, sentence: str) -> None:
        self._reporter.report(Notice(self._clock.now(), "trouble", sentence, code=code, reason=sentence, level="warning"))
