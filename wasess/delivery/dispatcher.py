"""Hands messages to the bot and queues its replies: in order within a chat, chats side by side, at least once.

What waits stands in each session's inbox; here is only which chats have something, and when each may be served next. A message is done in the
same commit that queues its replies, so whatever the manager's death interrupts is asked again, and answered once.

A chat is served one message at a time: first its file or its votes are fetched, then the bot is asked. A message that the bot failed
on is tried again after each of the bot's pauses; then it is a dead letter, and the chat goes on.

When the bot's process dies, any of the messages it had may be the cause. Each of them is tried again alone, so that a message that
kills the bot is found out and no other is ever given up for it. What fails here instead, by a bug, costs the message a try as well: no chat waits
for ever. A message whose row is damaged is a dead letter at once: the bot gets no text that nobody has written. A bot that is AWAY is asked about one message at a time, with growing pauses,
until it answers; that costs no message a try, unless the bot has answered others since the message's last one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from wasess.core import backoff, reasons
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.mail_queue import MailClosed
from wasess.delivery.replies import BadReply
from wasess.delivery.turns import Turns
from wasess.errors import WasessError
from wasess.store.inbox import Item
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.core.clock import Alarm, Clock
    from wasess.core.message import Message
    from wasess.delivery.bot import Bot, Tell
    from wasess.delivery.enclosures import Enclosures
    from wasess.delivery.mail_queue import MailQueue
    from wasess.delivery.mailbox import Mailbox
    from wasess.delivery.turns import Work

FETCHED_AT_ONCE = 8  # of each session: what one waits for holds no other up
LONGEST_PAUSE = 7 * 86_400.0
MOST_NAMED = 10  # positions in a sentence
STORE_PAUSE = 5.0  # a disk that takes nothing is asked again after it
JITTER = 0.2  # of a pause, up and down
FAILS = 3  # different messages: one may be the message's own fault, and two the same person's
AHEAD_FOR = 0.1  # seconds for which the next message is known that was read beside the commit of the one before: an operator may drop it

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""A session and a chat in it."""

First = tuple[Item | float | None, int]
"""See `_first`."""


class Attend(Protocol):
    """What a session does beside the asking."""

    def __call__(self, message: Message, *, begins: bool) -> None:
        """The bot begins with a message, or is done with it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A session's side.

    ``fetch`` gets what is still missing of a message (it never raises); ``hold``: the seconds for which that must wait. ``queued`` is told the chat of each reply. ``attend`` is told when the bot
    begins with a message, and when it is done. ``enclosures`` keeps the files of replies. ``brake``: the seconds for which the bot is not to be asked about a message yet.
    """

    mail: MailQueue
    fetch: Callable[[Item], Awaitable[Message]]
    hold: Callable[[Item], float]
    queued: Callable[[str], None]
    attend: Attend
    enclosures: Enclosures
    brake: Callable[[Item], float] = lambda _item: 0.0


