"""What people ask of a running manager: the inside of the door `control.door.Manager`."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import wasess
from wasess.core import client_version, events, reasons
from wasess.core.live import ManagerInfo, Outcome
from wasess.core.states import State
from wasess.errors import Degraded, NotLinked, UsageError, WasessError
from wasess.store.records import Change
from wasess.supervisor.post_office import PostOffice
from wasess.supervisor.report import BotCondition, Notice
from wasess.supervisor.survey import look_at
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from wasess.core.live import Live
    from wasess.core.reasons import Reason
    from wasess.store.sessions import Session
    from wasess.supervisor.keeper import Keeper
    from wasess.supervisor.report import Reporter
    from wasess.supervisor.supervisor import Supervisor
    from wasess.supervisor.survey import Finding

AT_ONCE = 8  # the others stay up until it is their turn
PROOF_WITHIN = 10.0

# Where dialling again does not help: the answer is there at once.
FINAL = frozenset(
    {
        *(reasons.BANNED, reasons.RATE_LIMITED, reasons.OUTDATED, reasons.REFUSED, reasons.REFUSED_UNKNOWN),
        *(reasons.REPLACED, reasons.REPLACED_FOR_GOOD, reasons.DISK_FULL, reasons.DATABASE_DAMAGED),
    }
)


class Operations:
    """Of one manager. ``realm``: which WhatsApp its home is used with; ``now``: Unix time.

    ``brief``: the manager was started for this question alone, so every connection is a new one. ``bot`` is told all that ``reporter`` is.
    ``secret_files`` are never sent.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        reporter: Reporter,
        realm: str,
        now: Callable[[], float],
        *,
        bot: BotCondition | None = None,
        brief: bool = False,
        secret_files: tuple[Path, ...] = (),
    ) -> None:
        self._supervisor = supervisor
        self._reporter = reporter
        self._realm = realm
        self._now = now
        self._brief = brief
        self._bot = bot or BotCondition()
        self._started_at = now()
        self.announced: Callable[[], int] | None = None
        """The N of the client version that sessions announce; None when that is not told."""
        self.announce: Callable[[str, str], object] | None = None
        """Has a user's session announce another (``2.3000.N``, ``auto``) from its next connection on, until the manager ends."""
        self.post_office = PostOffice(supervisor, self._session, now, secret_files)

    def info(self) -> ManagerInfo:
        """See `control.door.Manager`."""
        lives = self.lives()
        online = sum(live.state is State.ONLINE for live in lives)
        ready = self._supervisor.ready
        longest = self._supervisor.stalls.longest
        return ManagerInfo(
            os.getpid(),
            wasess.__version__,
            self._realm,
            self._started_at,
            ready,
            len(lives),
            online,
            self._bot.sentence,
            longest_stall=longest.seconds,
            stalled_at=longest.at or None,
            client_version=client_version.spell(self.announced()) if self.announced else "",
            blind=self._supervisor.blind,
        )

    def lives(self) -> list[Live]:
        """See `control.door.Manager`."""
        return self._supervisor.lives()

    # --- a new connection -------------------------------------------------------------------------------------------

    async def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> AsyncIterator[Outcome]:
        """See `control.door.Manager`."""
        sessions = [self._session(user) for user in users] or await asyncio.to_thread(self._supervisor.home.sessions)
        await self._supervisor.look()
        if wa_version and self.announce:
            for session in sessions:
                self.announce(session.user, wa_version)
        places = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(self._renew(session, timeout, places, named=bool(users))) for session in sessions]
        try:
            for done in asyncio.as_completed(tasks):
                outcome = await done
                if outcome is not None:
                    yield outcome
        finally:
            for task in tasks:
                task.cancel()

    async def _renew(self, session: Session, timeout: float, places: asyncio.Semaphore, *, named: bool) -> Outcome | None:
        """One session; None for the folder of a pairing that never came to an end, unless it was ``named``."""
        async with places:
            loop = asyncio.get_running_loop()
            began = loop.time()
            keeper = self._supervisor.keepers.get(session.user)
            if keeper is None:
                finding = await asyncio.to_thread(look_at, session)
                return _unkept(finding) if named or finding.counts else None
            ended = ""
            try:
                async with asyncio.timeout(timeout):
                    await self._renewed(keeper)
            except TimeoutError:
                ended = _("not within {seconds:.0f} s").format(seconds=timeout)
            except WasessError as error:
                ended = str(error)
            live = keeper.live()
            ok = not ended and live.state is State.ONLINE
            return Outcome(live.user, ok, live.state, live.code, ended or live.detail, loop.time() - began, live.next_try_at)

    async def _renewed(self, keeper: Keeper) -> None:
        """Return when the session is online anew and WhatsApp has answered, or when no waiting helps."""
        logins, before = (0, None) if self._brief else (keeper.logins, keeper.snapshot)
        if before is not None:
            await keeper.ask(events.ReconnectRequested())
            if keeper.snapshot is before and before.state is not State.NEW:  # it knows better
                return
        while keeper.logins == logins or not keeper.online:
            found = keeper.snapshot
            if found.reason in FINAL or (found.resting and found.state is not State.NEW):
                return
            await keeper.moved()
        await keeper.prove(PROOF_WITHIN)

    # --- up and down --------------------------------------------------------------------------------------------------

    async def pause(self, user: str) -> None:
        """See `control.door.Manager`."""
        session = self._session(user)
        await asyncio.to_thread(session.pause)
        await self._supervisor.look()
        async with self._supervisor.aside(user):
            pass

    async def resume(self, user: str) -> None:
        """See `control.door.Manager`."""
        session = self._session(user)
        await asyncio.to_thread(session.resume)
        await self._supervisor.look()

    async def logout(self, user: str) -> str:
        """See `control.door.Manager`."""
        session = self._session(user)
        keeper = self._supervisor.keepers.get(user)
        if keeper is None or not keeper.online:
            raise Degraded(
                _("{user} is not online, and only an online session can tell WhatsApp to unlink it; nothing was changed").format(user=user),
                hint=_("wasess reconnect {user}; or unlink it on the phone, under Linked devices").format(user=user),
            )
        await keeper.logout()
        async with self._supervisor.aside(user):
            return await asyncio.to_thread(_set_aside, session, self._now())

    async def rename(self, user: str, name: str) -> None:
        """See `control.door.Manager`."""
        session, renamed = self._session(user), self._supervisor.home.session(name)
        if renamed.exists():  # neither of the two is touched
            raise UsageError(_("there is a session {name} already; nothing was changed").format(name=name), hint="wasess list")
        async with self._supervisor.aside(user, renamed.user):
            await asyncio.to_thread(session.rename, renamed.user)
        self._tell("renamed", _("{user} is called {name} from now on").format(user=user, name=name), name)
        await self._supervisor.look()

    async def remove(self, user: str) -> None:
        """See `control.door.Manager`."""
        session = self._session(user)
        async with self._supervisor.aside(user):
            await asyncio.to_thread(session.remove)
        self._tell("removed", _("{user} was removed; no longer kept").format(user=user), user)

    def _session(self, user: str) -> Session:
        session = self._supervisor.home.session(user)
        if not session.exists():
            sentence = _("there is no session {user} in {home}").format(user=user, home=self._supervisor.home.path)
            raise NotLinked(sentence, hint=f"wasess connect {user}")
        return session

    def _tell(self, event: str, line: str, user: str) -> None:
        self._reporter.report(Notice(self._now(), event, line, user))


def _set_aside(session: Session, now: float) -> str:
    """After WhatsApp has unlinked the device: the credentials go to ``kept/``, and the record says who did it."""
    kept = session.set_aside("logout")
    reason = reasons.UNLINKED_HERE
    with suppress(WasessError):  # without a record there is nothing to correct
        change = Change(now, State.LOGGED_OUT, reason.code, reason.sentence)
        session.record.note(change, state=str(State.LOGGED_OUT), reason_code=reason.code, since=now, jid=None, lid=None)
    return str(kept or "")


def _unkept(finding: Finding) -> Outcome:
    """Why a session that nobody keeps can't be had."""
    reason, state = _obstacle(finding)
    return Outcome(finding.session.user, ok=False, state=state, code=reason.code, detail=finding.problem, seconds=0.0)


def _obstacle(finding: Finding) -> tuple[Reason, State]:
    if finding.paused:
        return reasons.PAUSED_BY_OPERATOR, State.STOPPED
    if finding.problem:
        return reasons.DATABASE_DAMAGED, State.WAITING
    if finding.held and finding.device is None:
        return reasons.PAIRING, State.PAIRING
    if finding.held:
        return reasons.SESSION_LOCKED, State.WAITING
    return finding.farewell, State.LOGGED_OUT
