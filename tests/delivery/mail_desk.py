"""A session's mailbox on disk, a clock that is turned by hand, and a bot that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from at_once import AtOnce
from hand_clock import HandClock

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.dispatcher import Desk, Dispatcher
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.mail_queue import MailQueue
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasess.delivery.bot import Bot
    from wasess.store.inbox import Item, State

Answer = Callable[[Message], Any]


class ScriptedBot:
    """Answers by a function: with an `Outcome`, or with what becomes one (a text, None); it may be a coroutine. Remembers what it was asked."""

    def __init__(self, answer: Answer, at_once: int = 8, pauses: tuple[float, ...] = (1.0, 2.0)) -> None:
        self.answer = answer
        self.at_once = at_once
        self.pauses = pauses
        self.asked: list[Message] = []
        self.most = 0
        self._now = 0

    async def ask(self, message: Message) -> Outcome:
        self.asked.append(message)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            found = self.answer(message)
            if asyncio.iscoroutine(found):
                found = await found
        finally:
            self._now -= 1
        if isinstance(found, Outcome):
            return found
        return Outcome(Verdict.ANSWERED, () if found is None else (Reply(found),))

    async def close(self) -> None:
        return


class MailDesk:
    """One session with a dispatcher."""

    def __init__(self, folder: Path, bot: Bot, *, user: str = "alice", max_age: float = 0.0) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.user = user
        self.clock = HandClock()
        self.troubles: list[Trouble] = []
        self.queued: list[str] = []
        self.fetched: list[str] = []
        self.held: dict[str, float] = {}  # until when, by message id
        self.attended: list[tuple[str, bool]] = []
        self.mailbox, _ = Mailbox.open(user, folder, durable=False)
        self.enclosures = Enclosures(folder)
        self.dispatcher = Dispatcher(bot, self.troubles.append, self.clock, dice=lambda: 0.5, max_age=max_age)
        self._spooled = 0

    async def open(self) -> None:
        await self.dispatcher.open(self.of(self.mailbox))

    def of(self, mailbox: Mailbox) -> Desk:
        return Desk(MailQueue(mailbox, AtOnce()), self._fetch, self._hold, self.queued.append, self._attend, self.enclosures)

    def arrive(self, chat: str, *texts: str, state: State = "waiting", **fields: Any) -> None:
        messages = [
            Message(id=f"{chat}/{text}", chat=chat, sender=chat, text=text, **{"timestamp": self.clock.now(), **fields}) for text in texts
        ]
        self.take_in(*(events.MessageReceived(message) for message in messages), state=state)
        self.dispatcher.arrived(self.user, chat)

    def take_in(self, *found: events.Event, state: State = "waiting") -> None:
        self._spooled += 1
        place = Place(1, "head", self._spooled)
        self.mailbox.take_in([Spooled(event, b"raw") for event in found], place, self.clock.now(), lambda _message: state)

    @property
    def replies(self) -> list[tuple[str, str]]:
        return [(letter.chat, letter.reply.text) for letter in reversed(self.mailbox.outbox.letters()) if letter.reply]

    def states(self) -> dict[str, str]:
        return {item.message.id: item.state for item in self.mailbox.inbox.items() if item.message}

    def codes(self) -> list[str]:
        return [trouble.code for trouble in self.troubles]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 -- some conditions are about another process: nobody here could set an event
                await asyncio.sleep(0.002)

    async def done(self) -> None:
        await self.until(lambda: not self.mailbox.inbox.waiting)

    def _attend(self, message: Message, *, begins: bool) -> None:
        self.attended.append((message.id, begins))

    def _hold(self, item: Item) -> float:
        assert item.message is not None
        return max(0.0, self.held.get(item.message.id, 0.0) - self.clock.now())

    async def _fetch(self, item: Item) -> Message:
        assert item.message is not None
        self.fetched.append(item.message.id)
        return item.message


@asynccontextmanager
async def mail_desk(folder: Path, bot: Bot | Answer, **options: Any) -> AsyncIterator[MailDesk]:
    desk = MailDesk(folder, bot if hasattr(bot, "ask") else ScriptedBot(bot), **options)
    await desk.open()
    try:
        yield desk
    finally:
        await desk.dispatcher.close()
        desk.mailbox.close()
