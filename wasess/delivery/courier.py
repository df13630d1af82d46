"""Sends what is queued in a session's outbox: in order within a chat, a few chats at a time, as fast as the pace allows.

A reply leaves the outbox when the server has acknowledged it. What the server does not take for a reason that is not the message's own stays
queued, in order, for as long as that lasts (`core.refusals`). Before a message goes out its id is in the spool (`link.receipts`), so that
after any failure one of three things is known: it surely did not go out (it is sent again), it surely reached nobody (it is sent again, a few
times), or it may be on its way. Then receipts are waited for, for a while after the next login. When none comes, a reply of the bot's is
sent again: the same answer twice is better than none. A message with a key of the sender's own is not: it stays ``unknown``.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Literal

from wasess.core import backoff, reasons, refusals
from wasess.core.addressing import is_person
from wasess.core.pace import Pace
from wasess.core.refusals import Refusal
from wasess.delivery.bot import Trouble
from wasess.delivery.holds import Holds
from wasess.delivery.mail_queue import MailClosed
from wasess.delivery.mailbox import REPLY
from wasess.delivery.turns import Turns
from wasess.errors import SendRefused, UsageError, WasessError
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.core.clock import Clock
    from wasess.delivery.bot import Tell
    from wasess.delivery.mail_queue import MailQueue
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.outbox import Letter

AT_ONCE = 4  # chats
TRIES = 5
DOUBT_PATIENCE = 10.0  # seconds online in which a receipt may prove that a message went out
STORE_PAUSE = 5.0
BURST = 5.0  # messages that may go out at once when a pace is set
AHEAD_FOR = 0.1  # seconds for which the next message is known that was read beside the commit of the one before: an operator may drop it

logger = logging.getLogger(__name__)


class Courier:
    """Of one session. Needs a running event loop.

    ``carry`` sends one reply and returns its id; ``caught_up`` returns once everything that is in the spool has been taken in.
    ``per_minute``: messages, 0 for any number.
    """

    def __init__(
        self,
        mail: MailQueue,
        carry: Callable[[Letter], Awaitable[str]],
        caught_up: Callable[[], Awaitable[None]],
        clock: Clock,
        tell: Tell,
        *,
        per_minute: float = 0.0,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._mail = mail
        self._user = mail.user
        self._carry = carry
        self._caught_up = caught_up
        self._clock = clock
        self._tell = tell
        self._dice = dice
        self._pace = Pace.full(per_minute / 60, BURST, clock.steady()) if per_minute else None
        self._ahead: dict[str, tuple[float, Letter]] = {}  # what goes out next to a chat, and until when that counts
        self._holds = Holds()
        self._unhandled = 0  # replies that nobody has dealt with
        self._booked: set[str] = set()  # chats that have taken their turn, and wait for it
        self._online_since: float | None = None
        self._logins = 0
        self._turns = Turns[str](clock, self._serve_next, lambda _chat: self._online_since is not None and self._turns.busy < AT_ONCE)

    async def open(self) -> None:
        """Send what is queued already. Raises `errors.StoreError`."""
        await self._mail.do(self.count_failed)
        self.queued(*await self._mail.do(lambda mailbox: mailbox.outbox.chats()))

    def count_failed(self, mailbox: Mailbox) -> None:
        """Count the failed replies anew: somebody has dealt with some, or their time is over. For a mail thread; it looks at every row."""
        self._unhandled = len(mailbox.outbox.failed())

    def queued(self, *chats: str) -> None:
        """Something was put into the outbox for these chats."""
        for chat in chats:
            self._turns.add(chat)

    def wrote(self, chat: str) -> None:
        """Somebody has written there: what waits only because it would be a first message goes out now."""
        if self._holds.wait_of_first(self._clock.steady()):
            self._holds.wrote(chat)
            self._turns.wake(chat)
            self._turns.go_on()

    @property
    def problem(self) -> str:
        """Why messages wait, or that some have failed (a code of `core.reasons`); empty when all is well."""
        return self._holds.problem(self._clock.steady()) or (reasons.REPLIES_FAILED.code if self._unhandled else "")

    @property
    def failed(self) -> int:
        """How many replies have failed, and nobody has dealt with them."""
        return self._unhandled

    def online(self) -> None:
        """The session has logged in."""
        self._online_since = self._clock.steady()
        self._logins += 1
        self._turns.wake()
        self._turns.go_on()

    def offline(self) -> None:
        """It is away: nothing new is begun."""
        self._online_since = None

    async def drain(self, patience: float) -> None:
        """Begin nothing more, and wait for what is being sent."""
        await self._turns.finish(patience)

    async def close(self) -> None:
        """Stop at once."""
        await self._turns.drop()

    async def _serve_next(self, chat: str) -> float | None:
        """Deal with the first message that is to go out to a chat; None when there is none."""
        try:
            letter = await self._look(chat)
            if letter is None:
                return None
            if letter.damage:
                return await self._mend(letter)
            if letter.state == "sending" or letter.reply is None:
                return await self._doubt(letter)
            held = await self._held(chat)
        except WasessError as error:
            return self._stumble(error)
        if self._online_since is None:  # meanwhile
            return 0.0
        return held or self._wait_for_turn(chat) or await self._send(letter)

    async def _held(self, chat: str) -> float:
        """The seconds for which a refusal keeps this chat's next message here."""
        now = self._clock.steady()
        held, locked = self._holds.wait(chat, now), self._holds.wait_of_first(now)
        if locked <= held or not is_person(chat):
            return held
        since = self._clock.now() - refusals.COLD_AFTER
        return held if await self._mail.do(lambda mailbox: mailbox.inbox.has_written(chat, since)) else locked

    async def _look(self, chat: str) -> Letter | None:
        known_until, letter = self._ahead.pop(chat, (0.0, None))
        if letter is not None and self._clock.steady() < known_until:
            return letter
        return await self._mail.do(lambda mailbox: mailbox.next_letter(chat))

    def _wait_for_turn(self, chat: str) -> float:
        """The seconds until the pace lets this chat's next message out; 0 when it does now."""
        if self._pace is None or chat in self._booked:
            self._booked.discard(chat)
            return 0.0
        self._pace, wait = self._pace.take(self._clock.steady())
        if wait:
            self._booked.add(chat)
        return wait * (0.5 + self._dice())

    async def _send(self, letter: Letter) -> float | None:
        login = self._logins
        try:
            message_id = await self._carry(letter)
        except WasessError as error:
            return await self._failed(letter, error, login)
        except Exception as error:  # what nobody has thought of costs a try, and keeps no chat waiting for ever
            logger.exception("sending reply %d of %s failed", letter.seq, self._user)
            return await self._failed(
                letter, SendRefused(_("it could not be handed over: {kind}").format(kind=type(error).__name__)), login
            )
        now = self._clock.now()

        def sent(mailbox: Mailbox) -> Letter | None:
            mailbox.outbox.sent(letter.seq, message_id, now)
            return mailbox.next_letter(letter.chat)

        try:
            following = await self._mail.do(sent)
        except WasessError as error:
            return self._stumble(error)
        self._holds.went_out(letter.chat, self._clock.steady())
        if following is None:
            return None
        self._ahead[letter.chat] = self._clock.steady() + AHEAD_FOR, following
        return 0.0

    async def _failed(self, letter: Letter, error: WasessError, login: int) -> float:
        """What follows: the seconds until the chat is served again, or until the next login. What a connection did not outlive is no refusal."""
        try:
            await self._caught_up()
            now = await self._mail.do(lambda mailbox: mailbox.outbox.letter(letter.seq))
            if now.state not in {"queued", "sending"}:
                return 0.0  # a receipt has come meanwhile
            kind = refusals.of_send(error.status) if isinstance(error, SendRefused) else Refusal.MESSAGE
            if kind is not Refusal.MESSAGE:
                await self._mail.do(lambda mailbox: mailbox.outbox.postpone(letter.seq, letter.tries, str(error)))
                return self._hold(kind, letter.chat, error)
            refused = isinstance(error, SendRefused)
            if now.state == "sending" and not refused:
                return DOUBT_PATIENCE
            charged = refused or (self._online_since is not None and self._logins == login)
            if isinstance(error, UsageError) or (charged and letter.tries + 1 == TRIES):
                return await self._give_up(letter, error)
            pause = backoff.delay(letter.tries + 1, self._dice()) if charged else 0.0
            await self._mail.do(lambda mailbox: mailbox.outbox.postpone(letter.seq, letter.tries + charged, str(error)))
        except WasessError as failure:
            return self._stumble(failure)
        return pause

    def _hold(self, kind: Refusal, chat: str, error: WasessError) -> float:
        """Let the chat wait, and those that are meant with it; what is told once is told again only after a message was taken."""
        now = self._clock.steady()
        if self._holds.refused(kind, chat, now, self._dice()):
            code = self._holds.problem(now)
            sentence = _("{reason}: {error}").format(reason=_(reasons.BY_CODE[code].sentence), error=error)
            self._tell(Trouble(code, sentence, self._user, "warning"))
        return self._holds.wait(chat, now)

    async def _doubt(self, letter: Letter) -> float:
        """It may have gone out, by a process that died, or over a connection that did."""
        online = self._clock.steady() - (self._online_since or self._clock.steady())
        if online < DOUBT_PATIENCE:
            return DOUBT_PATIENCE - online
        if letter.key.startswith(REPLY) and letter.reply is not None:
            why = _("sent again: no receipt came")
            await self._mail.do(lambda mailbox: mailbox.outbox.postpone(letter.seq, letter.tries, why))
        else:
            await self._end(letter, "unknown", _("no acknowledgement and no receipt came"))
        return 0.0

    async def _mend(self, letter: Letter) -> float:
        now = self._clock.now()
        if not await self._mail.do(lambda mailbox: mailbox.outbox.mend(letter.seq, now)):
            self._tell(damaged_reply(self._user, letter.seq))
        return 0.0

    async def _give_up(self, letter: Letter, error: WasessError) -> float:
        await self._end(letter, "failed", str(error))
        await self._mail.do(self.count_failed)
        self._tell(Trouble("REPLY_GIVEN_UP", _("a reply could not be sent: {error}").format(error=error), self._user, "error"))
        return 0.0

    async def _end(self, letter: Letter, state: Literal["failed", "unknown"], detail: str) -> None:
        now = self._clock.now()
        await self._mail.do(lambda mailbox: mailbox.outbox.end(letter.seq, state, detail, now))

    def _stumble(self, error: WasessError) -> float:
        if not isinstance(error, MailClosed):
            self._tell(Trouble("OUTBOX_UNUSABLE", str(error), self._user, "error"))
        return STORE_PAUSE


def damaged_reply(user: str, *positions: int) -> Trouble:
    """What is told of replies whose rows are damaged: once, when they fail."""
    sentence = plural(
        "reply {positions} is damaged and was not sent; write to its chat by hand: wasess send",
        "replies {positions} are damaged and were not sent; write to their chats by hand: wasess send",
        len(positions),
    )
    return Trouble(reasons.MESSAGES_DAMAGED.code, sentence.format(positions=" ".join(map(str, positions[:10]))), user, "error")
