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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from wasess.core import backoff, reasons
from wasess.delivery.bot import Outcome, Trouble, Verdict
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
    from wasess.delivery.mailbox import Mailbox
    from wasess.delivery.turns import Work

FETCHED_AT_ONCE = 8  # of each session: what one waits for holds no other up
LONGEST_PAUSE = 7 * 86_400.0
MOST_NAMED = 10  # positions in a sentence
STORE_PAUSE = 5.0  # a disk that takes nothing is asked again after it
JITTER = 0.2  # of a pause, up and down

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""A session and a chat in it."""


class Attend(Protocol):
    """What a session does beside the asking."""

    def __call__(self, message: Message, *, begins: bool) -> None:
        """The bot begins with a message, or is done with it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A session's side.

    ``fetch`` gets what is still missing of a message (it never raises); ``hold``: the seconds for which that must wait. ``queued`` is told the chat of each reply. ``attend`` is told when the bot
    begins with a message, and when it is done. ``enclosures`` keeps the files of replies.
    """

    mailbox: Mailbox
    fetch: Callable[[Item], Awaitable[Message]]
    hold: Callable[[Item], float]
    queued: Callable[[str], None]
    attend: Attend
    enclosures: Enclosures


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
        self._asked: set[Key] = set()
        self._alone: set[Key] = set()  # chats whose first message may have killed the bot
        self._answers = 0
        self._answers_at: dict[Key, int] = {}  # ... when the bot was last away for this chat's message
        self._away = 0
        self._away_until = 0.0
        self._probe: Alarm | None = None

    def open(self, desk: Desk) -> None:
        """Serve a session: whatever waits in its inbox, and what `arrived`. Raises `errors.StoreError`."""
        chats = desk.mailbox.inbox.chats()
        self._desks[desk.mailbox.user] = desk
        self._fetching[desk.mailbox.user] = asyncio.Semaphore(FETCHED_AT_ONCE)
        for chat, _first in chats:
            self._turns.add((desk.mailbox.user, chat))

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
        await self._turns.drop(lambda key: key[0] not in self._desks)

    async def drain(self, patience: float) -> None:
        """Give the bot nothing new, and wait up to ``patience`` seconds for what it has."""
        await self._turns.finish(patience)

    # --- turns ------------------------------------------------------------------------------------------------------

    def _may_begin(self, key: Key) -> bool:
        if self._asked and (key in self._alone or self._asked & self._alone):
            return False
        if self._away and (self._asked or self._clock.steady() < self._away_until):
            return False
        return len(self._asked) < self._bot.at_once

    def _begin(self, key: Key) -> Work | float | None:
        """The first message of a chat, if there is one and its time has come."""
        now = self._clock.now()
        try:
            item = self._first(key, now)
        except WasessError as error:
            return self._stumble(key, error)
        if not isinstance(item, Item) or item.message is None:
            return item if isinstance(item, float) else None
        if now < item.retry_at <= now + LONGEST_PAUSE:  # a later one was never meant
            return item.retry_at - now
        if item.raw:
            return self._desks[key[0]].hold(item) or self._fetch(key, item)
        self._asked.add(key)
        return self._serve(key, item, replace(item.message, session=key[0]))

    def _first(self, key: Key, now: float) -> Item | float | None:
        """The first message that waits in a chat; 0.0 when it is none for the bot, and the next one is to be looked at."""
        inbox = self._desks[key[0]].mailbox.inbox
        item = inbox.next_waiting(key[1])
        if item is None:
            return None
        if item.damage:
            if not inbox.mend(item.seq, now):
                self._tell(damaged_message(key[0], item.seq))
            return 0.0
        if item.message is not None and self._too_old(item.message, now):
            inbox.finish(item.seq, "unasked", now, _("too old"))
            return 0.0
        return item

    def _ended(self, key: Key) -> None:
        self._asked.discard(key)

    def _stumble(self, key: Key, error: WasessError) -> float:
        """The inbox can't be read or written: what was not noted is done again."""
        self._tell(Trouble("INBOX_UNUSABLE", str(error), key[0], "error"))
        return STORE_PAUSE

    def _fault(self, key: Key, item: Item, error: Exception) -> float:
        """A bug, here or in what the session does beside the asking: it costs the message a try."""
        logger.error("serving message %d of %s failed", item.seq, key[0], exc_info=error)
        try:
            return self._charge(key, item, Outcome(Verdict.FAULT, detail=type(error).__name__))
        except WasessError as failure:
            return self._stumble(key, failure)

    def _too_old(self, message: Message, now: float) -> bool:
        return bool(self._max_age) and now - message.timestamp > self._max_age

    # --- one message ------------------------------------------------------------------------------------------------

    async def _fetch(self, key: Key, item: Item) -> float:
        desk = self._desks[key[0]]
        try:
            async with self._fetching[key[0]]:
                message = await desk.fetch(item)
            desk.mailbox.inbox.prepared(item.seq, message)
        except WasessError as error:
            return self._stumble(key, error)
        except Exception as error:  # noqa: BLE001 - what nobody has thought of must not keep the chat waiting for ever
            return self._fault(key, item, error)
        return 0.0

    async def _serve(self, key: Key, item: Item, message: Message) -> float:
        desk = self._desks[key[0]]
        try:
            desk.attend(message, begins=True)
            try:
                outcome = await self._bot.ask(message)
            finally:
                desk.attend(message, begins=False)
            outcome, kept = await self._enclosed(desk, outcome)
            if outcome.verdict is not Verdict.ANSWERED:
                return self._failed(key, item, outcome)
            self._answered(key)
            desk.mailbox.answered(item, message, outcome.replies, self._clock.now(), kept)
        except WasessError as error:
            return self._stumble(key, error)
        except Exception as error:  # noqa: BLE001 - as above
            return self._fault(key, item, error)
        for reply in outcome.replies:
            desk.queued(reply.to or message.answer_to)
        return 0.0

    async def _enclosed(self, desk: Desk, outcome: Outcome) -> tuple[Outcome, tuple[str, ...]]:
        """With the names of the copies of the files; an answer with a file that is not sent is the bot's fault. Raises `errors.StoreError`."""
        try:
            return outcome, await desk.enclosures.keep(outcome.replies, outcome.files)
        except BadReply as error:
            return Outcome(Verdict.RAISED, detail=str(error)), ()

    def _answered(self, key: Key) -> None:
        self._answers += 1
        self._alone.discard(key)
        self._answers_at.pop(key, None)
        if self._away:
            self._away, self._away_until = 0, 0.0
            self._tell(Trouble("BOT_BACK", _("the bot answers again"), level="info"))

    def _failed(self, key: Key, item: Item, outcome: Outcome) -> float:
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
        return self._charge(key, item, outcome)

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

    def _charge(self, key: Key, item: Item, outcome: Outcome) -> float:
        """It is the message's fault: try it again after a pause, or give it up."""
        tries, pauses = item.tries + 1, self._bot.pauses
        inbox, now = self._desks[key[0]].mailbox.inbox, self._clock.now()
        last = tries > len(pauses)
        if last:
            inbox.postpone(item.seq, tries, 0.0, outcome.detail)
            inbox.finish(item.seq, "dead", now, outcome.detail)
            self._alone.discard(key)
            pause = 0.0
        else:
            pause = max(outcome.wait, pauses[tries - 1] * (1 - JITTER + 2 * JITTER * self._dice()))
            inbox.postpone(item.seq, tries, now + pause, outcome.detail)
        self._tell(_trouble(key[0], item, outcome, tries, last=last))
        return pause


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
