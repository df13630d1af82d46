"""Which messages the bot is asked about. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasess.core.message import Message
    from wasess.store.inbox import State


@dataclass(frozen=True, slots=True)
class Rule:
    """Says yes or no to the messages it fits. Empty fields fit all; ``users``, ``chats`` and ``senders`` may hold ``*``, as in ``*@g.us``."""

    ask: bool
    users: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def fits(self, user: str, message: Message) -> bool:
        """Whether it speaks about this message."""
        return (
            _any(self.users, user)
            and _any(self.chats, message.chat)
            and (_any(self.senders, message.sender) or bool(message.sender_alt and _any(self.senders, message.sender_alt)))
            and _any(self.kinds, message.kind)
        )


def fate(user: str, message: Message, rules: Sequence[Rule], *, bot: bool) -> State:
    """What becomes of a message: ``waiting`` for the bot, or ``unasked``. The first rule that fits decides; without one the bot is asked.

    Never about our own messages (it would answer itself), nor about what no bot could understand.
    """
    if not bot or message.from_me or message.kind == "other":
        return "unasked"
    ask = next((rule.ask for rule in rules if rule.fits(user, message)), True)
    return "waiting" if ask else "unasked"


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
