"""Reads whatsmeow's ``device.db``: is this session linked, and as whom? Sets what guards it, and puts back what died with a worker.

Never imported by the worker: two SQLite libraries in one process drop each other's locks on one file.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from wasess.errors import DeviceDamaged, Locked, StoreError
from wasess.store import graveyard
from wasess.store.disk import sqlite_at_work
from wasess.store.fullness import means_full
from wasess.store.guard import guard_file, size_of
from wasess.store.names import JOURNALS, SIDE_FILES
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasess.store.undo import RolledBack

DEVICE_NAME = "device.db"
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


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a database holds. ``device``: who is linked. ``unlinked``: the credentials of one whom WhatsApp has unlinked are kept.

    ``made``: whatsmeow's tables are there, if nobody in them.
    """

    device: Device | None = None
    unlinked: bool = False
    made: bool = False


class RollbackNeeded(Exception):
    """A writer died in a transaction (or the file is in WAL mode at rest): only a connection that may write can read it."""


class NoRoom(StoreError):
    """The disk is full; nothing was changed."""


def read_credentials(path: Path, *, may_write: bool = False) -> Credentials:
    """Read the database at ``path``; nothing is set in the answer when there is no file, or one without any content.

    Raises `RollbackNeeded` (never with ``may_write``, which is for the holder of the session's lock), `DeviceDamaged`, or
    `Locked` when a writer keeps the file busy for a second.
    """
    if not guard_file(path):
        return Credentials()
    for suffix in SIDE_FILES:
        guard_file(path.with_name(path.name + suffix))
    # SQLite takes a file without a whole page for a new database, and deletes the journals beside it: don't show it one.
    size = path.stat().st_size
    if size == 0:
        return Credentials()
    if size < SMALLEST_PAGE:
        raise _damaged(path, _("is too short for a database"))
    if not may_write and not any(size_of(path.with_name(path.name + suffix)) for suffix in JOURNALS):
        with suppress(DeviceDamaged, FileNotFoundError), _connected(path, quiet=True) as connection:  # somebody may just begin to write
            return _credentials(path, connection)
    with _connected(path, may_write=may_write) as connection:
        return _credentials(path, connection)


def is_protected(path: Path) -> bool:
    """Whether there is nothing that `protect_device` would change, as far as that can be read. Raises what `read_credentials` raises with ``may_write``."""
    from wasess.store import undo_log  # noqa: PLC0415 - only who starts a worker needs it

    try:
        with _connected(path, may_write=False) as connection:
            return graveyard.installed(connection) and undo_log.installed(connection)
    except RollbackNeeded:
        return False


def protect_device(path: Path) -> None:
    """Make the database keep its device when the library deletes it, and what the library needs to decrypt the last messages again.

    Only for the holder of the session's lock. Raises `NoRoom`, and what `read_credentials` raises. Costs one transaction.

    The file is in WAL mode from then on: the library decrypts more than twice as many messages a second, each of them on the disk as before.
    """
    from wasess.store import undo_log  # noqa: PLC0415 - as above

    with _connected(path, may_write=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        graveyard.install(connection)
        undo_log.install(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")  # a file system that can't do it keeps the usual one


def roll_back(path: Path, since: float = 0.0) -> RolledBack:
    """Make decryptable again what died with a worker, see `undo.roll_back`; nothing where there is no database.

    Only for the holder of the session's lock. Raises `NoRoom`, and what `read_credentials` raises; then nothing was changed.
    """
    from wasess.store import undo  # noqa: PLC0415 - only after a worker was cut off

    if not guard_file(path):
        return undo.RolledBack()
    with _connected(path, may_write=True) as connection:
        return undo.roll_back(connection, since)


@contextmanager
def _connected(path: Path, *, may_write: bool = False, quiet: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that begins no transaction by itself; SQLite's errors come out as ours.

    ``quiet``: nobody writes, so that nothing beside the file is looked at; a quarter faster.
    """
    address = f"file:{quote(str(path.absolute()))}?mode={'rw' if may_write else 'ro'}{'&immutable=1' if quiet else ''}"
    try:
        with (
            sqlite_at_work(path),
            closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection,
        ):
            yield connection
    except UnicodeDecodeError as error:  # SQLite quotes a name that is damaged
        raise _damaged(path, _("can't be read as whatsmeow's database ({error})").format(error=error)) from error
    except sqlite3.DatabaseError as error:
        raise _explained(path, error, may_write=may_write) from error


def _credentials(path: Path, connection: sqlite3.Connection) -> Credentials:
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('whatsmeow_device')")}
    if not columns:
        return Credentials()
    device = _only_device(path, _rows(connection, columns))
    unlinked = device is not None and graveyard.installed(connection) and graveyard.names(connection, device.jid)
    return Credentials(None if unlinked else device, unlinked, made=True)


def _rows(connection: sqlite3.Connection, columns: set[str]) -> list[tuple[object, str, str, str, int]]:
    # Databases from before LIDs are brought up to date by the library the next time it runs.
    lid, platform, name = (f"CAST(coalesce({name}, '') AS TEXT)" if name in columns else "''" for name in ("lid", "platform", "push_name"))
    keys_fit = f"length(noise_key) = {KEY_LENGTH} AND length(identity_key) = {KEY_LENGTH}"
    return connection.execute(
        f"SELECT jid, {lid}, {platform}, {name}, {keys_fit} FROM whatsmeow_device LIMIT 2"  # noqa: S608 - constants of this module
    ).fetchall()


def _only_device(path: Path, rows: list[tuple[object, str, str, str, int]]) -> Device | None:
    if not rows:
        return None
    if len(rows) > 1:
        raise _damaged(path, _("holds more than one device, and wasess keeps one in a file"))
    jid, lid, platform, push_name, keys_fit = rows[0]
    if not isinstance(jid, str) or not jid:
        raise _damaged(path, _("does not say which device it holds"))
    if not keys_fit:
        raise _damaged(path, _("holds keys that are not {length} bytes long").format(length=KEY_LENGTH))
    return Device(jid, lid, re.split(r"[.:@]", jid)[0], platform, push_name)


def _explained(path: Path, error: sqlite3.DatabaseError, *, may_write: bool) -> Exception:
    user = path.parent.name
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Locked(
            _("The credentials of {user!r} are being written right now ({path}); nothing was changed.").format(user=user, path=path),
            hint=_("Try again in a moment."),
        )
    readable = os.access(path, os.R_OK)
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} and not may_write and readable:
        return RollbackNeeded(str(error))
    # Where there is no room for the index of the journal, or no quota, SQLite calls it an I/O error.
    if means_full(primary, path.parent):
        return NoRoom(
            _("There is no room left to keep the credentials of {user!r} ({path}); nothing was changed.").format(user=user, path=path),
            hint=_("Make room."),
        )
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return StoreError(
            _("The credentials of {user!r} can't be read now: {error} ({path}); nothing was changed.").format(
                user=user, error=error, path=path
            ),
            hint=f"wasess diagnose {user}" if readable else f"chmod 600 {path}",
        )
    return _damaged(path, _("can't be read as whatsmeow's database ({error})").format(error=error))


def _damaged(path: Path, what: str) -> DeviceDamaged:
    user = path.parent.name
    return DeviceDamaged(
        _(
            "The credentials of {user!r} are damaged: {path} {what}. Nothing was changed, and the messages kept in the folder are safe."
        ).format(user=user, path=path, what=what),
        hint=_("Look first: wasess diagnose {user}. To pair again (the damaged file is kept): wasess connect {user} --force").format(
            user=user
        ),
    )
