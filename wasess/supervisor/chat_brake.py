"""The brake of one session: what `core.brake` decides, done. A chat in which a machine answers the bot is braked in the session's mail, and told."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.brake import Brake, Sign
from wasess.core.redact import redact
from wasess.delivery.mailbox import REPLY
from wasess.delivery.rules import askable
from wasess.errors import StoreError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasess.core.clock import Clock
    from wasess.core.message import Message
    from wasess.delivery.mail_queue import MailQueue
    from wasess.store.inbox import Item
    from wasess.store.outbox import Letter
    from wasess.supervisor.teller import Teller

GROUP = "@g.us"
MOST_SENDERS = 1000  # of messages in groups that are being answered


class ChatBrake:
    """``limit``: see `core.brake.Brake`. ``own``: the addresses of the sessions of this home, with their users."""

    def __init__(self, mail: MailQueue, limit: int, own: Mapping[str, str], clock: Clock, teller: Teller) -> None:
        self._mail = mail
        self._brake = Brake(limit)
        self._own = own
        self._clock = clock
        self._teller = teller
        self._senders: dict[int, str] = {}  # in groups, by the position of the message: an answer does not name them

    async def arrived(self, messages: Iterable[Message]) -> set[str]:
        """These have come in; return the chats whose messages were held back and are not any more."""
        cleared = set()
        for message in messages:
            if not askable(message) or message.is_public:
                continue
            own = self._session_of(message)
            sign = self._brake.arrived(message.answer_to, _sender(message), self._clock.steady(), own=bool(own))
            if sign is Sign.CLEARED:
                cleared.add(message.chat)
            elif sign is Sign.MACHINE:
                await self._enter(message, own)
        return cleared

    def hold(self, item: Item) -> float:
        """The bot is to be asked about a message: the seconds for which it must not be yet."""
        message = item.message
        if message is None:
            return 0.0
        if message.is_group:
            self._senders[item.seq] = message.sender
            if len(self._senders) > MOST_SENDERS:
                del self._senders[next(iter(self._senders))]
        return self._brake.hold(message.answer_to, _sender(message), self._clock.steady())

    def sends(self, letter: Letter) -> None:
        """This is about to go out."""
        if not letter.key.startswith(REPLY):
            return
        sender = self._senders.get(letter.about or 0, "") if letter.chat.endswith(GROUP) else ""
        self._brake.answered(letter.chat, sender, self._clock.steady())

    def _session_of(self, message: Message) -> str:
        """The session of this home that has written it; empty for anybody else."""
        users = {self._own.get(address, "") for address in (message.sender, message.sender_alt)}
        return max(users - {self._mail.user}, default="")

    async def _enter(self, message: Message, own: str) -> None:
        chat, sender, now = message.answer_to, _sender(message), self._clock.now()
        try:
            await self._mail.do(lambda mailbox: mailbox.brakes.enter(chat, sender, now))
        except StoreError as error:  # it goes on, and is found out again
            self._teller.trouble(reasons.CHAT_BRAKED.code, str(error), level="error", sparing=True)
            return
        shown = redact(chat)
        who = _("the session {user}").format(user=own) if own else redact(sender) if sender else _("the other side")
        sentence = _("in the chat {chat} a machine answers the bot ({who}), and the bot answers it: its answers there wait").format(
            chat=shown, who=who
        )
        action = _("To let them go on, or to drop them: {command}").format(
            command=f"wasess inbox release {self._mail.user} {shlex.quote(shown)} [--drop]"
        )
        self._teller.trouble(reasons.CHAT_BRAKED.code, sentence, action=action, level="error")


def _sender(message: Message) -> str:
    """As `Brake` wants it."""
    return message.sender if message.is_group else ""
