"""The gap ledger: what WhatsApp counts as taken, and what is missing all the same, here or at a recipient's. Nothing is lost silently.

An entry goes away when its message arrives after all.

Strangers choose the ids, and can send any number of messages that can't be decrypted: of one sender in a chat the first `MOST_NAMED` have
entries by their ids, the rest is counted in one without an id for each cause; with `MOST_ROWS` entries, so is every other sender's. Of a message
that was only counted nobody can tell that it has arrived after all, or that it came twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from wasess.store import row_check
from wasess.store.row_check import RowDamaged, checksum

if TYPE_CHECKING:
    import sqlite3

    from wasess.core.message import Message
    from wasess.store.mail import MailFile

MOST_NAMED = 200
MOST_ROWS = 2000  # each message that arrives is looked for among them: 0.4 ms


class Cause(StrEnum):
    """Why a message is missing."""

    UNDECRYPTABLE = "undecryptable"  # its sender was asked to send it again, and has not done so yet
    OLD_COUNTER = "old-counter"  # it had been decrypted before, by a process that died with it
    NO_EVENT = "no-event"  # the library acknowledged it, and handed nothing over
    ENTRY_DAMAGED = "entry-damaged"  # the ledger's own entry can't be read any more
    SPOOL_DAMAGED = "spool-damaged"  # its event in the spool was destroyed, or the file is gone; counted without a name
    MAIL_LOST = "mail-lost"  # inbox.db was damaged or gone, and begun anew; counted without a name

    # Messages of ours: a recipient could not decrypt one and asked for it, and it was not sent again (`delivery.resend`).
    RESEND_UNKNOWN = "resend-unknown"  # no message was sent to whoever asks under that id; counted without a name
    RESEND_ERASED = "resend-erased"  # its text is gone
    RESEND_FILE = "resend-file"  # its file is gone
    RESEND_OLD = "resend-old"  # it was sent too long ago
    RESEND_GROUP = "resend-group"  # everybody in the chat would get it twice
    RESEND_TOO_OFTEN = "resend-too-often"  # what was sent in its place could not be decrypted either


NOT_RESENT = frozenset(cause for cause in Cause if cause.startswith("resend-"))
"""Causes that are about messages of ours."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing messages of one sender: ``count`` of them, noticed at ``at`` (Unix time). ``id`` is empty when only their number is known.

    ``chat`` and ``sender`` are empty when these are not known either; ``at`` of more than one is that of the last.
    """

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
        self._counted: dict[tuple[str, str, str], int | None] = {}
        self.count_anew()

    def count_anew(self) -> None:
        """Count the entries, as at the beginning: after a damaged file was replaced by a new one."""
        self._mail.tallies["gaps"] = self._mail.number("SELECT count(*) FROM gaps")
        counted = self._mail.rows("SELECT chat, sender, cause, seq FROM gaps WHERE id = ''")
        self._counted = {(str(chat), str(sender), str(cause)): int(str(seq)) for chat, sender, cause, seq in counted}

    def enter(self, gap: Gap) -> None:
        """Enter one; the same id again changes nothing."""
        if gap.id and self._has_a_place(gap):
            self._mail.tallies["gaps"] += self._insert(gap).rowcount
        elif not (gap.id and self._is_named(gap)):
            self._count(gap)

    def _insert(self, gap: Gap) -> sqlite3.Cursor:
        values = gap.chat, gap.sender, gap.id, str(gap.cause), gap.count
        return self._mail.execute(
            "INSERT INTO gaps (chat, sender, id, cause, count, at, checksum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*values, gap.at, checksum(*values)),
        )

    def _has_a_place(self, gap: Gap) -> bool:
        if self._mail.tallies["gaps"] >= MOST_ROWS:
            return False
        named = "SELECT count(*) FROM gaps WHERE chat = ? AND sender = ? AND id <> ''"
        return self._mail.number(named, (gap.chat, gap.sender)) < MOST_NAMED

    def _is_named(self, gap: Gap) -> bool:
        query = "SELECT 1 FROM gaps WHERE chat = ? AND sender = ? AND id = ? AND id <> ''"
        return self._mail.row(query, (gap.chat, gap.sender, gap.id)) is not None

    def _count(self, gap: Gap) -> None:
        """In the entry without an id; its number is kept, for no index leads to it."""
        chat, sender = gap.chat, gap.sender
        if (chat, sender, str(gap.cause)) not in self._counted and self._mail.tallies["gaps"] >= MOST_ROWS:
            chat = sender = ""
        key = chat, sender, str(gap.cause)
        before = self._counted_before(key)
        if before is None:  # the first; or it was forgotten, it is damaged, or the commit of its first has failed
            self._counted[key] = self._insert(replace(gap, chat=chat, sender=sender, id="")).lastrowid
            self._mail.tallies["gaps"] += 1
            return
        count = before + gap.count
        self._mail.execute(
            "UPDATE gaps SET count = ?, at = max(at, ?), checksum = ? WHERE seq = ?",
            (count, gap.at, checksum(chat, sender, "", key[2], count), self._counted[key]),
        )

    def _counted_before(self, key: tuple[str, str, str]) -> int | None:
        query = "SELECT count FROM gaps WHERE seq = ? AND chat = ? AND sender = ? AND id = '' AND cause = ?"
        row = self._mail.row(query, (self._counted.get(key), *key))
        try:
            return row_check.count(row[0], "count") if row else None
        except RowDamaged:
            return None

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
        if not self._mail.tallies["gaps"]:
            self._counted.clear()


def _gap(*row: object) -> Gap:
    chat, sender, id_, cause, count, at, stored = row
    try:
        row_check.require_sum(stored, chat, sender, id_, cause, count)
        chat, sender, id_, cause = (row_check.text(value, "") for value in (chat, sender, id_, cause))
        return Gap(chat, sender, id_, cause, row_check.count(count, ""), row_check.moment(at, ""))
    except RowDamaged:
        return Gap("", "", "", Cause.ENTRY_DAMAGED, 1, row_check.moment_or(at, 0.0))
