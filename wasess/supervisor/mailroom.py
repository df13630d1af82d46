"""A session's mail, from its spool to the bot and from the bot to WhatsApp: opens it, and joins the intake, the dispatcher and the courier."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.redact import redact
from wasess.delivery.courier import Courier
from wasess.delivery.dispatcher import Desk
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.mail_queue import MailClosed, MailQueue
from wasess.delivery.rules import fate
from wasess.errors import StoreError, UsageError
from wasess.supervisor.attachments import Attachments
from wasess.supervisor.chat_brake import ChatBrake
from wasess.supervisor.chat_presence import ChatPresence
from wasess.supervisor.collector import Collector
from wasess.supervisor.intake import Intake
from wasess.supervisor.mail_care import MailCare
from wasess.supervisor.mail_opening import OpenedMail, open_mailbox
from wasess.supervisor.mail_report import report_batch, report_opening, report_set_aside
from wasess.supervisor.media_quota import MediaQuota
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from wasess.core.clock import Clock
    from wasess.core.events import Event
    from wasess.core.message import Message
    from wasess.core.sending import Released
    from wasess.delivery.bot import Tell
    from wasess.delivery.dispatcher import Dispatcher
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.inbox import State
    from wasess.store.outbox import Letter
    from wasess.store.sessions import Session
    from wasess.supervisor.intake import Batch
    from wasess.supervisor.mail_settings import MailSettings
    from wasess.supervisor.teller import Teller
    from wasess.supervisor.tether import Tether

TOLD_FOR = 600.0
MAIL_RETRY = 5.0  # a disk that takes no mail is tried again after it
COMPACTED_WITHIN = 0.5

logger = logging.getLogger(__name__)


class Mailroom:
    """The mail of one session; call `start` first. Nothing here waits for SQLite on the event loop, and nobody who keeps the connection for this."""

    def __init__(
        self,
        session: Session,
        settings: MailSettings,
        clock: Clock,
        dispatcher: Dispatcher | None,
        teller: Teller,
        tether: Tether,
        seen_on_phone: Callable[[float], Awaitable[None]],
    ) -> None:
        """``seen_on_phone`` is told when (Unix time) the phone itself has sent something."""
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
        self._seen_on_phone = seen_on_phone
        self._online = asyncio.Event()
        self._queue: MailQueue | None = None
        self._intake: Intake | None = None
        self._before: list[Callable[[Intake], None]] = []  # what the intake is to hear of the worker, once it is there
        self._courier: Courier | None = None
        self._collector: Collector | None = None
        self._presence = ChatPresence(tether, read_receipts=settings.read_receipts, typing=settings.typing)
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._taking = asyncio.Lock()
        self._refused = ""
        self._care: MailCare | None = None
        self._attachments: Attachments | None = None
        self._brake: ChatBrake | None = None
        self._news = "", 0.0

    @property
    def waiting(self) -> int:
        """How many messages wait for the bot."""
        return self._queue.waiting if self._queue else 0

    @property
    def problem(self) -> str:
        """What is wrong with its messages or files (`core.live.Live.problem`)."""
        if self._refused:
            return reasons.MAIL_NOT_TAKEN.code
        code, until = self._news
        if self._clock.steady() < until:
            return code
        return next(filter(None, self._problems()), "")

    def _problems(self) -> Iterator[str]:
        """The worst first."""
        if self._queue is not None and self._care is not None:
            yield reasons.MESSAGES_DAMAGED.code if self._queue.damaged or self._care.set_aside else ""
            yield reasons.CHAT_BRAKED.code if self._queue.braked else ""
        if self._dispatcher is not None:
            yield reasons.BOT_FAILING.code if self._dispatcher.failing(self.user) else ""
        if self._courier is not None:
            yield self._courier.problem
        if self._attachments is not None:
            yield reasons.MEDIA_FULL.code if self._attachments.full else ""

    def tell_problem(self, code: str) -> None:
        """Something has happened to its files (a code of `core.reasons`): it is a `problem` for ten minutes, so that whoever looks now and then sees it."""
        self._news = code, self._clock.steady() + TOLD_FOR

    @property
    def mail(self) -> MailQueue:
        """The open mail."""
        if self._queue is None:
            raise RuntimeError("the mail is not open")
        return self._queue

    @property
    def is_open(self) -> bool:
        """Whether there is a `mail` yet."""
        return self._queue is not None

    def start(self, translate: Callable[[int, bytes], Event], tell: Tell, failed: Callable[[Exception], None]) -> None:
        """Open the mail, serve what waits in it, and take in what comes, until `close`; a disk that refuses is tried again.

        ``failed`` is called with a bug that ended this: nothing is taken in any more.
        """

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                failed(error)

        self._task = asyncio.create_task(self._work(translate, tell))
        self._task.add_done_callback(ended)

    async def _work(self, translate: Callable[[int, bytes], Event], tell: Tell) -> None:
        while True:
            self._wake.clear()
            try:
                if self._queue is None:
                    await self._open(translate, tell)
                await self.caught_up()
            except MailClosed:
                return
            except (StoreError, OSError) as error:
                await self._not_taken(str(error))
            except Exception as error:  # a bug keeps nobody from trying again
                logger.exception("taking in the mail of %s failed", self.user)
                await self._not_taken(type(error).__name__)
            else:
                if self._refused:
                    self._refused = ""
                    self._teller.trouble("MAIL_TAKEN", _("its messages are taken in again"), level="info")
                await self._wake.wait()

    async def _not_taken(self, why: str) -> None:
        """Wait before the next try; what comes meanwhile stays in the spool."""
        self._refused = why
        self._teller.trouble(reasons.MAIL_NOT_TAKEN.code, why, level="error", sparing=True)
        again = asyncio.Event()
        alarm = self._clock.call_later(MAIL_RETRY, again.set)
        try:
            await again.wait()
        finally:
            alarm.cancel()

    async def _open(self, translate: Callable[[int, bytes], Event], tell: Tell) -> None:
        opening = asyncio.get_running_loop().run_in_executor(
            self._settings.threads, partial(open_mailbox, self.user, self._folder, self._clock.now, durable=self._settings.durable)
        )
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            await asyncio.wait([opening])  # whoever stopped the session may want to move or delete its files
            raise
        queue = MailQueue(opened.mailbox, self._settings.threads)
        intake = Intake(self._folder, opened.mailbox, translate, self._fate, self._clock.now)
        try:
            await self._set_up(queue, intake, tell)
        except BaseException:
            await queue.close(lambda _mailbox: None)
            raise
        self._queue = queue
        keep = self._settings.keep_texts, self._settings.keep_ids
        self._care = MailCare(self._folder, queue, intake, self._clock, keep, opened.set_aside, self._damage_set_aside)
        if self._online.is_set():
            self.online()
        if opened.mailbox.begun == "restored":
            self.tell_problem(reasons.FILES_REPLACED.code)
        if 0 <= self._clock.now() - opened.lost_at < TOLD_FOR:
            self.tell_problem(reasons.MESSAGES_DAMAGED.code)
        report_opening(self._teller, self.user, opened, tell)

    async def _set_up(self, queue: MailQueue, intake: Intake, tell: Tell) -> None:
        """Everything that works with the open mail. Raises `errors.StoreError`."""
        quota = MediaQuota(self._folder, queue, self._settings.media_quota, self._teller)
        self._attachments = Attachments(queue, self._tether, self._online, self._settings.largest_file, quota, self._clock, self._teller)
        self._courier = Courier(queue, self._carry, self.caught_up, self._clock, tell, per_minute=self._settings.send_rate)
        await self._courier.open()
        if self._dispatcher is not None:
            files = self._attachments
            self._brake = brake = ChatBrake(queue, self._settings.brake, self._settings.own, self._clock, self._teller)
            desk = Desk(queue, files.fetch, files.hold, self._courier.queued, self._presence.attend, self._enclosures, brake.hold)
            await self._dispatcher.open(desk)
        elif not self._settings.leave:
            self._collector = Collector(queue, self._attachments.fetch, self._attachments.hold)
        for heard in self._before:
            queue.soon(partial(_tell_intake, intake, heard))
        self._before.clear()
        self._intake = intake

    async def drain(self, patience: float) -> None:
        """Send nothing new, and wait up to ``patience`` seconds for what is being sent."""
        if self._courier is not None:
            await self._courier.drain(patience)

    async def close(self) -> None:
        """Stop at once what is under way; it goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        async with AsyncExitStack() as closing:  # from the last to the first, each whatever another one raises: the mailbox last
            closing.push_async_callback(self._close_mailbox)
            for one in (self._care, self._courier, self._collector):
                if one is not None:
                    closing.push_async_callback(one.close)
            closing.callback(self._presence.close)
            if self._dispatcher is not None:
                closing.push_async_callback(self._dispatcher.close, self.user)

    async def _close_mailbox(self) -> None:
        if self._queue is not None and self._intake is not None:
            kept = await self._queue.close(partial(_end_intake, self._intake, self._clock.now()))
            if kept:
                report_set_aside(self._teller, kept)

    # --- the spool ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Something may be in the spool."""
        self._wake.set()

    async def caught_up(self) -> None:
        """Take in everything that is in the spool. Raises `errors.StoreError`; what was not taken in is, by a later call."""
        queue, intake = self.mail, self._intake
        if intake is None:
            raise RuntimeError("the mail is not open")
        async with self._taking:
            more = True
            while more:
                batches, more = await queue.do(lambda _mailbox: intake.take_some())
                for batch in batches:
                    await self._deliver(batch)

    async def _deliver(self, batch: Batch) -> None:
        report_batch(self._teller, self.user, batch)
        for chat in batch.again:
            self.queued(chat)
        if not batch.messages:
            return
        self.received_at = self._clock.now()
        if self._dispatcher is not None:
            cleared = await self._brake.arrived(batch.messages) if self._brake else set()
            for chat in {message.chat for message in batch.messages} - cleared:
                self._dispatcher.arrived(self.user, chat)
            for chat in cleared:
                self._dispatcher.hurry(self.user, chat)
        elif self._collector is not None:
            self._collector.look()
        for message in batch.messages:
            if self._courier is not None and message.sender == message.chat:
                self._courier.wrote(message.chat)
            if message.from_phone:
                await self._seen_on_phone(message.timestamp)

    async def compact(self) -> None:
        """Before a worker is started: drop what is taken in, if that is much, and done within a moment."""
        queue, intake = self._queue, self._intake
        if queue is not None and intake is not None and intake.is_long and queue.idle:
            # The worker needs the lock that this takes; where that takes longer, its start is tried again.
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(COMPACTED_WITHIN):
                    await queue.do(lambda _mailbox: intake.compact())

    def worker_starts(self, size: int) -> None:
        """See `Intake.worker_starts`."""
        self._hear(lambda intake: intake.worker_starts(size))

    def worker_started(self, at: int) -> None:
        """See `Intake.worker_started`."""
        self._hear(lambda intake: intake.worker_started(at))

    def worker_ended(self) -> None:
        """See `Intake.worker_ended`."""
        self._hear(Intake.worker_ended)
        self.look()

    def _hear(self, heard: Callable[[Intake], None]) -> None:
        """The intake is told in the order in which things happened, whenever its turn comes."""
        if self._queue is None or self._intake is None:
            self._before.append(heard)
        else:
            self._queue.soon(partial(_tell_intake, self._intake, heard))

    # --- others -------------------------------------------------------------------------------------------------------

    def queued(self, chat: str) -> None:
        """Something was put into the outbox for this chat."""
        if self._courier is not None:
            self._courier.queued(chat)

    def hurry(self, chat: str) -> None:
        """Somebody wants what waits in a chat to be tried now."""
        if self._dispatcher is not None:
            self._dispatcher.hurry(self.user, chat)

    async def released(self, released: Sequence[Released]) -> None:
        """These chats are not braked any more. Raises `errors.StoreError`."""
        for one in released:
            self.queued(one.chat)
            self._teller.trouble("CHAT_RELEASED", _("the bot answers in the chat {chat} again").format(chat=redact(one.chat)), level="info")
        if self._dispatcher is not None:
            for chat, _first in await self.mail.do(lambda mailbox: mailbox.inbox.chats()):
                self._dispatcher.arrived(self.user, chat)

    def online(self) -> None:
        """The session has logged in."""
        self._online.set()
        if self._courier is not None:
            self._courier.online()

    def offline(self) -> None:
        """It is away."""
        self._online.clear()
        if self._courier is not None:
            self._courier.offline()

    def tend(self) -> None:
        """Look after the files, now and then: `MailCare.tend`."""
        if self._care is not None:
            self._care.tend()
            if self._courier is not None and self._courier.failed:
                self.count_failed()

    def count_failed(self) -> None:
        """Somebody may have dealt with failed replies."""
        if self._courier is not None:
            self.mail.soon(self._courier.count_failed)

    def _damage_set_aside(self, kept: Path) -> None:
        report_set_aside(self._teller, kept)
        self._wake.set()

    def _fate(self, message: Message) -> State:
        return fate(self.user, message, self._settings.rules, bot=self._dispatcher is not None or self._settings.leave)

    async def _carry(self, letter: Letter) -> str:
        reply = letter.reply
        if reply is None:
            raise UsageError(_("the text of this reply is gone"))
        quotes = reply.quote or reply.react is not None
        quoted = await self.mail.do(lambda mailbox: mailbox.quoted(letter, reply)) if quotes else None
        kept = letter.kept or await self._enclosures.keep_one(reply)  # an earlier wasess made no copies when it queued
        if self._brake is not None:
            self._brake.sends(letter)
        message_id = await self._tether.send(letter.chat, reply, quoted, letter.key, kept)
        self.sent_at = self._clock.now()
        return message_id


def _tell_intake(intake: Intake, heard: Callable[[Intake], None], _mailbox: Mailbox) -> None:
    heard(intake)


def _end_intake(intake: Intake, now: float, _mailbox: Mailbox) -> Path | None:
    return intake.end(now)


def _close_unused(opening: asyncio.Future[OpenedMail]) -> None:
    """The session was stopped while its mail was being opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().mailbox.close()
