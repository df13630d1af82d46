"""Says what became of messages that recipients could not decrypt, and asked for again (`delivery.resend`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.words import _, plural

if TYPE_CHECKING:
    from wasess.supervisor.intake import Batch
    from wasess.supervisor.teller import Teller


def report_resends(teller: Teller, user: str, batch: Batch) -> None:
    """Tell it as news, and what could not be sent again as a warning: once in ten minutes, for anybody can ask for messages that never were."""
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
