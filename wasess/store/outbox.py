"""What goes out: a row for each reply, from its making to the last receipt for it. The same key is never queued twice.

States: ``queued`` · ``sending`` (its id is known, and it may be on its way) · ``sent`` (the server has acknowledged it) · ``delivered``
(a device of the recipient's has it) · ``read`` · ``failed`` (WhatsApp, or the library, does not take it) · ``unknown`` (the process died
between the sending and the acknowledgement, and nothing has been heard since: it is not sent again).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from wasess.core.message import Reply
from wasess.store import row_check
from wasess.store.row_check import DAMAGED, RowDamaged, checksum
from wasess.words import _

if TYPE_CHECKING:
    from wasess.store.mail import MailFile

State = Literal["queued", "sending", "sent", "delivered", "read", "failed", "unknown"]
SWEPT_WITHIN = 1.0
RESENT = "reply:again:"
"""How the keys begin of those that are sent in the place of others (`delivery.resend`); in doubt they are sent once more, as a bot's replies are."""
STATES: tuple[State, ...] = get_args(State)
OVER: tuple[State, ...] = ("sent", "delivered", "read", "failed", "unknown")

_COLUMNS = "seq, key, chat, body, about, queued_at, state, tries, message_id, detail, sent_at, delivered_at, read_at, checksum"
_SENT_AS = "message_id = ? AND message_id <> ''"  # the index is found by its own condition alone
_OPEN = "state IN ('queued', 'sending')"  # as in the index
_encode = msgspec.json.Encoder().encode
_KEPT = b'"kept":'
_decode = msgspec.json.Decoder(Reply).decode


@dataclass(frozen=True, slots=True)
class Letter:
    """A reply in the box. ``reply`` is None once its text's time is over, or when it is damaged; ``about``: the position of the message it answers, None for none.

    ``message_id`` is empty until it is known. Times are Unix seconds, None when it has not happened. ``damage`` says why the row can't be
    what was stored, empty when it can: whoever deals with the letter then has it seen to by `Outbox.mend`. ``kept``: the name of the copy of its
    file (`store.outgoing_files`), empty without one; it is ours, no bot or command can spell it.
    """

    seq: int
    key: str
    chat: str
    reply: Reply | None
    about: int | None
    queued_at: float
    state: State
    tries: int
    message_id: str
    detail: str
    sent_at: float | None
    delivered_at: float | None
    read_at: float | None
    damage: str = ""
    kept: str = ""


@dataclass(frozen=True, slots=True)
class _Body(Reply):
    """A reply as its row holds it, when there is a copy of its file; all others are a mere `Reply`."""

    kept: str = ""


class _Kept(msgspec.Struct):
    """What a row says beside the reply."""

    kept: str = ""


_decode_kept = msgspec.json.Decoder(_Kept).decode


