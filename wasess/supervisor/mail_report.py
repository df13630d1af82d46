"""Says what is found when a session's mail is opened, and what came out of its spool beside messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.delivery.courier import damaged_reply
from wasess.delivery.dispatcher import damaged_message
from wasess.words import _, plural

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.delivery.bot import Tell
    from wasess.supervisor.intake import Batch
    from wasess.supervisor.mail_opening import OpenedMail
    from wasess.supervisor.teller import Teller


def report_opening(teller: Teller, user: str, opened: OpenedMail, tell: Tell) -> None:
    """What had to be done before its messages could be opened."""
    if opened.mailbox.begun == "restored":
        where = _("what lay there is in {folder}").format(folder=opened.kept) if opened.kept else _("nothing else was there")
        teller.trouble(reasons.FILES_REPLACED.code, _("its messages (inbox.db) were put back; {where}").format(where=where))
    elif opened.kept:
        report_set_aside(teller, opened.kept)
    elif opened.mailbox.begun:
        teller.trouble("MAIL_DAMAGED", _("its messages (inbox.db) were gone; a new file was begun"), level="error")
    if opened.messages:
        tell(damaged_message(user, *opened.messages))
    if opened.replies:
        tell(damaged_reply(user, *opened.replies))


def report_set_aside(teller: Teller, kept: Path) -> None:
    """Its inbox.db was damaged, and is in ``kept`` now."""
    sentence = _("its messages (inbox.db) were damaged; a new file was begun, the old one is in {folder}").format(folder=kept)
    teller.trouble("MAIL_DAMAGED", sentence, level="error")


def report_batch(teller: Teller, user: str, batch: Batch) -> None:
    """What the spool held beside messages: events that can't be read, and requests to send a message again (`delivery.resend`)."""
    for code, problem in batch.poisoned:
        teller.poison(code, problem)
    if batch.destroyed:
        many = plural("up to {count} event in its spool was destroyed", "up to {count} events in its spool were destroyed", batch.destroyed)
        action = _(reasons.FILES_REPLACED.action).format(user=user)
        teller.trouble("SPOOL_DAMAGED", many.format(count=batch.destroyed), action=action, level="error")
    _report_resends(teller, user, batch)


def _report_resends(teller: Teller, user: str, batch: Batch) -> None:
    """As news, and what could not be sent again as a warning: once in ten minutes, for anybody can ask for messages that never were."""
    if batch.again:
        many = plural(
            "a recipient could not decrypt {count} message: it is sent again",
            "recipients could not decrypt {count} messages: they are sent again",
            len(batch.again),
        )
        teller.trouble("SENT_AGAIN", many.format(count=len(batch.again)), level="info")
    if batch.not_again:
        many = plural(
            "a recipient could not decrypt {count} message, and it can't be sent again",
            "recipients could not decrypt {count} messages, and they can't be sent again",
            len(batch.not_again),
        )
        action = _("More: wasess diagnose {user}").format(user=user)
        teller.trouble("NOT_SENT_AGAIN", many.format(count=len(batch.not_again)), action=action, sparing=True)
