"""The gap ledger: what WhatsApp counts as taken, and what is missing all the same. Nothing is lost silently.

An entry goes away when its message arrives after all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasess.core.message import Message
    from wasess.store.mail import MailFile


class Cause(StrEnum):
    """Why a message is missing."""

    UNDECRYPTABLE = "undecryptable"  # its sender was asked to send it again, and has not done so yet
    OLD_COUNTER = "old-counter"  # it had been decrypted before, by a process that died with it
    NO_EVENT = "no-event"  # the library acknowledged it, and handed nothing over
    SPOOL_DAMAGED = "spool-damaged"  # its event in the spool was destroyed, or the file is gone; counted without a name
    MAIL_LOST = "mail-lost"  # inbox.db was damaged or gone, and begun anew; counted without a name


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing messages of one sender: ``count`` of them, noticed at ``at`` (Unix time). ``id`` is empty when only their number is known."""

    chat: str
    sender: str
    id: str
    cause: str
    count: int
    at: float


class Gaps:
    """The ledger in a `MailFile`; raises as that does."""

    def __init__(self, mail: MailFile) -> None:
        self._mail = mail
        mail.tallies["gaps"] = int(mail.execute("SELECT count(*) FROM gaps").fetchone()[0])

    def enter(self, gap: Gap) -> None:
        """Enter one; the same id again changes nothing."""
        entered = self._mail.execute(
            "INSERT INTO gaps (chat, sender, id, cause, count, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (gap.chat, gap.sender, gap.id, gap.cause, gap.count, gap.at),
        )
        self._mail.tallies["gaps"] += entered.rowcount

    def close(self, message: Message) -> bool:
        """A message has arrived: whatever says that it is missing goes. Returns whether something did."""
        if not self._mail.tallies["gaps"]:  # nearly always
            return False
        senders = (message.sender, message.sender_alt or message.sender)  # a message that is sent again may come from the other address
        gone = self._mail.execute("DELETE FROM gaps WHERE id = ? AND sender IN (?, ?)", (message.id, *senders)).rowcount
        self._mail.tallies["gaps"] -= gone
        return gone > 0

    def entries(self) -> list[Gap]:
        """All that is missing, oldest first."""
        rows = self._mail.rows("SELECT chat, sender, id, cause, count, at FROM gaps ORDER BY seq")
        return [
            Gap(str(chat), str(sender), str(id_), str(cause), int(str(count)), float(str(at)))
            for chat, sender, id_, cause, count, at in rows
        ]

    def forget(self, before: float) -> None:
        """Drop what was noticed before that (Unix time)."""
        self._mail.tallies["gaps"] -= self._mail.execute("DELETE FROM gaps WHERE at < ?", (before,)).rowcount
