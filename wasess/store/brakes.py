"""The braked chats of a session: nothing is answered there by itself until somebody releases them, whatever is restarted meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.store import row_check
from wasess.store.row_check import RowDamaged, checksum

if TYPE_CHECKING:
    from wasess.store.mail import MailFile

SINCE = 3  # the version of the file that has them


@dataclass(frozen=True, slots=True)
class Braked:
    """A chat in which a machine answers the bot. ``sender``: which one, in a group; else empty. ``at``: since when (Unix time)."""

    chat: str
    sender: str
    at: float


class Brakes:
    """Those in a `MailFile`; raises as that does. ``chats`` may be read at any time, by any thread."""

    def __init__(self, mail: MailFile) -> None:
        self._mail = mail
        self.chats: frozenset[str] = frozenset()
        self.read_anew()

    def read_anew(self) -> None:
        """As at the beginning: after a damaged file was replaced by a new one."""
        self.chats = frozenset(braked.chat for braked in self.entries())

    def entries(self) -> list[Braked]:
        """All of them, oldest first. A row that is damaged holds nothing up: should it be a machine still, it is found out again."""
        if self._mail.version < SINCE:  # one of an older version that is only looked at
            return []
        found = []
        for row in self._mail.rows("SELECT chat, sender, at, checksum FROM brakes ORDER BY at"):
            try:
                found.append(_braked(*row))
            except RowDamaged:
                continue
        return found

    def enter(self, chat: str, sender: str, now: float) -> None:
        """Brake a chat."""
        self._mail.execute("INSERT OR REPLACE INTO brakes VALUES (?, ?, ?, ?)", (chat, sender, now, checksum(chat, sender)))
        self.chats |= {chat}

    def release(self, chat: str) -> bool:
        """Let a chat go on; False when it was not braked."""
        gone = self._mail.execute("DELETE FROM brakes WHERE chat = ?", (chat,)).rowcount
        self.chats -= {chat}
        return gone > 0


def _braked(chat: object, sender: object, at: object, stored: object) -> Braked:
    row_check.require_sum(stored, chat, sender)
    return Braked(row_check.text(chat, "chat"), row_check.text(sender, "sender"), row_check.moment(at, "at"))
