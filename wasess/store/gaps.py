"""The gap ledger: what WhatsApp counts as taken, and what is missing all the same. Nothing is lost silently.

An entry goes away when its message arrives after all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wasess.store import row_check
from wasess.store.row_check import RowDamaged, checksum

if TYPE_CHECKING:
    from wasess.core.message import Message
    from wasess.store.mail import MailFile


class Cause(StrEnum):
    """Why a message is missing."""

    UNDECRYPTABLE = "undecryptable"  # its sender was asked to send it again, and has not done so yet
    OLD_COUNTER = "old-counter"  # it had been decrypted before, by a process that died with it
    NO_EVENT = "no-event"  # the library acknowledged it, and handed nothing over
    ENTRY_DAMAGED = "entry-damaged"  # the ledger's own entry can't be read any more


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
        self.count_anew()

    def count_anew(self) -> None:
        """Count the entries, as at the beginning: after a damaged file was replaced by a new one."""
        self._mail.tallies["gaps"] = int(self._mail.execute("SELECT count(*) FROM gaps").fetchone()[0])

    def enter(self, gap: Gap) -> None:
        """Enter one; the same id again changes nothing."""
        entered = self._mail.execute(
            "INSERT INTO gaps (chat, sender, id, cause, count, at, checksum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (gap.chat, gap.sender, gap.id, gap.cause, gap.count, gap.at, checksum(gap.chat, gap.sender, gap.id, str(gap.cause), gap.count)),
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
        """All that is missing, oldest first; of an entry that is damaged only that there is one."""
        query = f"SELECT chat, sender, id, cause, count, at, {self._mail.checksum} FROM gaps ORDER BY seq"  # noqa: S608 - one of two constants
        return [_gap(*row) for row in self._mail.rows(query)]

    def forget(self, before: float) -> None:
        """Drop what was noticed before that (Unix time)."""
        self._mail.tallies["gaps"] -= self._mail.execute("DELETE FROM gaps WHERE at < ?", (before,)).rowcount


def _gap(*row: object) -> Gap:
    chat, sender, id_, cause, count, at, stored = row
    try:
        row_check.require_sum(stored, chat, sender, id_, cause, count)
        chat, sender, id_, cause = (row_check.text(value, "") for value in (chat, sender, id_, cause))
        return Gap(chat, sender, id_, cause, row_check.count(count, ""), row_check.moment(at, ""))
    except RowDamaged:
        return Gap("", "", "", Cause.ENTRY_DAMAGED, 1, row_check.moment_or(at, 0.0))
