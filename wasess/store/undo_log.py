"""The undo log in ``device.db``: a table of ours, and triggers that note in it what the library writes over. `undo` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wasess.store import send_chain

if TYPE_CHECKING:
    import sqlite3

TABLE = "wasess_undo"
PREFIX = "wasess_undo_"
KEEPS_SENDING = f"{PREFIX}not_what_was_sent"

KEPT_CHANGES = 512
"""The library has at most 102 messages on their way (a channel of 100, one before it, one behind); a message is four changes at most."""

LARGE_ROW = 32 * 1024
"""Every so many bytes count as one more change: a session with 2000 skipped keys is 400 kB, and the log is to stay below 16 MB."""

TRIMMED_AT = 32

SESSION, SENDER_KEY, PRE_KEY = "session", "sender", "prekey"


class _Watched(NamedTuple):
    """A table of the library's: what its columns for our device, the group, the sender and the content are, and which changes are noted."""

    table: str
    our: str
    chat: str
    name: str
    content: str
    changes: tuple[str, ...]


# Of the one-time keys only the use: the rest is bookkeeping of what was uploaded.
_WATCHED = {
    SESSION: _Watched("whatsmeow_sessions", "our_jid", "", "their_id", "session", ("INSERT", "UPDATE", "DELETE")),
    SENDER_KEY: _Watched("whatsmeow_sender_keys", "our_jid", "chat_id", "sender_id", "sender_key", ("INSERT", "UPDATE", "DELETE")),
    PRE_KEY: _Watched("whatsmeow_pre_keys", "jid", "", "key_id", "key", ("DELETE",)),
}


class Place(NamedTuple):
    """A row of the library's: its table's kind, our device, the group (empty for none) and the sender's Signal address."""

    kind: str
    our: str
    chat: str
    name: str

    def read(self, connection: sqlite3.Connection) -> object:
        """Return what is in the row; None when there is none."""
        watched = _WATCHED[self.kind]
        where, values = self._where()
        row = connection.execute(f"SELECT {watched.content} FROM {watched.table} WHERE {where}", values).fetchone()  # noqa: S608 - constants of this module
        return row and row[0]

    def write(self, connection: sqlite3.Connection, content: bytes) -> None:
        """Write the row over."""
        watched = _WATCHED[self.kind]
        where, values = self._where()
        connection.execute(f"UPDATE {watched.table} SET {watched.content} = ? WHERE {where}", (content, *values))  # noqa: S608 - constants of this module

    def _where(self) -> tuple[str, tuple[str, ...]]:
        watched = _WATCHED[self.kind]
        columns = {watched.our: self.our, watched.name: self.name} | ({watched.chat: self.chat} if watched.chat else {})
        return " AND ".join(f"{column} = ?" for column in columns), tuple(columns.values())


class Change(NamedTuple):
    """A line of the log: ``old`` is what was in the row before the change, None for a new row."""

    n: int
    place: Place
    old: object


def changes(connection: sqlite3.Connection, since: float) -> list[Change]:
    """Return what was changed since a Unix time, newest first; nothing where there is no log."""
    if not _there(connection):
        return []
    query = f"SELECT n, kind, our, chat, name, old FROM {TABLE} WHERE at >= ? ORDER BY n DESC"  # noqa: S608 - a constant of this module
    return [Change(n, Place(*place), old) for n, *place, old in connection.execute(query, (since,))]


def forget(connection: sqlite3.Connection) -> None:
    """Empty the log: after a clean end everything decrypted has been handed on. For the holder of the session's lock."""
    if _there(connection):
        connection.execute(f"DELETE FROM {TABLE}")  # noqa: S608 - a constant of this module


def install(connection: sqlite3.Connection) -> None:
    """Set the triggers, within the caller's transaction. Those of another wasess, or of another schema of the library's, are replaced."""
    wanted, found = _triggers(connection), _found(connection)
    if wanted == found:
        return
    for name in found:
        connection.execute(f"DROP TRIGGER {name}")
    columns = "n INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, our TEXT, chat TEXT, name TEXT, old BLOB"
    connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns})")
    for statement in wanted.values():
        connection.execute(statement)


def installed(connection: sqlite3.Connection) -> bool:
    """Whether there is nothing to `install`."""
    return _triggers(connection) == _found(connection)


def _triggers(connection: sqlite3.Connection) -> dict[str, str]:
    """The triggers that fit this database, by name: a table of another shape gets none, as one that fails would stop the library."""
    sends = {KEEPS_SENDING: send_chain.trigger(KEEPS_SENDING)} if _columns(connection, send_chain.TABLE) >= send_chain.COLUMNS else {}
    return sends | {
        f"{PREFIX}{kind}_{change.lower()}": _trigger(kind, watched, change)
        for kind, watched in _WATCHED.items()
        if {watched.our, watched.name, watched.content, watched.chat or watched.our} <= _columns(connection, watched.table)
        for change in watched.changes
    }


def _trigger(kind: str, watched: _Watched, change: str) -> str:
    """AFTER, so that INSERT .. ON CONFLICT DO UPDATE is one change. Numbers are left out before a large row: it makes older ones go sooner.

    What is too old goes whenever a multiple of `TRIMMED_AT` is reached or passed: a third fewer bytes to write than every time.
    """
    row, old = ("NEW", "NULL") if change == "INSERT" else ("OLD", f"OLD.{watched.content}")
    what = f"UPDATE OF {watched.content}" if change == "UPDATE" else change
    chat = f"{row}.{watched.chat}" if watched.chat else "''"
    left_out = f"coalesce(length({old}), 0) / {LARGE_ROW}"
    note = (
        f"INSERT INTO {TABLE} (n, at, kind, our, chat, name, old)"  # noqa: S608 - constants of this module
        f" SELECT coalesce(max(n), 0) + 1 + {left_out}, (julianday('now') - 2440587.5) * 86400.0,"
        f" '{kind}', {row}.{watched.our}, {chat}, {row}.{watched.name}, {old} FROM {TABLE}"
    )
    too_old = f"CASE WHEN max(n) % {TRIMMED_AT} <= {left_out} THEN max(n) - {KEPT_CHANGES} END"
    trim = f"DELETE FROM {TABLE} WHERE n <= (SELECT {too_old} FROM {TABLE})"  # noqa: S608 - constants of this module
    return f"CREATE TRIGGER {PREFIX}{kind}_{change.lower()} AFTER {what} ON {watched.table} BEGIN {note}; {trim}; END"


def _found(connection: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name GLOB ?"
    return dict(connection.execute(query, (f"{PREFIX}*",)).fetchall())


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _there(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)).fetchone() is not None
