"""A session's messages, opened for a command beside whoever else uses them, and a message as people and programs are shown it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from wasess.delivery.mailbox import Mailbox
from wasess.store.guard import guard_folder
from wasess.store.mail import MAIL_NAME, MailFile
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasess.core.message import Message
    from wasess.store.inbox import Item
    from wasess.store.sessions import Session

LARGEST_POSITION = 2**63 - 1


def open_mail(session: Session) -> MailFile | None:
    """The file of a session's messages; None when there is none yet. Raises `errors.UnsafeHome` and `errors.StoreError`."""
    if not guard_folder(session.folder, tighten=False) or not os.path.lexists(session.folder / MAIL_NAME):
        return None
    return MailFile(session.folder, create=False)


@contextmanager
def letterbox(session: Session) -> Iterator[Mailbox | None]:
    """A session's mailbox for the ``with`` block; None when there is none yet. Raises as `open_mail`."""
    mail = open_mail(session)
    try:
        yield None if mail is None else Mailbox(session.user, mail)
    finally:
        if mail is not None:
            mail.close()


def document_of(user: str, item: Item) -> dict[str, Any]:
    """A message for programs, as a bot that is a program gets it; None for one whose text's time is over."""
    message = None if item.message is None else asdict(replace(item.message, session=user))
    return {"user": user, "position": item.seq, "state": item.state, "received_at": item.received_at, "message": message}


def sender_of(message: Message) -> str:
    """Who has written it, and in which group."""
    name = " ".join(message.push_name.split())  # two blanks are between the fields of `tail`
    who = _("ourselves") if message.from_me else f"{name} <{message.sender}>".lstrip()
    return who if message.chat == message.sender else _("{who} in {chat}").format(who=who, chat=message.chat)


def content_of(message: Message) -> str:
    """What is in it: the path of its file, and the text."""
    file = (message.media.path or message.media.name) if message.media else ""
    return " ".join(filter(None, (f"[{file}]" if file else "", message.text)))
