"""A session's mail, from its spool to the bot and from the bot to WhatsApp: opens it, and joins the intake, the dispatcher and the courier."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.delivery.courier import Courier, damaged_reply
from wasess.delivery.dispatcher import Desk, damaged_message
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.mailbox import Mailbox
from wasess.delivery.rules import fate
from wasess.errors import UsageError, WasessError
from wasess.store.kept_mail import kept_mail
from wasess.store.mail import MailDamaged
from wasess.store.mail_checkpoint import settle
from wasess.supervisor.attachments import Attachments
from wasess.supervisor.collector import Collector
from wasess.supervisor.intake import Intake
from wasess.supervisor.media_quota import MediaQuota
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from wasess.core.clock import Clock
    from wasess.core.events import Event
    from wasess.core.message import Message
    from wasess.delivery.bot import Tell
    from wasess.delivery.dispatcher import Dispatcher
    from wasess.delivery.rules import Rule
    from wasess.store.inbox import State
    from wasess.store.outbox import Letter
    from wasess.store.sessions import Session
    from wasess.supervisor.intake import Batch
    from wasess.supervisor.teller import Teller
    from wasess.supervisor.tether import Tether

SETTLED_EVERY = 30.0
SETTLED_AFTER = 300  # rows written: some hundred messages, 4 MiB of the WAL
FORGOTTEN_EVERY = 600.0
MOST_COURTESIES = 16  # under way at once: strangers may write faster than WhatsApp takes them
TOLD_FOR = 600.0
DAY = 86_400.0

# One for all sessions: several at once keep the event loop from its turn for a tenth of a second.
_SETTLER = ThreadPoolExecutor(1, "settler")


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``durable``: what is acknowledged survives a power cut. ``rules``: see `delivery.rules`. ``leave``: without a bot, messages wait for one.

    ``keep_texts`` and ``keep_ids``: seconds after which the text of a message that is done with is deleted, and the last trace of it.
    ``send_rate``: messages a minute, 0 for any number. ``largest_file``: bytes; larger ones are not fetched; 0: none is.
    ``media_quota``: bytes of all files of the session, 0 for any number.
    ``read_receipts``: tell senders that a message was read when the bot gets it. ``typing``: show them that the bot thinks.
    ``secret_files`` are never sent.
    """

    durable: bool = False
    rules: tuple[Rule, ...] = ()
    leave: bool = False
    keep_texts: float = 30 * DAY
    keep_ids: float = 90 * DAY
    send_rate: float = 0.0
    largest_file: int = 64 * 2**20
    media_quota: int = 0
    read_receipts: bool = False
    typing: bool = False
    secret_files: tuple[Path, ...] = ()


