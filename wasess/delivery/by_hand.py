"""What people do to a session's mail by hand: send a message, have dead letters tried again, drop them.

On an open mailbox: the manager's, or one that was opened for it while none runs.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core.addressing import address_of
from wasess.core.redact import redact
from wasess.core.sending import Sending
from wasess.delivery.mailbox import REPLY
from wasess.delivery.replies import BadReply, read_replies
from wasess.delivery.rules import askable
from wasess.errors import UsageError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.core.message import Reply
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.outbox import Letter

LONGEST_KEY = 128  # the worker notes it in the spool with the message's id: link.requests


def new_key() -> str:
    """A key that nobody has used."""
    return secrets.token_hex(16)


def checked(to: str, reply: Reply, key: str) -> tuple[str, Reply]:
    """The address, and what goes there. Raises `UsageError` for what can't be sent; its file is looked at by whoever has it."""
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or key.startswith(REPLY):
        raise UsageError(
            _("a key has 1 to {most} printable characters and does not begin with {reserved}").format(most=LONGEST_KEY, reserved=REPLY),
            hint=_("for example an order's number"),
        )
    return addressed(to), _checked(reply)


def addressed(text: str) -> str:
    """The address that somebody has typed. Raises `UsageError`."""
    address = address_of(text)
    if not address:
        raise UsageError(
            _("{address} is no WhatsApp address, phone number or group").format(address=ascii(redact(text[:60]))),
            hint=_("for example 491701234567@s.whatsapp.net, or +49 170 1234567 with its country code"),
        )
    return address


def post(mailbox: Mailbox, to: str, reply: Reply, key: str, now: float, kept: str = "") -> Sending:
    """Queue what was `checked`, unless something with this key was; tell what has become of it. Raises `UsageError` when that is another message.

    ``kept``: the name of the copy of its file, empty when it has none, or something with this key was queued before.
    """
    letter = mailbox.outbox.queue(key, to, reply, now, kept=kept)
    if (letter.chat and letter.chat != to) or (letter.reply is not None and letter.reply != reply):
        raise UsageError(_("this key belongs to another message; nothing was sent"), hint=_("each message has a key of its own"))
    return sending(mailbox.user, letter)


def sending(user: str, letter: Letter) -> Sending:
    """A letter as people are told of it."""
    return Sending(
        user,
        letter.seq,
        letter.key,
        letter.chat,
        letter.state,
        letter.message_id,
        letter.tries,
        letter.detail,
        letter.queued_at,
        letter.sent_at,
        letter.delivered_at,
        letter.read_at,
    )


def letter_at(mailbox: Mailbox, position: int) -> Sending:
    """What has become of the letter at a position. Raises `UsageError`."""
    try:
        return sending(mailbox.user, mailbox.outbox.letter(position))
    except KeyError:
        sentence = _("there is no message {position} in the outbox of {user}").format(position=position, user=mailbox.user)
        raise UsageError(sentence, hint=f"wasess send {mailbox.user} --help") from None


def retry(mailbox: Mailbox, position: int) -> bool:
    """Let the bot be asked about a message again, or after all; False when that can't be, see `store.inbox.Inbox.retry`."""
    item = mailbox.inbox.item(position)
    return item is not None and item.message is not None and askable(item.message) and mailbox.inbox.retry(position)


def drop(mailbox: Mailbox, position: int, now: float) -> bool:
    """Give a message up for good; False when it is neither a dead letter nor one that waits. One that is damaged can be dropped in any state."""
    item = mailbox.inbox.item(position)
    if item is not None and item.damage:
        mailbox.inbox.mend(position, now)
    return mailbox.inbox.drop(position, now)


def resend(mailbox: Mailbox, position: int) -> bool:
    """Queue a reply that has failed once more; False when it has not, its text is gone, or the copy of its file is (it is kept until the end)."""
    try:
        letter = mailbox.outbox.letter(position)
    except KeyError:
        return False
    return not letter.kept and mailbox.outbox.resend(position)


def drop_reply(mailbox: Mailbox, position: int) -> bool:
    """Give up a reply that has failed; False when there is none, or that was done before."""
    return mailbox.outbox.drop(position)


def chats_waiting(mailbox: Mailbox, positions: Iterable[int]) -> set[str]:
    """The chats of those messages that wait for the bot."""
    items = [item for position in positions if (item := mailbox.inbox.item(position))]
    return {item.message.chat for item in items if item.state == "waiting" and item.message}


def _checked(reply: Reply) -> Reply:
    try:
        (plain,) = read_replies(replace(reply, to=""))
    except BadReply as error:
        raise UsageError(str(error)) from error
    if plain.text and (plain.react, plain.location, plain.poll) != (None, None, None):
        raise UsageError(_("a reaction, a place and a poll have no text beside them"))
    if plain.quote is True or (plain.react is not None and not plain.quote):
        raise UsageError(_("the message that is meant is named by its id"), hint="--reply-to ID")
    if plain.data:
        raise UsageError(_("a message that is sent by hand has its file at a path"), hint="--file FILE")
    if plain.file and not os.path.isabs(plain.file):  # noqa: PTH117 - Path would tidy it up
        raise UsageError(_("the path of a file must be absolute: the manager works in another folder"))
    return plain
