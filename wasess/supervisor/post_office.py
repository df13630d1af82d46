"""What people ask of a running manager about messages: the inside of the door `control.door.PostOffice`.

A session that nobody keeps (it is paused, or logged out) has an outbox and an inbox, too: its file is opened for the moment.
"""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeVar

from wasess.core.sending import has_come
from wasess.delivery import by_hand
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.mail_queue import MailClosed
from wasess.delivery.mailbox import Mailbox
from wasess.store.mail import MailFile
from wasess.store.mail_checkpoint import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from wasess.core.message import Reply
    from wasess.core.sending import Released, Sending
    from wasess.store.sessions import Session
    from wasess.supervisor.mailroom import Mailroom
    from wasess.supervisor.supervisor import Supervisor

LOOKS_EVERY = 0.05
MOST_WAITING = 24  # each of them has a connection of the control socket, and others need some, too

Answer = TypeVar("Answer")


class PostOffice:
    """Of one manager. ``session`` returns the session of a user, or raises `errors.NotLinked`; ``now``: Unix time; ``secret_files`` are not sent."""

    def __init__(
        self, supervisor: Supervisor, session: Callable[[str], Session], now: Callable[[], float], secret_files: tuple[Path, ...] = ()
    ) -> None:
        self._secret_files = secret_files
        self._supervisor = supervisor
        self._session = session
        self._now = now
        self._waiting = 0

    async def send(self, user: str, to: str, reply: Reply, key: str) -> Sending:
        """See `control.door.PostOffice`."""
        session = self._session(user)
        address, plain = by_hand.checked(to, reply, key)
        kept = await self._kept(session, plain, key)
        sending = await self._with_mail(session, lambda mailbox: by_hand.post(mailbox, address, plain, key, self._now(), kept))
        await asyncio.to_thread(settle, session.folder)
        if room := self._room(user):
            room.queued(address)
        return sending

    async def letter(self, user: str, position: int, wait: str, timeout: float) -> Sending:
        """See `control.door.PostOffice`."""
        session = self._session(user)
        found = await self._with_mail(session, lambda mailbox: by_hand.letter_at(mailbox, position))
        if self._waiting >= MOST_WAITING:
            return found
        self._waiting += 1
        try:
            deadline = asyncio.get_running_loop().time() + timeout
            while not has_come(found.state, wait) and self._worth_waiting(user, deadline):
                await asyncio.sleep(LOOKS_EVERY)
                found = await self._with_mail(session, lambda mailbox: by_hand.letter_at(mailbox, position))
        finally:
            self._waiting -= 1
        return found

    async def retry(self, user: str, positions: Collection[int]) -> list[int]:
        """See `control.door.PostOffice`."""
        session = self._session(user)
        changed = [
            position
            for position in positions
            if await self._with_mail(session, lambda mailbox, position=position: by_hand.retry(mailbox, position))  # type: ignore[misc]  # mypy knows no default of a lambda
        ]
        if room := self._room(user):
            for chat in await room.mail.do(lambda mailbox: by_hand.chats_waiting(mailbox, positions)):
                room.hurry(chat)
        return changed

    async def drop(self, user: str, positions: Collection[int]) -> list[int]:
        """See `control.door.PostOffice`."""
        session, now = self._session(user), self._now()
        return [
            position
            for position in positions
            if await self._with_mail(session, lambda mailbox, position=position: by_hand.drop(mailbox, position, now))  # type: ignore[misc]  # as above
        ]

    async def release(self, user: str, chats: Collection[str], *, drop: bool) -> list[Released]:
        """See `control.door.PostOffice`."""
        session, now = self._session(user), self._now()
        released = await self._with_mail(session, lambda mailbox: mailbox.release(chats, now, drop=drop))
        if released and (room := self._room(user)):
            await room.released(released)
        return released

    async def resend(self, user: str, positions: Collection[int]) -> list[int]:
        """See `control.door.PostOffice`."""
        session = self._session(user)
        changed = await self._with_mail(session, lambda mailbox: [one for one in positions if by_hand.resend(mailbox, one)])
        if room := self._room(user):
            for chat in await room.mail.do(lambda mailbox: {mailbox.outbox.letter(position).chat for position in changed}):
                room.queued(chat)
            room.count_failed()
        return changed

    async def drop_replies(self, user: str, positions: Collection[int]) -> list[int]:
        """See `control.door.PostOffice`."""
        session = self._session(user)
        changed = await self._with_mail(session, lambda mailbox: [one for one in positions if by_hand.drop_reply(mailbox, one)])
        if room := self._room(user):
            room.count_failed()
        return changed

    async def _kept(self, session: Session, reply: Reply, key: str) -> str:
        """The name of the copy of its file; empty when it has none, or is queued already. Raises `errors.UsageError` for what is not sent."""
        if not reply.file or await self._with_mail(session, lambda mailbox: mailbox.outbox.holds(key)):
            return ""
        return await Enclosures(session.folder, self._secret_files).keep_one(reply)

    def _worth_waiting(self, user: str, deadline: float) -> bool:
        in_time = asyncio.get_running_loop().time() < deadline
        return in_time and user in self._supervisor.keepers and not self._supervisor.stopping

    def _room(self, user: str) -> Mailroom | None:
        """The mail of a session that is kept, once it is open."""
        keeper = self._supervisor.keepers.get(user)
        return keeper.mail if keeper is not None and keeper.mail.is_open else None

    async def _with_mail(self, session: Session, work: Callable[[Mailbox], Answer]) -> Answer:
        """Do something short on a session's mail."""
        if room := self._room(session.user):
            with suppress(MailClosed):  # meanwhile, and nothing was done
                return await room.mail.do(work)
        return await asyncio.to_thread(opened_for, session, work)


def opened_for(session: Session, work: Callable[[Mailbox], Answer]) -> Answer:
    """Open the mail of a session that nobody keeps, for as long as the work takes. Raises `errors.StoreError`."""
    with closing(MailFile(session.folder)) as mail:
        return work(Mailbox(session.user, mail))
