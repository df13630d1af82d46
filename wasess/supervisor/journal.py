"""Keeps a session's record, history and outages up to date on disk, as its machine says. A disk that fails is told once and stops no session.

What is to be kept goes to the disk at once, in a thread. What comes meanwhile goes there together, in one write; so does what a
disk that failed did not take.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wasess.core.commands import BeginOutage, EndOutage, Record
from wasess.core.outages import amended, begun, ended
from wasess.core.reasons import BANNED, NEVER_STARTED, STOPPED
from wasess.core.states import State
from wasess.errors import StoreError, WasessError
from wasess.store.disk import identity
from wasess.store.past import settled
from wasess.store.records import Change, SessionRecord
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.commands import AmendOutage
    from wasess.core.outages import Ledger
    from wasess.store.disk import Identity
    from wasess.store.sessions import Session

PHONE_NOTED_EVERY = 3600.0
MOST_WAITING = 400  # of what the disk did not take yet; the oldest go


@dataclass(frozen=True, slots=True)
class Past:
    """What the disk knows that a start needs, in Unix seconds; 0 when unknown or none.

    ``phone_seen_at``: when the phone was last heard of, at the latest when it was paired; for a session from before this was noted,
    the first start since.
    """

    paired_at: float = 0.0
    banned_until: float = 0.0
    phone_seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _PhoneSeen:
    at: float


class Journal:
    """``complain`` is called with a sentence the first time the record can't be kept, and again after it could be. Times are Unix."""

    def __init__(self, session: Session, now: Callable[[], float], complain: Callable[[str], None]) -> None:
        self._session = session
        self._now = now
        self._complain = complain
        self._complained = False
        self._restarts_before: int | None = None
        self._phone_seen_at = 0.0
        self._banned_until: float | None = None
        self._folder: Identity | None = None
        self._waiting: list[Record | BeginOutage | EndOutage | AmendOutage | _PhoneSeen] = []
        self._writer: asyncio.Task[None] | None = None

    async def open(self, last_alive: float) -> Past:
        """Settle the past, and tell what a start needs of it.

        A session that was online when its manager was killed has been away since ``last_alive``, when that manager was last known
        to run (0: unknown, then since its login). A session without a record (moved here from elsewhere) gets one. May be called
        again, after a pairing.
        """
        await self.flush()
        past = Past(phone_seen_at=self._now())

        def work() -> None:
            nonlocal past
            past = self._open(last_alive)

        await self._guarded(work)
        self._phone_seen_at = past.phone_seen_at
        return past

    async def write(self, change: Record) -> None:
        """Keep a change. It is on its way to the disk when this returns; that a session is stopped is there.

        To stop a session that is banned does not end the ban: the next start must know of it.
        """
        if change.state is State.STOPPED:
            change = replace(change, resume_at=self._banned_until)
        else:
            self._banned_until = change.resume_at if change.reason is BANNED else None
        await self._keep(change, last=change.state is State.STOPPED)

    async def outage(self, command: BeginOutage | EndOutage | AmendOutage) -> None:
        """Keep the ledger. As `write`."""
        await self._keep(command, last=isinstance(command, BeginOutage) and command.reason is STOPPED)

    async def phone_seen(self, at: float) -> None:
        """The phone was heard of. Kept once an hour at most."""
        at = min(at, self._now())  # it is the phone's own word for the time
        if at - self._phone_seen_at >= PHONE_NOTED_EVERY:
            self._phone_seen_at = at
            await self._keep(_PhoneSeen(at), last=False)

    async def flush(self) -> None:
        """Return when everything is on disk, or the disk has refused it."""
        if self._waiting or self._writer is not None:
            await asyncio.shield(self._run_writer())

    async def _keep(self, item: Record | BeginOutage | EndOutage | AmendOutage | _PhoneSeen, *, last: bool) -> None:
        self._waiting = [*self._waiting, item][-MOST_WAITING:]
        writer = self._run_writer()
        if last:
            await asyncio.shield(writer)

    def _run_writer(self) -> asyncio.Task[None]:
        if self._writer is not None and self._writer.done():
            self._writer.result()  # a bug in it is the session's
            self._writer = None
        if self._writer is None:
            self._writer = asyncio.create_task(self._work_off())
        return self._writer

    async def _work_off(self) -> None:
        while self._waiting:
            items, self._waiting = self._waiting, []
            if not await self._guarded(self._write, items):
                self._waiting = [*items, *self._waiting][-MOST_WAITING:]
                return

    async def _guarded(self, work: Callable[..., None], *arguments: Any) -> bool:
        """In a thread: an fsync may take as long as the disk likes."""
        try:
            await asyncio.to_thread(work, *arguments)
        except (StoreError, OSError) as error:
            if not self._complained and self._session.exists():
                self._complain(_("its record can't be kept: {error}").format(error=error))
            self._complained = True
            return False
        self._complained = False
        return True

    # --- in a thread --------------------------------------------------------------------------------------------------

    def _open(self, last_alive: float) -> Past:
        file, now = self._session.record, self._now()
        self._folder = identity(self._session.folder)
        record, ledger = file.read()
        if record is None:
            record = self._new_record(now)
            file.save(record)
        if self._restarts_before is None:
            self._restarts_before = record.restarts
        phone_seen_at = _phone_seen_at(record, now)
        true_ledger = settled(record, ledger, min(last_alive, now))
        if phone_seen_at != record.phone_seen_at or true_ledger != ledger:
            file.note(outages=true_ledger, phone_seen_at=phone_seen_at)
        banned_until = record.resume_at if record.reason_code in {BANNED.code, STOPPED.code} else None
        return Past(record.paired_at or 0.0, banned_until or 0.0, phone_seen_at)

    def _new_record(self, now: float) -> SessionRecord:
        device = None
        with suppress(WasessError):  # whoever needs the credentials says what is wrong with them
            device = self._session.device()
        jid, lid = (device.jid, device.lid or None) if device else (None, None)
        return SessionRecord(self._session.user, now, State.NEW, NEVER_STARTED.code, now, jid=jid, lid=lid, phone_seen_at=now)

    def _write(self, items: list[Record | BeginOutage | EndOutage | AmendOutage | _PhoneSeen]) -> None:
        if not self._session.exists():
            return  # removed while its worker ended
        file = self._session.record
        record, before = file.read()
        if record is None and identity(self._session.folder) != self._folder:
            return  # and linked anew since: that is another session's folder
        ledger = before
        changes: list[Change] = []
        fields: dict[str, Any] = {}
        for item in items:
            if isinstance(item, Record):
                changes.append(Change(item.at, str(item.state), item.reason.code, item.reason.sentence))
                fields |= self._fields(item)
            elif isinstance(item, _PhoneSeen):
                fields["phone_seen_at"] = item.at
            else:
                ledger = _entered(ledger, item)
        file.note(*changes, outages=None if ledger == before else ledger, **fields)

    def _fields(self, change: Record) -> dict[str, Any]:
        fields = {
            "state": str(change.state),
            "reason_code": change.reason.code,
            "since": change.at,
            "restarts": (self._restarts_before or 0) + change.restarts,
            "resume_at": change.resume_at,
        }
        return fields | ({"last_online_at": change.at} if change.state is State.ONLINE else {})


def _entered(ledger: Ledger, command: BeginOutage | EndOutage | AmendOutage) -> Ledger:
    if isinstance(command, BeginOutage):
        return begun(ledger, command.at, command.reason.code)
    if isinstance(command, EndOutage):
        return ended(ledger, command.at, command.attempts)
    return amended(ledger, command.recovered)


def _phone_seen_at(record: SessionRecord, now: float) -> float:
    if record.phone_seen_at is None and record.state != State.NEW:
        return now  # from before this was noted
    return max(record.phone_seen_at or 0.0, record.paired_at or record.created_at)
