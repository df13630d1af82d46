"""What goes out: a row for each reply, from its making to the last receipt for it. The same key is never queued twice.

States: ``queued`` · ``sending`` (its id is known, and it may be on its way) · ``sent`` (the server has acknowledged it) · ``delivered``
(a device of the recipient's has it) · ``read`` · ``failed`` (WhatsApp, or the library, does not take it) · ``unknown`` (the process died
between the sending and the acknowledgement, and nothing has been heard since: it is not sent again).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wasess.core.message import Reply

if TYPE_CHECKING:
    from wasess.store.mail import MailFile

State = Literal["queued", "sending", "sent", "delivered", "read", "failed", "unknown"]
OVER: tuple[State, ...] = ("sent", "delivered", "read", "failed", "unknown")

_COLUMNS = "seq, key, chat, body, about, queued_at, state, tries, message_id, detail, sent_at, delivered_at, read_at"
_SENT_AS = "message_id = ? AND message_id <> ''"  # the index is found by its own condition alone
_OPEN = "state IN ('queued', 'sending')"  # as in the index
_encode = msgspec.json.Encoder().encode
_KEPT = b'"kept":'
_decode = msgspec.json.Decoder(Reply).decode


@dataclass(frozen=True, slots=True)
class Letter:
    """A reply in the box. ``reply`` is None once its text's time is over; ``about``: the position of the message it answers, None for none.

    ``message_id`` is empty until it is known. Times are Unix seconds, None when it has not happened. ``kept``: the name of the copy of its
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
        self._mail.execute(
            "INSERT INTO outbox (key, chat, body, about, queued_at, state) VALUES (?, ?, ?, ?, ?, 'queued') ON CONFLICT (key) DO NOTHING",
            (key, chat, _encode(_body(reply, kept) if kept else reply), about, now),
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

    def next_open(self, chat: str) -> Letter | None:
        """The first of a chat that is not over: queued, or sending."""
        query = f"SELECT {_COLUMNS} FROM outbox WHERE chat = ? AND {_OPEN} ORDER BY seq LIMIT 1"  # noqa: S608 - constants of this module
        row = self._mail.execute(query, (chat,)).fetchone()
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

    def waiting(self) -> int:
        """How many are not sent yet."""
        row = self._mail.execute(f"SELECT count(*) FROM outbox WHERE {_OPEN}").fetchone()  # noqa: S608 - constants of this module
        return int(row[0])

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

    def receipt(self, message_id: str, kind: Literal["delivered", "read"], now: float) -> int | None:
        """A receipt has come: it proves that the message was sent. Returns the reply's position, None when it is none of ours."""
        column = "read_at" if kind == "read" else "delivered_at"
        weaker = ("queued", "sending", "unknown", "sent") if kind == "delivered" else ("queued", "sending", "unknown", "sent", "delivered")
        marks = ", ".join("?" for _state in weaker)
        row = self._mail.execute(f"SELECT seq FROM outbox WHERE {_SENT_AS}", (message_id,)).fetchone()  # noqa: S608 - constants of this module
        if row is None:
            return None
        query = (
            f"UPDATE outbox SET state = CASE WHEN state IN ({marks}) THEN ? ELSE state END, {column} = coalesce({column}, ?),"  # noqa: S608 - constants of this module
            " sent_at = coalesce(sent_at, ?), finished_at = coalesce(finished_at, ?) WHERE seq = ?"
        )
        self._mail.execute(query, (*weaker, kind, now, now, now, row[0]))
        return int(row[0])

    def forget(self, texts_before: float, rows_before: float) -> bool:
        """Drop the texts of replies that were finished before, and after ``rows_before`` their keys too; return whether there were any."""
        with self._mail.transaction():
            texts = self._mail.execute("UPDATE outbox SET body = NULL WHERE finished_at < ? AND body IS NOT NULL", (texts_before,))
            rows = self._mail.execute("DELETE FROM outbox WHERE finished_at < ?", (rows_before,))
        return texts.rowcount + rows.rowcount > 0

    def _one(self, condition: str, value: object) -> Letter:
        row = self._mail.execute(f"SELECT {_COLUMNS} FROM outbox WHERE {condition}", (value,)).fetchone()  # noqa: S608 - constants of this module
        if row is None:
            raise KeyError(value)
        return _letter(row)


def _letter(row: tuple[Any, ...]) -> Letter:
    seq, key, chat, body, *rest = row
    letter = Letter(seq, key, chat, None if body is None else _decode(body), *rest)
    kept = _kept(body)
    return replace(letter, kept=kept) if kept else letter


def _body(reply: Reply, kept: str) -> _Body:
    """Without the bytes: these are in the copy."""
    fields = {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
    return _Body(**fields | {"data": b""}, kept=kept)


def _kept(body: object) -> str:
    return _decode_kept(body).kept if isinstance(body, bytes) and _KEPT in body else ""
