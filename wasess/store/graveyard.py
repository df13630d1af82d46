"""Keeps whatsmeow's device row when the library deletes it: after 401, 403, 406, and after `device_removed`.

The library's ``DELETE`` finds a trigger that notes the row's name in a table of ours and lets the row be, so nothing that hangs
on it goes either (pre-keys, sessions, app state: all ``ON DELETE CASCADE``). To the library it looks as if it had worked.
A row that the graveyard names is a device that WhatsApp has unlinked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

TABLE = "wasess_graveyard"
TRIGGER = "wasess_keep_device"

_STATEMENTS = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (jid TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL)",
    # RAISE(IGNORE) gives the DELETE up and keeps what the trigger has done before it.
    f"""CREATE TRIGGER IF NOT EXISTS {TRIGGER} BEFORE DELETE ON whatsmeow_device BEGIN
        INSERT OR REPLACE INTO {TABLE} VALUES (OLD.jid, CAST(strftime('%s', 'now') AS INTEGER));
        SELECT RAISE(IGNORE);
    END""",  # noqa: S608 - constants of this module
)


def install(connection: sqlite3.Connection) -> None:
    """Set the trigger, within the caller's transaction."""
    for statement in _STATEMENTS:
        connection.execute(statement)


def installed(connection: sqlite3.Connection) -> bool:
    """Whether the trigger is there. The table is, then."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = ?"
    return connection.execute(query, (TRIGGER,)).fetchone() is not None


def names(connection: sqlite3.Connection, jid: str) -> bool:
    """Whether the library has deleted this device. For a database where the trigger is `installed`."""
    query = f"SELECT 1 FROM {TABLE} WHERE jid = ?"  # noqa: S608 - a constant of this module
    return connection.execute(query, (jid,)).fetchone() is not None
