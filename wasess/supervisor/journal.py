"""Keeps a session's record and history up to date on disk, as its machine says. A disk that fails is told once and stops no session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wasess.core.states import State
from wasess.errors import StoreError
from wasess.store.records import Change, SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.commands import Record
    from wasess.store.sessions import Session


class Journal:
    """``complain`` is called with a sentence the first time the record can't be kept, and again after it could be."""

    def __init__(self, session: Session, now: Callable[[], float], complain: Callable[[str], None]) -> None:
        self._session = session
        self._now = now
        self._complain = complain
        self._complained = False
        self._restarts_before = 0

    async def open(self) -> None:
        """Make a record for a session that has none (moved here from elsewhere); remember its count of restarts."""
        await self._guarded(self._open)

    async def write(self, change: Record) -> None:
        """Keep a change. Returns when it is on disk."""
        await self._guarded(self._write, change)

    async def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """In a thread: an fsync may take as long as the disk likes."""
        try:
            await asyncio.to_thread(work, *arguments)
            self._complained = False
        except (StoreError, OSError) as error:
            if not self._complained and self._session.exists():
                self._complain(f"its record can't be kept: {error}")
            self._complained = True

    def _open(self) -> None:
        record = self._session.record.load()
        if record is not None:
            self._restarts_before = record.restarts
            return
        device = self._session.device()
        now = self._now()
        jid, lid = (device.jid, device.lid or None) if device else (None, None)
        self._session.record.save(SessionRecord(self._session.user, now, State.NEW, "NEVER_STARTED", now, jid=jid, lid=lid))

    def _write(self, change: Record) -> None:
        if not self._session.exists():
            return  # removed while its worker ended
        fields: dict[str, Any] = {
            "state": str(change.state),
            "reason_code": change.reason.code,
            "since": change.at,
            "restarts": self._restarts_before + change.restarts,
        }
        if change.state is State.ONLINE:
            fields["last_online_at"] = change.at
        self._session.record.note(Change(change.at, str(change.state), change.reason.code, change.reason.sentence), **fields)
