"""`wasess inbox release`: which of the braked chats are meant, and what has waited there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wasess.cli.errand import answering_manager
from wasess.cli.letterbox import letterbox
from wasess.control.client import Client
from wasess.core.addressing import address_of
from wasess.core.redact import redact
from wasess.doctor.times import span
from wasess.errors import UsageError
from wasess.words import _, plural

if TYPE_CHECKING:
    from wasess.core.sending import Released
    from wasess.store.sessions import Home, Session


def chosen_chats(session: Session, names: list[str], *, every: bool) -> list[str]:
    """The addresses of the braked chats that are meant. Raises `errors.UsageError`."""
    with letterbox(session) as mailbox:
        braked = [one.chat for one in mailbox.brakes.entries()] if mailbox else []
    hint = f"wasess inbox release {session.user} --all"
    if bool(names) == every:
        shown = ", ".join(map(redact, braked)) or _("none")
        raise UsageError(_("name the chats, or say that all are meant; paused are: {chats}").format(chats=shown), hint=hint)
    chosen = dict.fromkeys(braked) if every else {}
    for name in names:
        address = address_of(name)
        fitting = [chat for chat in braked if chat == address or redact(chat) == name.strip()]
        if len(fitting) != 1:
            sentence = _("{chat} is no chat of {user} that is paused") if not fitting else _("{chat} may be several chats of {user}")
            raise UsageError(sentence.format(chat=ascii(redact(name[:60])), user=session.user), hint=hint)
        chosen[fitting[0]] = None
    return list(chosen)


def release_chats(home: Home, session: Session, chats: list[str], *, drop: bool) -> tuple[list[Released], bool]:
    """What has become of these chats, and whether a manager did it."""
    if not chats:
        return [], answering_manager(home) is not None
    if answering_manager(home):
        return Client(home.path).release(session.user, chats, drop=drop), True
    with letterbox(session) as mailbox:
        released = mailbox.release(chats, time.time(), drop=drop) if mailbox else []
    if answering_manager(home):  # it has come meanwhile, and may have read what was braked before
        Client(home.path).release(session.user, chats, drop=drop)
        return released, True
    return released, False


def line_of(row: dict[str, Any], *, dropped: bool) -> str:
    """What has become of one chat."""
    ago = span(time.time() - row["braked_at"])
    messages = plural("{count} message", "{count} messages", row["messages"]).format(count=row["messages"])
    replies = plural("{count} reply", "{count} replies", row["replies"]).format(count=row["replies"])
    given_up, goes_on = _("{chat}, since {ago}: gave up {messages}, {replies}"), _("{chat}, since {ago}: {messages}, {replies} go on")
    return (given_up if dropped else goes_on).format(chat=row["chat"], ago=ago, messages=messages, replies=replies)