class Outbox:
    """The replies in a `MailFile`; raises as that does."""

    def __init__(self, mail: MailFile) -> None:
        self._mail = mail

    def queue(self, key: str, chat: str, reply: Reply, now: float, about: int | None = None, kept: str = "") -> Letter:
        """Queue it, unless something with this key was: then that is returned, as it is now. ``kept``: see `Letter`."""
        body = _encode(_body(reply, kept) if kept else reply)
        self._mail.execute(
            "INSERT INTO outbox (key, chat, body, about, queued_at, state, checksum) VALUES (?, ?, ?, ?, ?, 'queued', ?)"
            " ON CONFLICT (key) DO NOTHING",
            (key, chat, body, about, now, checksum(key, chat, about, blobs=(body,))),
        )
        return self._one("key = ?", key)

    def letter(self, seq: int) -> Letter:
        """The reply at a position. Raises `KeyError`."""
        return self._one("seq = ?", seq)

    def holds(self, key: str) -> bool:
        """Whether something with this key was queued."""
        return bool(self._mail.rows("SELECT 1 FROM outbox WHERE key = ?", (key,)))

    def kept(self) -> set[str]:
        """The names of the copies that are still to be sent."""
        found = set()
        for (body,) in self._mail.rows(f"SELECT body FROM outbox WHERE {_OPEN}"):  # noqa: S608 - constants of this module
            with suppress(msgspec.DecodeError):  # a damaged row is not sent
                found.add(_kept(body))
        return found

    def chats(self) -> list[str]:
        """The chats for which something is to be sent, or may have been; the longest waiting first."""
        query = f"SELECT chat FROM outbox WHERE {_OPEN} GROUP BY chat ORDER BY min(seq)"  # noqa: S608 - constants of this module
        return [str(chat) for (chat,) in self._mail.rows(query)]

    def next_open(self, chat: str, *, without: str = "") -> Letter | None:
        """The first of a chat that is not over: queued, or sending. ``without``: how the keys of those begin that are passed over."""
        left = " AND substr(key, 1, ?) <> ?" if without else ""
        query = f"SELECT {_COLUMNS} FROM outbox WHERE chat = ? AND {_OPEN}{left} ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.row(query, (chat, len(without), without) if without else (chat,))
        return _letter(row) if row else None

    def find(self, message_id: str) -> Letter | None:
        """The reply that went out under this id."""
        try:
            return self._one(_SENT_AS, message_id)
        except KeyError:
            return None

    def letters(self, states: tuple[State, ...] = (), limit: int = -1) -> list[Letter]:
        """Replies of these states (any, when empty), newest first."""
        marks = ", ".join("?" for _state in states)
        chosen = f"WHERE state IN ({marks})" if states else ""
        query = f"SELECT {_COLUMNS} FROM outbox {chosen} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - constants of this module
        return [_letter(row) for row in self._mail.rows(query, (*states, limit))]

    def open_in(self, chat: str, begins: str) -> list[int]:
        """The positions of a chat's letters that are not over, and whose keys begin so."""
        query = f"SELECT seq FROM outbox WHERE chat = ? AND {_OPEN} AND substr(key, 1, ?) = ? ORDER BY seq"  # noqa: S608 - constants
        return [int(str(seq)) for (seq,) in self._mail.rows(query, (chat, len(begins), begins))]

    def waiting(self) -> int:
        """How many are not sent yet."""
        return self._mail.number(f"SELECT count(*) FROM outbox WHERE {_OPEN}")  # noqa: S608 - constants of this module

    def answered_positions(self) -> set[int]:
        """Of the messages to which a reply is still to be sent: it may be their file."""
        rows = self._mail.rows(f"SELECT about FROM outbox WHERE {_OPEN} AND about IS NOT NULL")  # noqa: S608 - constants of this module
        return {int(str(about)) for (about,) in rows}

    def counts(self) -> dict[str, int]:
        """How many replies there are, by state."""
        return {str(state): int(str(count)) for state, count in self._mail.rows("SELECT state, count(*) FROM outbox GROUP BY state")}

    # --- what becomes of them -----------------------------------------------------------------------------------------

    def departing(self, key: str, message_id: str, now: float) -> None:
        """The reply with this key is about to go out under this id. One that is not here (a power cut took it) is entered, so that it goes out once."""
        self._mail.execute(
            "INSERT INTO outbox (key, chat, queued_at, state, message_id) VALUES (?, '', ?, 'sending', ?) ON CONFLICT (key) DO UPDATE"
            " SET state = 'sending', message_id = excluded.message_id WHERE state IN ('queued', 'sending')",
            (key, now, message_id),
        )

    def sent(self, seq: int, message_id: str, now: float) -> None:
        """The server has acknowledged it."""
        self._mail.execute(
            "UPDATE outbox SET state = 'sent', message_id = ?, sent_at = ?, finished_at = ?, detail = '' WHERE seq = ?"
            " AND state IN ('queued', 'sending', 'unknown')",
            (message_id, now, now, seq),
        )

    def postpone(self, seq: int, tries: int, detail: str) -> None:
        """It was surely not sent: it is to be tried again. What a receipt has proven meanwhile stays."""
        self._mail.execute(
            f"UPDATE outbox SET state = 'queued', tries = ?, detail = ?, message_id = '' WHERE seq = ? AND {_OPEN}",  # noqa: S608 - constants of this module
            (tries, detail, seq),
        )

    def end(self, seq: int, state: Literal["failed", "unknown"], detail: str, now: float) -> None:
        """It is not tried again. What a receipt has proven meanwhile stays."""
        query = f"UPDATE outbox SET state = ?, detail = ?, finished_at = ? WHERE seq = ? AND {_OPEN}"  # noqa: S608 - constants of this module
        self._mail.execute(query, (state, detail, now, seq))

    def failed(self) -> list[int]:
        """The positions of replies that have failed and that nobody has dealt with, oldest first; without the damaged ones. Looks at every row."""
        query = f"SELECT seq FROM outbox WHERE state = 'failed' AND body IS NOT NULL AND checksum IS NOT {DAMAGED} ORDER BY seq"  # noqa: S608 - constants
        return [int(str(seq)) for (seq,) in self._mail.rows(query)]

    def resend(self, seq: int) -> bool:
        """Queue a reply that has failed once more, before what is behind it in its chat; False when it has not, or its text is gone."""
        changed = self._mail.execute(
            "UPDATE outbox SET state = 'queued', tries = 0, message_id = '', finished_at = NULL"
            " WHERE seq = ? AND state = 'failed' AND body IS NOT NULL AND checksum IS NOT ?",
            (seq, DAMAGED),
        )
        return changed.rowcount == 1

    def drop(self, seq: int) -> bool:
        """Forget the text of a reply that has failed: it is never sent, and dealt with. False when it has not failed, or is dealt with."""
        query = (
            "UPDATE outbox SET body = NULL, checksum = NULL WHERE seq = ? AND state = 'failed' AND body IS NOT NULL AND checksum IS NOT ?"
        )
        return self._mail.execute(query, (seq, DAMAGED)).rowcount == 1

    def receipt(self, message_id: str, kind: Literal["delivered", "read"], now: float) -> int | None:
        """A receipt has come: it proves that the message was sent. Returns the reply's position, None when it is none of ours."""
        column = "read_at" if kind == "read" else "delivered_at"
        weaker = ("queued", "sending", "unknown", "sent") if kind == "delivered" else ("queued", "sending", "unknown", "sent", "delivered")
        marks = ", ".join("?" for _state in weaker)
        row = self._mail.row(f"SELECT seq FROM outbox WHERE {_SENT_AS}", (message_id,))  # noqa: S608 - constants of this module
        if row is None:
            return None
        query = (
            f"UPDATE outbox SET state = CASE WHEN state IN ({marks}) THEN ? ELSE state END, {column} = coalesce({column}, ?),"  # noqa: S608 - constants of this module
            " sent_at = coalesce(sent_at, ?), finished_at = coalesce(finished_at, ?) WHERE seq = ?"
        )
        self._mail.execute(query, (*weaker, kind, now, now, now, row[0]))
        return int(row[0])

    def remark(self, seq: int, detail: str) -> None:
        """Say something of it that changes nothing else."""
        self._mail.execute("UPDATE outbox SET detail = ? WHERE seq = ?", (detail, seq))

    def resent(self) -> int:
        """How many were queued in the place of others (`delivery.resend`)."""
        return self._mail.number("SELECT count(*) FROM outbox WHERE key >= ? AND key < ?", (RESENT, RESENT[:-1] + ";"))

    def forget(self, texts_before: float, rows_before: float) -> bool:
        """Drop the texts of replies that were finished before, and after ``rows_before`` their keys too; return whether there were any."""
        with self._mail.transaction():
            texts = self._mail.execute(
                "UPDATE outbox SET body = NULL, checksum = NULL WHERE finished_at < ? AND body IS NOT NULL", (texts_before,)
            )
            rows = self._mail.execute("DELETE FROM outbox WHERE finished_at < ?", (rows_before,))
        return texts.rowcount + rows.rowcount > 0

    # --- damage -------------------------------------------------------------------------------------------------------

    def mend(self, seq: int, now: float) -> bool:
        """See to a letter whose row is damaged: one whose text is whole stays what it was, any other has failed. Returns whether its text is whole."""
        with self._mail.transaction():
            row = self._mail.row(f"SELECT {_COLUMNS} FROM outbox WHERE seq = ?", (seq,))  # noqa: S608 - constants of this module
            if row is None:
                self._mail.execute("REINDEX outbox")  # an index has led there
                return False
            whole, why, state, stored = _is_whole(row), _letter(row).damage, row[6], row[13]
            known = whole and state in STATES
            detail = "" if known else _("damaged: {problem}").format(problem=why)
            times = [None if moment is None else row_check.moment_or(moment, now) for moment in row[10:13]]
            self._mail.execute(
                "UPDATE outbox SET state = ?, tries = 0, message_id = ?, detail = ?, queued_at = ?, finished_at = ?, sent_at = ?,"
                " delivered_at = ?, read_at = ?, checksum = ? WHERE seq = ?",
                (
                    *(state if known else "failed", row[8] if isinstance(row[8], str) else "", detail, row_check.moment_or(row[5], now)),
                    *(now if not known or state in OVER else None, *times, stored if whole else DAMAGED, seq),
                ),
            )
            self._mail.tallies["damaged letters"] += not known
            query = f"SELECT 1 FROM outbox INDEXED BY open_replies WHERE {_OPEN} AND seq = ?"  # noqa: S608 - constants of this module
            if not known and self._mail.row(query, (seq,)):
                self._mail.execute("REINDEX outbox")  # it has the row as it was
                for other in self.sweep(SWEPT_WITHIN):  # those that it alone has led to
                    self.mend(other, now)
        return known

    def sweep(self, within: float) -> list[int]:
        """The positions of the letters that are damaged, and are not known to be; as far as that can be seen within so many seconds."""
        known = f"checksum IS {DAMAGED} AND state = 'failed'"
        query = f"SELECT {_COLUMNS} FROM outbox WHERE NOT ({known}) ORDER BY seq"  # noqa: S608 - constants of this module
        rows = self._mail.each(query.replace("checksum", self._mail.checksum))
        return row_check.damaged(((int(str(row[0])), _letter(row).damage) for row in rows), within)

    def damaged(self) -> list[int]:
        """The positions of the letters that are known to be damaged, oldest first."""
        query = f"SELECT seq FROM outbox WHERE {self._mail.checksum} IS {DAMAGED} ORDER BY seq"  # noqa: S608 - constants
        return [int(str(seq)) for (seq,) in self._mail.rows(query)]

    def _one(self, condition: str, value: object) -> Letter:
        row = self._mail.row(f"SELECT {_COLUMNS} FROM outbox WHERE {condition}", (value,))  # noqa: S608 - constants of this module
        if row is None:
            raise KeyError(value)
        return _letter(row)


