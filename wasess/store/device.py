"""Reads whatsmeow's ``device.db``: is this session linked, and as whom? Reads the names, never the keys.

Never imported by the worker: two SQLite libraries in one process drop each other's locks on one file.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from wasess.errors import DeviceDamaged, Locked, StoreError
from wasess.store.guard import guard_file

if TYPE_CHECKING:
    from pathlib import Path

DEVICE_NAME = "device.db"
SIDE_FILES = ("-wal", "-shm", "-journal")
BUSY_TIMEOUT = 1.0
SMALLEST_PAGE = 512
KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Device:
    """The linked device. ``jid`` and ``lid`` include the device number; ``phone`` is the jid's number, digits only."""

    jid: str
    lid: str
    phone: str
    platform: str
    push_name: str


class RollbackNeeded(Exception):
    """A writer died in a transaction (or the file is in WAL mode at rest): only a connection that may write can read it."""


def read_device(path: Path, *, may_write: bool = False) -> Device | None:
    """Return the device in the database at ``path``; None when the file, its table or the row is missing.

    Raises `RollbackNeeded` (never with ``may_write``, which is for the holder of the session's lock), `DeviceDamaged`, or
    `Locked` when a writer keeps the file busy for a second.
    """
    if not guard_file(path):
        return None
    for suffix in SIDE_FILES:
        guard_file(path.with_name(path.name + suffix))
    # SQLite takes a file without a whole page for a new database, and deletes the journals beside it: don't show it one.
    size = path.stat().st_size
    if size == 0:
        return None
    if size < SMALLEST_PAGE:
        raise _damaged(path, "is too short for a database")
    address = f"file:{quote(str(path.absolute()))}?mode={'rw' if may_write else 'ro'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT)) as connection:
            return _only_device(path, _rows(connection))
    except sqlite3.DatabaseError as error:
        raise _explained(path, error, may_write=may_write) from error


def _rows(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, int]]:
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('whatsmeow_device')")}
    if not columns:
        return []
    # Databases from before LIDs are brought up to date by the library the next time it runs.
    lid = "coalesce(lid, '')" if "lid" in columns else "''"
    keys_fit = f"length(noise_key) = {KEY_LENGTH} AND length(identity_key) = {KEY_LENGTH}"
    return connection.execute(
        f"SELECT jid, {lid}, platform, push_name, {keys_fit} FROM whatsmeow_device LIMIT 2"  # noqa: S608 - constants of this module
    ).fetchall()


def _only_device(path: Path, rows: list[tuple[str, str, str, str, int]]) -> Device | None:
    if not rows:
        return None
    if len(rows) > 1:
        raise _damaged(path, "holds more than one device, and wasess keeps one in a file")
    jid, lid, platform, push_name, keys_fit = rows[0]
    if not keys_fit:
        raise _damaged(path, f"holds keys that are not {KEY_LENGTH} bytes long")
    return Device(jid, lid, re.split(r"[.:@]", jid)[0], platform, push_name)


def _explained(path: Path, error: sqlite3.DatabaseError, *, may_write: bool) -> Exception:
    user = path.parent.name
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Locked(
            f"The credentials of {user!r} are being written right now ({path}); nothing was changed.", hint="Try again in a moment."
        )
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} and not may_write:
        return RollbackNeeded(str(error))
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return StoreError(
            f"The credentials of {user!r} can't be read now: {error} ({path}); nothing was changed.", hint=f"wasess diagnose {user}"
        )
    return _damaged(path, f"can't be read as whatsmeow's database ({error})")


def _damaged(path: Path, what: str) -> DeviceDamaged:
    user = path.parent.name
    return DeviceDamaged(
        f"The credentials of {user!r} are damaged: {path} {what}. Nothing was changed, and the messages kept in the folder are safe.",
        hint=f"Look first: wasess diagnose {user}. To pair again (the damaged file is kept): wasess connect {user} --force",
    )
