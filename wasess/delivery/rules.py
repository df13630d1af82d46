"""Which messages the bot is asked about. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, get_args

from wasess.core.message import Kind
from wasess.errors import UsageError
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasess.core.message import Message
    from wasess.store.inbox import State

VERBS = {"ask": True, "skip": False}
FIELDS = {"user": "users", "chat": "chats", "sender": "senders", "kind": "kinds"}
HINT = mark("Write it like: skip chat=*@g.us kind=image,video")


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


def read_rule(text: str) -> Rule:
    """Read ``ask`` or ``skip`` and what it is about: ``skip user=alice chat=*@g.us sender=… kind=image,video``. Raises `errors.UsageError`."""
    try:
        verb, *parts = shlex.split(text)
    except ValueError:
        verb, parts = "", []
    if verb not in VERBS:
        raise UsageError(_("the rule {rule!r} begins with neither ask nor skip").format(rule=text), hint=_(HINT))
    fields: dict[str, tuple[str, ...]] = {}
    for part in parts:
        name, _equals, value = part.partition("=")
        patterns = tuple(filter(None, value.split(",")))
        if name not in FIELDS or not patterns or FIELDS[name] in fields:
            raise UsageError(_("the rule {rule!r} is wrong at {part!r}").format(rule=text, part=part), hint=_(HINT))
        if name == "kind" and (unknown := set(patterns) - set(get_args(Kind))):
            raise UsageError(_("the rule {rule!r} names no kind of message: {kind!r}").format(rule=text, kind=min(unknown)), hint=_(HINT))
        fields[FIELDS[name]] = patterns
    return Rule(VERBS[verb], **fields)


def fate(user: str, message: Message, rules: Sequence[Rule], *, bot: bool) -> State:
    """What becomes of a message: ``waiting`` for the bot, or ``unasked``. The first rule that fits decides; without one the bot is asked.

    Never about our own messages (it would answer itself), nor about what no bot could understand; about a status, or what is said in a channel,
    only by a rule that names chats.
    """
    if not bot or not askable(message):
        return "unasked"
    public = message.is_public
    ask = next((rule.ask for rule in rules if (rule.chats or not public) and rule.fits(user, message)), not public)
    return "waiting" if ask else "unasked"


def askable(message: Message) -> bool:
    """Whether a bot can be asked about it at all."""
    return not message.from_me and message.kind != "other"


def for_bots(message: Message | None) -> bool:
    """Whether a bot is asked about it where no rule says anything else; not about one whose text is gone."""
    return message is not None and askable(message) and not message.is_public


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
