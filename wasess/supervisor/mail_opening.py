"""Opens a session's mail for its manager, and sees to what is damaged in it. Works on a mail thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.delivery.mailbox import Mailbox
from wasess.store.kept_mail import kept_mail
from wasess.store.mail import MailDamaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenedMail:
    """``kept``: where a damaged file was moved to; ``set_aside``: all such folders; ``messages`` and ``replies``: the positions of damaged ones.

    ``lost_at``: see `Mailbox.mail_lost_at`.
    """

    mailbox: Mailbox
    kept: Path | None
    set_aside: list[Path]
    messages: list[int]
    replies: list[int]
    lost_at: float


def open_mailbox(user: str, folder: Path, clock: Callable[[], float], *, durable: bool) -> OpenedMail:
    """See `Mailbox.open`; ``clock`` gives Unix time. Raises `errors.StoreError`; nothing is open then."""
    mailbox, kept = Mailbox.open(user, folder, durable=durable)
    try:
        try:
            messages, replies = mailbox.mend(clock())
        except MailDamaged:  # a page that only this look at all rows has come to
            kept, messages, replies = mailbox.begin_anew(), [], []
        if mailbox.begun == "anew":
            mailbox.mail_lost(clock())
        return OpenedMail(mailbox, kept, kept_mail(folder), messages, replies, mailbox.mail_lost_at())
    except BaseException:
        mailbox.close()
        raise