class Dispatcher:
    """One for all sessions. Needs a running event loop. ``max_age``: seconds after which a message is not worth an answer; 0 for never."""

    def __init__(self, bot: Bot, tell: Tell, clock: Clock, *, dice: Callable[[], float] = random.random, max_age: float = 0.0) -> None:
        self._bot = bot
        self._tell = tell
        self._clock = clock
        self._dice = dice
        self._max_age = max_age
        self._desks: dict[str, Desk] = {}
        self._turns = Turns[Key](clock, self._begin, self._may_begin, self._ended)
        self._fetching: dict[str, asyncio.Semaphore] = {}
        self._asked: set[Key] = set()  # or about to be: its first message is looked for
        self._alone: set[Key] = set()  # chats whose first message may have killed the bot
        self._failed_on: dict[str, set[int]] = {}  # of each session, the first messages since it answered one
        self._ahead: dict[Key, tuple[float, First]] = {}  # what is first in a chat now, and until when that counts
        self._answers = 0
        self._answers_at: dict[Key, int] = {}  # ... when the bot was last away for this chat's message
        self._away = 0
        self._away_until = 0.0
        self._probe: Alarm | None = None

    async def open(self, desk: Desk) -> None:
        """Serve a session: whatever waits in its inbox, and what `arrived`. Raises `errors.StoreError`."""
        user = desk.mail.user
        chats = await desk.mail.do(lambda mailbox: mailbox.inbox.chats())
        self._desks[user] = desk
        self._fetching[user] = asyncio.Semaphore(FETCHED_AT_ONCE)
        for chat, _first in chats:
            self._turns.add((user, chat))

    def arrived(self, user: str, chat: str) -> None:
        """Something waits in a chat."""
        if user in self._desks:
            self._turns.add((user, chat))

    def hurry(self, user: str, chat: str) -> None:
        """Somebody wants a chat that waits for its next try to be served now."""
        self.arrived(user, chat)
        self._turns.wake((user, chat))

    async def close(self, user: str | None = None) -> None:
        """Stop serving a session, or all, at once. What is under way is asked again at the next start."""
        for gone in [name for name in self._desks if user in {None, name}]:
            del self._desks[gone], self._fetching[gone]
        self._ahead = {key: ahead for key, ahead in self._ahead.items() if key[0] in self._desks}
        await self._turns.drop(lambda key: key[0] not in self._desks)

    def failing(self, user: str) -> bool:
        """Whether the bot has failed on each of the last messages of a session, and these are several."""
        return len(self._failed_on.get(user, ())) >= FAILS

    async def drain(self, patience: float) -> None:
        """Give the bot nothing new, and wait up to ``patience`` seconds for what it has."""
        await self._turns.finish(patience)

    # --- turns ------------------------------------------------------------------------------------------------------

    def _may_begin(self, key: Key) -> bool:
        return self._may_ask(key) and len(self._asked) < self._bot.at_once

    def _may_ask(self, key: Key) -> bool:
        """Whether the bot may be asked about this chat's message beside those that it has."""
        others = len(self._asked) - (key in self._asked)
        if others and self._alone and (key in self._alone or self._asked & self._alone):
            return False
        return not (self._away and (others or self._clock.steady() < self._away_until))

    def _begin(self, key: Key) -> Work:
        self._asked.add(key)
        return self._serve_next(key)

    def _ended(self, key: Key) -> None:
        self._asked.discard(key)

    def _stumble(self, key: Key, error: WasessError) -> float:
        """The inbox can't be read or written: what was not noted is done again."""
        if not isinstance(error, MailClosed):
            self._tell(Trouble("INBOX_UNUSABLE", str(error), key[0], "error"))
        return STORE_PAUSE

    async def _fault(self, key: Key, item: Item, error: Exception) -> float:
        """A bug, here or in what the session does beside the asking: it costs the message a try."""
        logger.error("serving message %d of %s failed", item.seq, key[0], exc_info=error)
        try:
            return await self._charge(key, item, Outcome(Verdict.FAULT, detail=type(error).__name__))
        except WasessError as failure:
            return self._stumble(key, failure)

    # --- one message ------------------------------------------------------------------------------------------------

    async def _serve_next(self, key: Key) -> float | None:
        """Deal with the first message of a chat, if there is one and its time has come."""
        try:
            item, damaged = await self._look(key)
        except WasessError as error:
            return self._stumble(key, error)
        if damaged:
            self._tell(damaged_message(key[0], damaged))
        if not isinstance(item, Item) or item.message is None:
            return item if isinstance(item, float) else None
        if item.raw:
            self._asked.discard(key)  # what it waits for is no matter of the bot's
            self._turns.go_on()
            return self._desks[key[0]].hold(item) or await self._fetch(key, item)
        if pause := self._desks[key[0]].brake(item):
            return pause
        if not self._may_ask(key):  # another one's message has killed the bot meanwhile, or found it away
            return 0.0
        return await self._serve(key, item, replace(item.message, session=key[0]))

    async def _look(self, key: Key) -> First:
        known_until, first = self._ahead.pop(key, (0.0, (None, 0)))
        if self._clock.steady() < known_until:
            return first
        now = self._clock.now()
        return await self._desks[key[0]].mail.do(lambda mailbox: _first(mailbox, key[1], now, self._max_age))

    async def _fetch(self, key: Key, item: Item) -> float:
        desk = self._desks[key[0]]
        try:
            async with self._fetching[key[0]]:
                message = await desk.fetch(item)
            await desk.mail.do(lambda mailbox: mailbox.inbox.prepared(item.seq, message))
        except WasessError as error:
            return self._stumble(key, error)
        except Exception as error:  # noqa: BLE001 - what nobody has thought of must not keep the chat waiting for ever
            return await self._fault(key, item, error)
        return 0.0

    async def _serve(self, key: Key, item: Item, message: Message) -> float | None:
        desk = self._desks[key[0]]
        try:
            desk.attend(message, begins=True)
            try:
                outcome = await self._bot.ask(message)
            finally:
                desk.attend(message, begins=False)
            outcome, kept = await self._enclosed(desk, outcome)
            if outcome.verdict is not Verdict.ANSWERED:
                return await self._failed(key, item, outcome)
            self._answered(key)
            now = self._clock.now()

            def answered(mailbox: Mailbox) -> First:
                mailbox.answered(item, message, outcome.replies, now, kept)
                with suppress(WasessError):
                    return _first(mailbox, key[1], now, self._max_age)
                return 0.0, 0

            first = await desk.mail.do(answered)
        except WasessError as error:
            return self._stumble(key, error)
        except Exception as error:  # noqa: BLE001 - as above
            return await self._fault(key, item, error)
        for reply in outcome.replies:
            desk.queued(reply.to or message.answer_to)
        if first == (None, 0):
            return None
        self._ahead[key] = self._clock.steady() + AHEAD_FOR, first
        return 0.0

    async def _enclosed(self, desk: Desk, outcome: Outcome) -> tuple[Outcome, tuple[str, ...]]:
        """With the names of the copies of the files; an answer with a file that is not sent is the bot's fault. Raises `errors.StoreError`."""
        try:
            return outcome, await desk.enclosures.keep(outcome.replies, outcome.files)
        except BadReply as error:
            return Outcome(Verdict.RAISED, detail=str(error)), ()

    def _answered(self, key: Key) -> None:
        self._answers += 1
        self._failed_on.pop(key[0], None)
        self._alone.discard(key)
        self._answers_at.pop(key, None)
        if self._away:
            self._away, self._away_until = 0, 0.0
            self._tell(Trouble("BOT_BACK", _("the bot answers again"), level="info"))

    async def _failed(self, key: Key, item: Item, outcome: Outcome) -> float:
        """What follows: the seconds until the chat is served again."""
        if outcome.verdict is Verdict.RESTARTED:
            return 0.0
        if outcome.verdict is Verdict.DIED and key not in self._alone:
            self._alone.add(key)
            return 0.0
        if outcome.verdict is Verdict.AWAY and self._answers_at.setdefault(key, self._answers) == self._answers:
            self._leave_alone(outcome)
            return 0.0
        self._answers_at.pop(key, None)
        return await self._charge(key, item, outcome)

    def _leave_alone(self, outcome: Outcome) -> None:
        """Nobody is there: ask again later, about whichever message is next."""
        self._away += 1
        if self._away == 1:
            sentence = _("the bot does not answer ({detail}); messages wait").format(detail=outcome.detail)
            self._tell(Trouble("BOT_AWAY", sentence, level="error"))
        pause = max(outcome.wait, backoff.delay(self._away, 0.5 + self._dice() / 2))
        self._away_until = self._clock.steady() + pause
        if self._probe is not None:
            self._probe.cancel()
        self._probe = self._clock.call_later(pause, self._turns.go_on)

    async def _charge(self, key: Key, item: Item, outcome: Outcome) -> float:
        """It is the message's fault: try it again after a pause, or give it up."""
        failed_on = self._failed_on.setdefault(key[0], set())
        if len(failed_on) < FAILS:
            failed_on.add(item.seq)
        tries, pauses, now = item.tries + 1, self._bot.pauses, self._clock.now()
        last = tries > len(pauses)
        pause = 0.0 if last else max(outcome.wait, pauses[tries - 1] * (1 - JITTER + 2 * JITTER * self._dice()))
        if last:
            await self._desks[key[0]].mail.do(lambda mailbox: mailbox.give_up(item, tries, outcome.detail, now))
            self._alone.discard(key)
        else:
            await self._desks[key[0]].mail.do(lambda mailbox: mailbox.inbox.postpone(item.seq, tries, now + pause, outcome.detail))
        self._tell(_trouble(key[0], item, outcome, tries, last=last))
        return pause


