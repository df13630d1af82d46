"""What came in: a row for each message, from its arrival to the bot's answer. Duplicates (same chat, sender and id) are taken once.

States of a message: ``waiting`` (for the bot) · ``done`` (answered, or given up by hand) · ``dead`` (the bot failed on it too often: the dead letters) · ``unasked`` (no
bot was there for it, or a rule left it out).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wasess.core.message import Message
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.store.mail import MailFile

State = Literal["waiting", "done", "dead", "unasked"]

_COLUMNS = "seq, body, raw, state, tries, retry_at, detail, received_at, finished_at"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that is to be taken in. ``raw``: its event, when something of it must still be fetched, else empty."""

    message: Message
    received_at: float
    state: State = "waiting"
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Item:
    """A message in the box. ``seq`` is its position: later ones are larger. ``message`` is None once its text's time is over.

    ``retry_at``: Unix time before which the bot is not to be asked again. ``detail`` says what the bot has done wrong last.
    """

    seq: int
    message: Message | None
    raw: bytes
    state: State
    tries: int
    retry_at: float
    detail: str
    received_at: float
    finished_at: float | None


class Inbox:
    """The messages in a `MailFile`; raises as that does."""

    def __init__(self, mail: MailFile) -> None:
        self._mail = mail
        mail.tallies["waiting"] = self._count("waiting")

    @property
    def waiting(self) -> int:
        """How many wait for the bot."""
        return self._mail.tallies["waiting"]

    # --- the spool's side -------------------------------------------------------------------------------------------

    def take_in(self, arrivals: Iterable[Arrival], place: Place | None) -> list[Message]:
        """Enter them and the place in the spool behind them, in one transaction; return those that were not here yet."""
        new: list[Message] = []
        fresh = 0
        with self._mail.transaction():
            for arrival in arrivals:
                message = arrival.message
                if self.holds(*message.key):  # one that is refused by its key would use a position up
                    continue
                values = (
                    *(message.chat, message.sender, message.id, message.kind, arrival.received_at),
                    *(_encode(replace(message, session="") if message.session else message), arrival.raw or None, arrival.state),
                    None if arrival.state == "waiting" else arrival.received_at,
                )
                self._mail.execute(
                    "INSERT INTO messages (chat, sender, id, kind, received_at, body, raw, state, finished_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
                new.append(message)
                fresh += arrival.state == "waiting"
            if place is not None:
                self._mail.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?)", (place.inode, place.head, place.position))
            self._mail.tallies["waiting"] += fresh
        return new

    def place(self) -> Place | None:
        """How far the spool was taken in; None at the beginning."""
        row = self._mail.execute("SELECT inode, head, position FROM place").fetchone()
        return Place(*row) if row else None

    def holds(self, chat: str, sender: str, message_id: str) -> bool:
        """Whether this message has come in."""
        found = self._mail.execute("SELECT 1 FROM messages WHERE chat = ? AND sender = ? AND id = ?", (chat, sender, message_id)).fetchone()
        return found is not None

    def find(self, chat: str, message_id: str) -> Message | None:
        """The message of a chat with this id; None when it, or its text, is not here."""
        row = self._mail.execute("SELECT body FROM messages WHERE chat = ? AND id = ? AND body IS NOT NULL", (chat, message_id)).fetchone()
        return _decode(row[0]) if row else None

    # --- the bot's side ---------------------------------------------------------------------------------------------

    def chats(self) -> list[tuple[str, int]]:
        """The chats in which messages wait, with the position of the first of each; the longest waiting first."""
        rows = self._mail.rows("SELECT chat, min(seq) FROM messages WHERE state = 'waiting' GROUP BY chat ORDER BY 2")
        return [(str(chat), int(str(seq))) for chat, seq in rows]

    def next_waiting(self, chat: str) -> Item | None:
        """The first message that waits in a chat."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE state = 'waiting' AND chat = ? ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.execute(query, (chat,)).fetchone()
        return _item(row) if row else None

    def next_unfetched(self, after: int) -> Item | None:
        """The first message behind a position that nobody was asked about, and of which something is still to be fetched."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE seq > ? AND raw IS NOT NULL AND state = 'unasked' ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.execute(query, (after,)).fetchone()
        return _item(row) if row else None

    def prepared(self, seq: int, message: Message) -> None:
        """Keep what was fetched for a message: its file, its votes; unless its time is over."""
        values = _encode(replace(message, session="")), seq
        self._mail.execute("UPDATE messages SET body = ?, raw = NULL WHERE seq = ? AND body IS NOT NULL", values)

    def lose_file(self, seq: int, why: str) -> None:
        """The file that was fetched for a message is deleted: it says so from now on."""
        item = self.item(seq)
        if item is not None and item.message is not None and item.message.media is not None and item.message.media.path:
            self.prepared(seq, replace(item.message, media=replace(item.message.media, path="", problem=why)))

    def positions_waiting(self) -> set[int]:
        """Of all messages that wait for the bot."""
        return {int(str(seq)) for (seq,) in self._mail.rows("SELECT seq FROM messages WHERE state = 'waiting'")}

    def finish(self, seq: int, state: State, now: float, detail: str = "") -> None:
        """The bot is done with it, or gave it up."""
        changed = self._mail.execute(
            "UPDATE messages SET state = ?, detail = ?, finished_at = ? WHERE seq = ? AND state = 'waiting'", (state, detail, now, seq)
        )
        self._mail.tallies["waiting"] -= changed.rowcount

    def postpone(self, seq: int, tries: int, retry_at: float, detail: str) -> None:
        """The bot is to be asked again, at that time."""
        self._mail.execute("UPDATE messages SET tries = ?, retry_at = ?, detail = ? WHERE seq = ?", (tries, retry_at, detail, seq))

    # --- people's side ----------------------------------------------------------------------------------------------

    def item(self, seq: int) -> Item | None:
        """The message at a position."""
        row = self._mail.execute(f"SELECT {_COLUMNS} FROM messages WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - constants of this module
        return _item(row) if row else None

    def items(self, *, states: tuple[State, ...] = (), after: int = 0, limit: int = -1, newest: bool = False) -> list[Item]:
        """Messages behind a position, oldest first (or the ``newest`` ones, newest first), of these states (any, when empty)."""
        marks = ", ".join("?" for _state in states)
        chosen = f" AND state IN ({marks})" if states else ""
        order = "DESC" if newest else "ASC"
        query = f"SELECT {_COLUMNS} FROM messages WHERE seq > ?{chosen} ORDER BY seq {order} LIMIT ?"  # noqa: S608 - constants of this module
        return [_item(row) for row in self._mail.rows(query, (after, *states, limit))]

    def counts(self) -> dict[str, int]:
        """How many messages there are, by state."""
        return {str(state): int(str(count)) for state, count in self._mail.rows("SELECT state, count(*) FROM messages GROUP BY state")}

    def oldest_waiting(self) -> float | None:
        """When the message came in that waits longest (Unix time); None when none does."""
        row = self._mail.execute(
            "SELECT received_at FROM messages WHERE seq = (SELECT min(seq) FROM messages INDEXED BY waiting_messages WHERE state = 'waiting')"
        ).fetchone()
        return float(row[0]) if row else None

    def dead(self) -> int:
        """How many dead letters there are."""
        return self._count("dead")

    def retry(self, seq: int) -> bool:
        """Let a dead letter, or one that nobody was asked about, wait for the bot anew; False when it is neither, or its text is gone."""
        changed = self._mail.execute(
            "UPDATE messages SET state = 'waiting', tries = 0, retry_at = 0, finished_at = NULL"
            " WHERE seq = ? AND state IN ('dead', 'unasked') AND body IS NOT NULL",
            (seq,),
        )
        self._mail.tallies["waiting"] += changed.rowcount
        return changed.rowcount == 1

    def drop(self, seq: int, now: float) -> bool:
        """Give a dead letter, or one that waits, up for good; False when it is neither."""
        waits = self._mail.execute("SELECT state = 'waiting' FROM messages WHERE seq = ?", (seq,)).fetchone()
        changed = self._mail.execute(
            "UPDATE messages SET state = 'done', finished_at = ? WHERE seq = ? AND state IN ('dead', 'waiting')", (now, seq)
        )
        self._mail.tallies["waiting"] -= changed.rowcount if waits and waits[0] else 0
        return changed.rowcount == 1

    def forget(self, texts_before: float, rows_before: float) -> bool:
        """Drop the texts of messages that were finished before, and after ``rows_before`` their ids too; return whether there were any.

        Dead letters keep their texts: they are not finished. The files that came with the others: see `store.mail.settle`.
        """
        with self._mail.transaction():
            texts = self._mail.execute(
                "UPDATE messages SET body = NULL, raw = NULL, detail = '' WHERE finished_at < ? AND state <> 'dead' AND body IS NOT NULL",
                (texts_before,),
            )
            rows = self._mail.execute("DELETE FROM messages WHERE finished_at < ? AND state <> 'dead'", (rows_before,))
        return texts.rowcount + rows.rowcount > 0

    # --- readers ------------------------------------------------------------------------------------------------------

    def position(self, reader: str) -> int:
        """How far a reader has come; 0 at its first time."""
        row = self._mail.execute("SELECT position FROM readers WHERE name = ?", (reader,)).fetchone()
        return int(row[0]) if row else 0

    def advance(self, reader: str, position: int, now: float) -> None:
        """A reader has taken everything up to there."""
        self._mail.execute("INSERT OR REPLACE INTO readers VALUES (?, ?, ?)", (reader, position, now))

    def last(self) -> int:
        """The position of the newest message; 0 when there never was one."""
        row = self._mail.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
        return int(row[0]) if row else 0

    def _count(self, state: Literal["waiting", "dead"]) -> int:
        """Those of a state that has an index: only a constant finds it."""
        return int(self._mail.execute(f"SELECT count(*) FROM messages WHERE state = '{state}'").fetchone()[0])  # noqa: S608 - one of two words


def _item(row: tuple[Any, ...]) -> Item:
    seq, body, raw, state, tries, retry_at, detail, received_at, finished_at = row
    message = None if body is None else _decode(body)
    return Item(seq, message, raw or b"", state, tries, retry_at, detail, received_at, finished_at)