class Mailroom:
    """Of one session; `open` it first. ``read_up`` returns once everything that is in the spool has been taken in."""

    def __init__(
        self,
        session: Session,
        settings: MailSettings,
        clock: Clock,
        dispatcher: Dispatcher | None,
        teller: Teller,
        tether: Tether,
        read_up: Callable[[], Awaitable[None]],
    ) -> None:
        self.user = session.user
        self.received_at: float | None = None
        self.sent_at: float | None = None
        self._folder = session.folder
        self._enclosures = Enclosures(session.folder, settings.secret_files)
        self._settings = settings
        self._clock = clock
        self._dispatcher = dispatcher
        self._teller = teller
        self._tether = tether
        self._read_up = read_up
        self._online = asyncio.Event()
        self._mailbox: Mailbox | None = None
        self._collector: Collector | None = None
        self._courtesies: set[asyncio.Task[None]] = set()
        self._settle_at = self._forget_at = 0.0
        self._settled = -1  # how many rows were written by then; at first, what an earlier manager has left is settled
        self._settling: Future[bool] | None = None
        self._set_aside: list[Path] = []
        self._attachments: Attachments | None = None
        self._news = "", 0.0
        self._forgot = True  # an earlier manager may have been killed before all was wiped out

    @property
    def waiting(self) -> int:
        """How many messages wait for the bot."""
        return self._mailbox.inbox.waiting if self._mailbox else 0

    @property
    def problem(self) -> str:
        """What is wrong with its messages or files (`core.live.Live.problem`)."""
        code, until = self._news
        if self._clock.steady() < until:
            return code
        if self._mailbox is None:
            return ""
        if self._mailbox.damaged or self._set_aside:
            return reasons.MESSAGES_DAMAGED.code
        full = self._attachments is not None and self._attachments.full
        return reasons.MEDIA_FULL.code if full else ""

    def tell_problem(self, code: str) -> None:
        """Something has happened to its files (a code of `core.reasons`): it is a `problem` for ten minutes, so that whoever looks now and then sees it."""
        self._news = code, self._clock.steady() + TOLD_FOR

    @property
    def mailbox(self) -> Mailbox:
        """The open mailbox."""
        if self._mailbox is None:
            raise RuntimeError("the mail is not open")
        return self._mailbox

    @property
    def is_open(self) -> bool:
        """Whether there is a `mailbox` yet."""
        return self._mailbox is not None

    async def open(self, translate: Callable[[int, bytes], Event], tell: Tell) -> None:
        """Open the mail and serve what waits in it. Raises `errors.StoreError`."""
        mailbox, kept = await asyncio.to_thread(Mailbox.open, self.user, self._folder, durable=self._settings.durable)
        try:
            messages, replies = await asyncio.to_thread(mailbox.mend, self._clock.now())
        except MailDamaged:  # a page that only this look at all rows has come to
            kept, messages, replies = await asyncio.to_thread(mailbox.begin_anew), [], []
        self._mailbox = mailbox
        self._set_aside = await asyncio.to_thread(kept_mail, self._folder)
        self._tell_of_opening(mailbox, kept)
        if messages:
            tell(damaged_message(self.user, *messages))
        if replies:
            tell(damaged_reply(self.user, *replies))
        self.intake = Intake(self._folder, mailbox, translate, self._teller.poison, self._destroyed, self._fate, self._clock.now)
        self.courier = Courier(mailbox, self._carry, self._read_up, self._clock, tell, per_minute=self._settings.send_rate)
        quota = MediaQuota(self._folder, mailbox, self._settings.media_quota, self._teller)
        largest = self._settings.largest_file
        self._attachments = Attachments(mailbox, self._tether, self._online, largest, quota, self._clock, self._teller)
        self.courier.open()
        if self._dispatcher is not None:
            desk = Desk(mailbox, self._attachments.fetch, self._attachments.hold, self.courier.queued, self._attend, self._enclosures)
            self._dispatcher.open(desk)
        elif not self._settings.leave:
            self._collector = Collector(mailbox.inbox, self._attachments.fetch, self._attachments.hold)

    async def drain(self, patience: float) -> None:
        """Send nothing new, and wait up to ``patience`` seconds for what is being sent."""
        if self._mailbox is not None:
            await self.courier.drain(patience)

    async def close(self) -> None:
        """Stop at once what is under way; it goes on at the next start."""
        if self._mailbox is None:
            return
        if self._dispatcher is not None:
            await self._dispatcher.close(self.user)
        if self._collector is not None:
            await self._collector.close()
        await self.courier.close()
        for task in self._courtesies:
            task.cancel()
        # It has the files open, and whoever stopped the session may want to move or delete them.
        if self._settling is not None and not self._settling.cancel():
            await asyncio.wait([asyncio.wrap_future(self._settling)])
        if self._mailbox.fault():
            if kept := await asyncio.to_thread(self._mailbox.put_back, self._clock.now()):
                self._tell_set_aside(kept)
        else:
            self.intake.note_place()
        self.intake.close()
        self._mailbox.close()

    def take(self) -> Iterator[Batch]:
        """Take in what is new in the spool. Raises `errors.StoreError`; then call again later."""
        for batch in self.intake.take():
            if batch.messages:
                self.received_at = self._clock.now()
            if self._dispatcher is not None:
                for chat in {message.chat for message in batch.messages}:
                    self._dispatcher.arrived(self.user, chat)
            elif self._collector is not None and batch.messages:
                self._collector.look()
            yield batch

    def hurry(self, chat: str) -> None:
        """Somebody wants what waits in a chat to be tried now."""
        if self._dispatcher is not None:
            self._dispatcher.hurry(self.user, chat)

    def online(self) -> None:
        """The session has logged in."""
        self._online.set()
        self.courier.online()

    def offline(self) -> None:
        """It is away."""
        self._online.clear()
        self.courier.offline()

    def settle(self) -> None:
        """Now and then: bring to the disk what is committed, in a thread, and delete what is old. A disk that fails is tried again."""
        now = self._clock.steady()
        if self._mailbox is None or (self._settling is not None and not self._settling.done()) or self._mailbox.fault():
            return
        if self._mailbox.damage:
            self._begin_anew()
            return
        if now < self._settle_at and self._mailbox.changes < self._settled + SETTLED_AFTER:
            return
        self._settle_at = now + SETTLED_EVERY
        self._note_settled()
        with suppress(WasessError):
            self._forget(now)
            if self._mailbox.changes != self._settled or self._forgot:
                self._settled = self._mailbox.changes
                self._settling = _SETTLER.submit(settle, self._folder, forgot=self._forgot)
        if self._set_aside:  # until somebody has taken it away
            self._set_aside = [kept for kept in self._set_aside if kept.exists()]

    def _begin_anew(self) -> None:
        """A page of the open file makes no sense: as at a start, it is set aside, and the spool brings what it still holds."""
        with suppress(WasessError):  # the next round tries it again
            kept = self.mailbox.begin_anew()
            self.mailbox.mail_lost(self._clock.now())
            self.intake.begin_anew()
            self._set_aside = [kept]
            self._settled = -1
            self._tell_set_aside(kept)
            self._beside(self._read_up())

    def _tell_set_aside(self, kept: Path) -> None:
        sentence = _("its messages (inbox.db) were damaged; a new file was begun, the old one is in {folder}").format(folder=kept)
        self._teller.trouble("MAIL_DAMAGED", sentence, level="error")

    def _note_settled(self) -> None:
        """What was not done the last time is done with the next."""
        if self._settling is not None and (self._settling.exception() or not self._settling.result()):
            self._settled = -1
        elif self._settling is not None:
            self._forgot = False

    def _forget(self, now: float) -> None:
        """Delete what is old, now and then."""
        if now >= self._forget_at:
            self._forget_at = now + FORGOTTEN_EVERY
            wall = self._clock.now()
            self._forgot |= self.mailbox.forget(wall - self._settings.keep_texts, wall - self._settings.keep_ids)

    def _tell_of_opening(self, mailbox: Mailbox, kept: Path | None) -> None:
        """What had to be done before its messages could be opened."""
        if mailbox.begun == "restored":
            self.tell_problem(reasons.FILES_REPLACED.code)
            where = _("what lay there is in {folder}").format(folder=kept) if kept else _("nothing else was there")
            self._teller.trouble(reasons.FILES_REPLACED.code, _("its messages (inbox.db) were put back; {where}").format(where=where))
        elif mailbox.begun:
            mailbox.mail_lost(self._clock.now())
            if kept:
                self._tell_set_aside(kept)
            else:
                self._teller.trouble("MAIL_DAMAGED", _("its messages (inbox.db) were gone; a new file was begun"), level="error")

        if 0 <= self._clock.now() - mailbox.mail_lost_at() < TOLD_FOR:
            self.tell_problem(reasons.MESSAGES_DAMAGED.code)

    def _destroyed(self, count: int) -> None:
        many = plural("up to {count} event in its spool was destroyed", "up to {count} events in its spool were destroyed", count)
        action = _(reasons.FILES_REPLACED.action).format(user=self.user)
        self._teller.trouble("SPOOL_DAMAGED", many.format(count=count), action=action, level="error")

    def _attend(self, message: Message, *, begins: bool) -> None:
        """The bot gets a message, or is done with it: people may see that. What does not work is no harm."""
        if self._settings.read_receipts and begins:
            self._courtesy(self._tether.mark_read(message.chat, message.sender, [message.id]))
        if self._settings.typing:
            self._courtesy(self._tether.typing(message.answer_to, on=begins))

    def _courtesy(self, work: Coroutine[None, None, None]) -> None:
        if len(self._courtesies) >= MOST_COURTESIES:
            work.close()
            return
        self._beside(work)

    def _beside(self, work: Awaitable[None]) -> None:
        """Do it beside what goes on; what does not work is no harm."""

        async def try_it() -> None:
            with suppress(WasessError):
                await work

        task = asyncio.create_task(try_it())
        self._courtesies.add(task)
        task.add_done_callback(self._courtesies.discard)

    def _fate(self, message: Message) -> State:
        return fate(self.user, message, self._settings.rules, bot=self._dispatcher is not None or self._settings.leave)

    async def _carry(self, letter: Letter) -> str:
        reply = letter.reply
        if reply is None:
            raise UsageError(_("the text of this reply is gone"))
        quoted = self.mailbox.quoted(letter, reply) if reply.quote or reply.react is not None else None
        kept = letter.kept or await self._enclosures.keep_one(reply)  # an earlier wasess made no copies when it queued
        message_id = await self._tether.send(letter.chat, reply, quoted, letter.key, kept)
        self.sent_at = self._clock.now()
        return message_id