def _first(mailbox: Mailbox, chat: str, now: float, max_age: float) -> First:
    """The first message that waits in a chat, or the seconds until its time comes: 0.0 when the next one is to be looked at.

    The second value is its position when its row turned out to be damaged, and its text is lost; else 0.
    """
    item = mailbox.inbox.next_waiting(chat)
    if item is None:
        return None, 0
    if item.damage:
        return 0.0, 0 if mailbox.inbox.mend(item.seq, now) else item.seq
    if item.message is not None and item.message.answer_to in mailbox.brakes.chats:
        return None, 0  # whoever releases it says that something `arrived`
    if item.message is not None and max_age and now - item.message.timestamp > max_age:
        mailbox.inbox.finish(item.seq, "unasked", now, _("too old"))
        return 0.0, 0
    if now < item.retry_at <= now + LONGEST_PAUSE:  # a later one was never meant
        return item.retry_at - now, 0
    return item, 0


def _trouble(user: str, item: Item, outcome: Outcome, tries: int, *, last: bool) -> Trouble:
    what = {
        Verdict.RAISED: _("the bot failed on a message"),
        Verdict.STUCK: _("the bot took too long over a message and was started again"),
        Verdict.DIED: _("the bot's process ended over a message"),
        Verdict.AWAY: _("the bot does not take a message"),
        Verdict.FAULT: _("a message could not be handed to the bot"),
    }[outcome.verdict]
    if not last:
        again = _("{what} ({detail}); trying it again").format(what=what, detail=outcome.detail)
        return Trouble(f"BOT_{outcome.verdict.name}", again, user)
    sentence = _("{what} ({detail}); gave up on message {number} after {tries} tries: wasess inbox show {user} {number}").format(
        what=what, detail=outcome.detail, number=item.seq, tries=tries, user=user
    )
    return Trouble("BOT_GAVE_UP", sentence, user, "error")


def damaged_message(user: str, *positions: int) -> Trouble:
    """What is told of messages whose rows are damaged: once, when they become dead letters."""
    many = plural(
        "message {positions} is damaged and not given to the bot",
        "messages {positions} are damaged and not given to the bot",
        len(positions),
    )
    shown = " ".join(map(str, positions[:MOST_NAMED])) + (" …" if len(positions) > MOST_NAMED else "")
    sentence = _("{what}; ask who wrote to send it again, then: wasess inbox drop {user} {positions}").format(
        what=many.format(positions=shown), user=user, positions=shown
    )
    return Trouble(reasons.MESSAGES_DAMAGED.code, sentence, user, "error")