def _letter(row: tuple[Any, ...]) -> Letter:
    seq, key, chat, _body, about, queued_at, state, tries, message_id, detail, sent_at, delivered_at, read_at, _checksum = row
    try:
        reply, kept = _content(row)
        return Letter(
            seq,
            row_check.text(key, "key"),
            row_check.text(chat, "chat"),
            reply,
            None if about is None else row_check.count(about, "about"),
            row_check.moment(queued_at, "queued_at"),
            _state(state),
            row_check.count(tries, "tries", row_check.MOST_TRIES),
            row_check.text(message_id, "message_id"),
            row_check.text(detail, "detail"),
            row_check.moment_or_none(sent_at, "sent_at"),
            row_check.moment_or_none(delivered_at, "delivered_at"),
            row_check.moment_or_none(read_at, "read_at"),
            kept=kept,
        )
    except RowDamaged as damage:
        known: State = state if state in STATES else "failed"
        key, chat = (str(value) if isinstance(value, str) else "" for value in (key, chat))
        said = detail if isinstance(detail, str) and detail else _("damaged: {problem}").format(problem=damage)
        return Letter(seq, key, chat, None, None, row_check.moment_or(queued_at, 0.0), known, 0, "", said, None, None, None, str(damage))


def _content(row: tuple[Any, ...]) -> tuple[Reply | None, str]:
    """What does not change in a row: the reply, and the name of the copy of its file. Raises `RowDamaged`."""
    key, chat, body, about, stored = *row[1:5], row[13]
    if row_check.blob(body, "body") is None and stored is None:
        return None, ""  # its time is over, or a power cut has taken it
    row_check.require_sum(stored, key, chat, about, blobs=(body,))
    try:
        return _decode(body or b""), _kept(body)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors, and so is what is no UTF-8
        raise RowDamaged("it is no reply") from error


def _state(state: object) -> State:
    if state not in STATES:
        raise RowDamaged("state is none that there is")
    return state


def _is_whole(row: tuple[Any, ...]) -> bool:
    """Whether the letter is what was queued, whatever is wrong with the rest."""
    try:
        _content(row)
    except RowDamaged:
        return False
    return True


def _body(reply: Reply, kept: str) -> _Body:
    """Without the bytes: these are in the copy."""
    fields = {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
    return _Body(**fields | {"data": b""}, kept=kept)


def _kept(body: object) -> str:
    return _decode_kept(body).kept if isinstance(body, bytes) and _KEPT in body else ""
