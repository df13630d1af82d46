"""What came in: a row for each message, from its arrival to the bot's answer. Duplicates (same chat, sender and id) are taken once.

States of a message: ``waiting`` (for the bot) · ``done`` (answered, or given up by hand) · ``dead`` (the bot failed on it too often: the dead letters) · ``unasked`` (no
bot was there for it, or a rule left it out).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from wasess.core.message import Message
from wasess.store import row_check
from wasess.store.row_check import DAMAGED, RowDamaged, checksum
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.store.mail import MailFile
    from wasess.store.spool import Place

State = Literal["waiting", "done", "dead", "unasked"]

SWEPT_WITHIN = 1.0
STATES: tuple[State, ...] = get_args(State)

_COLUMNS = "seq, chat, sender, id, kind, body, raw, state, tries, retry_at, detail, received_at, finished_at, checksum"
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
    """A message in the box. ``seq`` is its position: later ones are larger. ``message`` is None once its text's time is over, or when it is damaged.

    ``retry_at``: Unix time before which the bot is not to be asked again. ``detail`` says what the bot has done wrong last. ``damage`` says why the
    row can't be what was stored, empty when it can: whoever deals with the message then has it seen to by `Inbox.mend`.
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
    damage: str = ""


class Inbox:
    """The messages in a `MailFile`; raises as that does."""

    def __init__(self, mail: MailFile) -> None:
        self._mail = mail
        self.count_anew()

    def count_anew(self) -> None:
        """Count what is kept count of, as at the beginning: after a damaged file was replaced by a new one."""
        self._mail.tallies["waiting"] = self._count("waiting")
        self._mail.tallies["damaged"] = self._count_damaged()

    @property
    def waiting(self) -> int:
        """How many wait for the bot."""
        return self._mail.tallies["waiting"]

    @property
    def damaged(self) -> int:
        """How many dead letters are damaged, and nobody has dropped them yet."""
        return self._mail.tallies["damaged"]

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
                body, raw = _encode(replace(message, session="") if message.session else message), arrival.raw or None
                key = message.chat, message.sender, message.id, message.kind
                finished_at = None if arrival.state == "waiting" else arrival.received_at
                self._mail.execute(
                    "INSERT INTO messages (chat, sender, id, kind, received_at, body, raw, state, finished_at, checksum)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, arrival.received_at, body, raw, arrival.state, finished_at, checksum(*key, blobs=(body, raw))),
                )
                new.append(message)
                fresh += arrival.state == "waiting"
            if place is not None:
                row_check.note_place(self._mail, place)
            self._mail.tallies["waiting"] += fresh
        return new

    def place(self) -> Place | None:
        """How far the spool was taken in; None at the beginning."""
        return row_check.place_in(self._mail)

    def holds(self, chat: str, sender: str, message_id: str) -> bool:
        """Whether this message has come in."""
        found = self._mail.row("SELECT 1 FROM messages WHERE chat = ? AND sender = ? AND id = ?", (chat, sender, message_id))
        return found is not None

    def has_written(self, person: str, since: float) -> bool:
        """Whether a direct message of this person's has come since (Unix seconds)."""
        query = "SELECT 1 FROM messages WHERE chat = ? AND sender = ? AND received_at >= ? LIMIT 1"
        return self._mail.row(query, (person, person, since)) is not None

    def find(self, chat: str, message_id: str) -> Message | None:
        """The message of a chat with this id; None when it, or its text, is not here."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE chat = ? AND id = ? AND body IS NOT NULL"  # noqa: S608 - constants of this module
        row = self._mail.row(query, (chat, message_id))
        return _item(row).message if row else None

    # --- the bot's side ---------------------------------------------------------------------------------------------

    def chats(self) -> list[tuple[str, int]]:
        """The chats in which messages wait, with the position of the first of each; the longest waiting first."""
        rows = self._mail.rows("SELECT chat, min(seq) FROM messages WHERE state = 'waiting' GROUP BY chat ORDER BY 2")
        return [(str(chat), int(str(seq))) for chat, seq in rows]

    def next_waiting(self, chat: str) -> Item | None:
        """The first message that waits in a chat."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE state = 'waiting' AND chat = ? ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.row(query, (chat,))
        return _item(row) if row else None

    def waiting_in(self, chat: str) -> list[int]:
        """The positions of the messages that wait in a chat."""
        rows = self._mail.rows("SELECT seq FROM messages WHERE state = 'waiting' AND chat = ? ORDER BY seq", (chat,))
        return [int(str(seq)) for (seq,) in rows]

    def next_unfetched(self, after: int) -> Item | None:
        """The first message behind a position that nobody was asked about, and of which something is still to be fetched."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE seq > ? AND raw IS NOT NULL AND state = 'unasked' ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.row(query, (after,))
        return _item(row) if row else None

    def prepared(self, seq: int, message: Message) -> None:
        """Keep what was fetched for a message: its file, its votes; unless its time is over."""
        body = _encode(replace(message, session=""))
        found = checksum(message.chat, message.sender, message.id, message.kind, blobs=(body, None))
        self._mail.execute("UPDATE messages SET body = ?, raw = NULL, checksum = ? WHERE seq = ? AND body IS NOT NULL", (body, found, seq))

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
        row = self._mail.row(f"SELECT {_COLUMNS} FROM messages WHERE seq = ?", (seq,))  # noqa: S608 - constants of this module
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
        row = self._mail.row(
            "SELECT received_at FROM messages WHERE seq = (SELECT min(seq) FROM messages INDEXED BY waiting_messages WHERE state = 'waiting')"
        )
        return row_check.known_moment(row[0]) if row else None

    def dead(self) -> int:
        """How many dead letters there are."""
        return self._count("dead")

    def retry(self, seq: int) -> bool:
        """Let a dead letter, or one that nobody was asked about, wait for the bot anew; False when it is neither, or its text is gone."""
        changed = self._mail.execute(
            "UPDATE messages SET state = 'waiting', tries = 0, retry_at = 0, finished_at = NULL"
            " WHERE seq = ? AND state IN ('dead', 'unasked') AND body IS NOT NULL AND checksum IS NOT ?",
            (seq, DAMAGED),
        )
        self._mail.tallies["waiting"] += changed.rowcount
        return changed.rowcount == 1

    def drop(self, seq: int, now: float) -> bool:
        """Give a dead letter, or one that waits, up for good; False when it is neither."""
        before = self._mail.row("SELECT state = 'waiting', checksum IS ? FROM messages WHERE seq = ?", (DAMAGED, seq))
        changed = self._mail.execute(
            "UPDATE messages SET state = 'done', finished_at = ? WHERE seq = ? AND state IN ('dead', 'waiting')", (now, seq)
        )
        if before and changed.rowcount:
            self._mail.tallies["waiting"] -= before[0]
            self._mail.tallies["damaged"] -= before[1]
        return changed.rowcount == 1

    # --- damage -----------------------------------------------------------------------------------------------------

    def mend(self, seq: int, now: float) -> bool:
        """See to a message whose row is damaged: one whose text is whole stays what it was, any other is a dead letter from now on.

        Returns whether its text is whole. A dead letter that is damaged can only be dropped; its ``detail`` says what is wrong. One whose position
        is none that can be gets one behind all others.
        """
        with self._mail.transaction():
            row = self._mail.row(f"SELECT {_COLUMNS} FROM messages WHERE seq = ?", (seq,))  # noqa: S608 - constants of this module
            if row is None:
                self._mail.execute("REINDEX messages")  # an index has led there
                self.count_anew()
                return False
            state, received_at, finished_at, stored = row[7], row[11], row[12], row[13]
            why = _item(row).damage
            whole = _is_whole(row)
            state = state if whole and state in STATES else "dead"
            detail = "" if state != "dead" else _("damaged: {problem}").format(problem=why)
            times = row_check.moment_or(received_at, now), None if state == "waiting" else row_check.moment_or(finished_at, now)
            place = seq if seq > 0 else self._mail.number("SELECT max(max(seq), 0) + 1 FROM messages")
            self._mail.execute(
                "UPDATE messages SET seq = ?, state = ?, tries = 0, retry_at = 0, detail = ?, received_at = ?, finished_at = ?, checksum = ? WHERE seq = ?",
                (place, state, detail, *times, stored if whole else DAMAGED, seq),
            )
            query = "SELECT 1 FROM messages INDEXED BY waiting_messages WHERE state = 'waiting' AND seq = ?"
            if state != "waiting" and self._mail.row(query, (seq,)):
                self._mail.execute("REINDEX messages")  # it has the row as it was
                for other in self.sweep(SWEPT_WITHIN):  # those that it alone has led to
                    self.mend(other, now)
            self.count_anew()
        return whole

    def damaged_positions(self) -> list[int]:
        """The positions of the dead letters that are known to be damaged, oldest first."""
        query = f"SELECT seq FROM messages WHERE state = 'dead' AND {self._mail.checksum} IS {DAMAGED} ORDER BY seq"  # noqa: S608 - constants
        return [int(str(seq)) for (seq,) in self._mail.rows(query)]

    def sweep(self, within: float) -> list[int]:
        """The positions of the messages that are damaged, and are not known to be; as far as that can be seen within so many seconds."""
        known = f"checksum IS {DAMAGED} AND state IN ('dead', 'done')"
        query = f"SELECT {_COLUMNS} FROM messages WHERE NOT ({known}) ORDER BY seq"  # noqa: S608 - constants of this module
        rows = self._mail.each(query.replace("checksum", self._mail.checksum))
        return row_check.damaged(((int(str(row[0])), _item(row).damage) for row in rows), within)

    def forget(self, texts_before: float, rows_before: float) -> bool:
        """Drop the texts of messages that were finished before, and after ``rows_before`` their ids too; return whether there were any.

        Dead letters keep their texts: they are not finished. The files that came with the others: see `store.mail.settle`.
        """
        with self._mail.transaction():
            texts = self._mail.execute(
                "UPDATE messages SET body = NULL, raw = NULL, detail = '', checksum = NULL"
                " WHERE finished_at < ? AND state IN ('done', 'unasked') AND body IS NOT NULL",
                (texts_before,),
            )
            rows = self._mail.execute("DELETE FROM messages WHERE finished_at < ? AND state IN ('done', 'unasked')", (rows_before,))
        return texts.rowcount + rows.rowcount > 0

    # --- readers ------------------------------------------------------------------------------------------------------

    def position(self, reader: str) -> int:
        """How far a reader has come; 0 at its first time."""
        query = f"SELECT position, {self._mail.checksum} FROM readers WHERE name = ?"  # noqa: S608 - one of two constants
        row = self._mail.row(query, (reader,))
        try:
            if row:
                row_check.require_sum(row[1], reader, row[0])
                return row_check.count(row[0], "position")
        except RowDamaged:
            pass  # what was read comes once more: that is better than never
        return 0

    def advance(self, reader: str, position: int, now: float) -> None:
        """A reader has taken everything up to there."""
        self._mail.execute("INSERT OR REPLACE INTO readers VALUES (?, ?, ?, ?)", (reader, position, now, checksum(reader, position)))

    def last(self) -> int:
        """The position of the newest message; 0 when there never was one."""
        row = self._mail.row("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
        return int(row[0]) if row else 0

    def _count(self, state: Literal["waiting", "dead"]) -> int:
        """Those of a state that has an index: only a constant finds it."""
        return self._mail.number(f"SELECT count(*) FROM messages WHERE state = '{state}'")  # noqa: S608 - one of two words

    def _count_damaged(self) -> int:
        query = f"SELECT count(*) FROM messages WHERE state = 'dead' AND {self._mail.checksum} IS {DAMAGED}"  # noqa: S608 - constants
        return self._mail.number(query)


def _item(row: tuple[Any, ...]) -> Item:
    seq, _chat, _sender, _id, _kind, _body, _raw, state, tries, retry_at, detail, received_at, finished_at, _checksum = row
    try:
        message, raw = _content(row)
        return Item(
            row_check.position(seq),
            message,
            raw or b"",
            _state(state, message),
            row_check.count(tries, "tries", row_check.MOST_TRIES),
            row_check.moment(retry_at, "retry_at"),
            row_check.text(detail, "detail"),
            row_check.moment(received_at, "received_at"),
            row_check.moment_or_none(finished_at, "finished_at"),
        )
    except RowDamaged as damage:
        known: State = state if state in STATES else "dead"
        said = detail if isinstance(detail, str) and detail else _("damaged: {problem}").format(problem=damage)
        return Item(seq, None, b"", known, 0, 0.0, said, row_check.moment_or(received_at, 0.0), None, str(damage))


def _content(row: tuple[Any, ...]) -> tuple[Message | None, bytes | None]:
    """What does not change in a row: the message and its event. Raises `RowDamaged`."""
    _seq, chat, sender, id_, kind, body, raw, _state, _tries, _retry_at, _detail, _received_at, _finished_at, stored = row
    row_check.blob(body, "body")
    row_check.blob(raw, "raw")
    if body is None and stored is None:
        return None, None  # its time is over
    row_check.require_sum(stored, chat, sender, id_, kind, blobs=(body, raw))
    try:
        message = _decode(body or b"")
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors, and so is what is no UTF-8
        raise RowDamaged("it is no message") from error
    if message.key != (chat, sender, id_) or message.kind != kind:
        raise RowDamaged("it is not what was stored")
    return message, raw


def _state(state: object, message: Message | None) -> State:
    if state not in STATES or (message is None and state == "waiting"):
        raise RowDamaged("state is none that can be")
    return state


def _is_whole(row: tuple[Any, ...]) -> bool:
    """Whether the message is what was stored, whatever is wrong with the rest."""
    try:
        return _content(row)[0] is not None
    except RowDamaged:
        return False
