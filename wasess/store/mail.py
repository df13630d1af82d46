"""Opens ``inbox.db``: a session's messages in, messages out, gaps and readers, in one SQLite file, so that one transaction spans them.

The file is in WAL mode. A commit is safe from the death of any process at once, and from a power cut after the next `checkpoint`;
what is lost then is lost as a whole, with the place in the spool that belongs to it, and the spool brings it again. With ``durable``
each commit is brought to the disk before it returns.

Only Python's SQLite opens this file, never the worker's library.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from wasess.errors import Locked, StoreError
from wasess.store.guard import FILE_MODE, FOLDER_MODE, guard_file, size_of
from wasess.store.names import KEPT_NAME, SIDE_FILES, database_files
from wasess.store.rescue import Watched, is_rescued, lies_at, reinstate, rescue
from wasess.store.spool import POSITION_NAME, Place, release, was_mailed
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL_NAME = "inbox.db"
MEDIA_NAME = "media"
"""The folder of the files that came with messages; each is called by the position of its message, and an ending."""
VERSION = 1
BUSY_TIMEOUT = 5.0
LARGEST_WAL_PAGES = 16_384  # 64 MiB; a commit that makes it larger does what `settle` should have done long before
BUSY_PAUSE = 0.01
CHECKED_WITHIN = 1.0  # a check of 140 MB takes 0.2 s
CHECKED_STEPS = 20_000  # of SQLite's machine, between two looks at the clock

_NOT_A_DATABASE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

# Numbered migrations: entry n brings version n to n + 1.
_MIGRATIONS = (
    """
    CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), inode INTEGER NOT NULL, head TEXT NOT NULL, position INTEGER NOT NULL);
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: readers remember it
        chat TEXT NOT NULL, sender TEXT NOT NULL, id TEXT NOT NULL,
        kind TEXT NOT NULL, received_at REAL NOT NULL,
        state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, retry_at REAL NOT NULL DEFAULT 0,
        detail TEXT NOT NULL DEFAULT '', finished_at REAL,
        -- What is long stands behind what is looked for.
        body BLOB,                              -- a core.message.Message as JSON; NULL once its time is over
        raw BLOB,                               -- the event, as long as something of it is to be fetched
        UNIQUE (chat, sender, id)
    );
    CREATE INDEX waiting_messages ON messages (chat, seq) WHERE state = 'waiting';
    CREATE INDEX dead_messages ON messages (seq) WHERE state = 'dead';
    CREATE INDEX unfetched_messages ON messages (seq) WHERE raw IS NOT NULL;
    CREATE INDEX old_messages ON messages (finished_at) WHERE finished_at IS NOT NULL;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,               -- the same key is never queued twice
        chat TEXT NOT NULL, body BLOB, about INTEGER,
        queued_at REAL NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
        message_id TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
        sent_at REAL, delivered_at REAL, read_at REAL, finished_at REAL
    );
    CREATE INDEX open_replies ON outbox (chat, seq) WHERE state IN ('queued', 'sending');
    CREATE INDEX sent_replies ON outbox (message_id) WHERE message_id <> '';
    CREATE INDEX old_replies ON outbox (finished_at) WHERE finished_at IS NOT NULL;
    CREATE TABLE gaps (
        seq INTEGER PRIMARY KEY, chat TEXT NOT NULL, sender TEXT NOT NULL, id TEXT NOT NULL, cause TEXT NOT NULL,
        count INTEGER NOT NULL, at REAL NOT NULL
    );
    CREATE UNIQUE INDEX gap_ids ON gaps (chat, sender, id) WHERE id <> '';
    CREATE TABLE readers (name TEXT PRIMARY KEY, position INTEGER NOT NULL, at REAL NOT NULL);
    """,
)


class MailDamaged(StoreError):
    """``inbox.db`` is no database, or a damaged one."""

    code = "MAIL_DAMAGED"


class MailFile:
    """The open file. One thread at a time. Every method of those who use it raises `errors.StoreError` when the disk refuses.

    ``begun``: why it was not simply opened (`open_mail`): "restored" or "anew"; else empty. ``tallies``: what its users count along; a transaction that fails takes their changes back, too.
    """

    def __init__(self, folder: Path, *, durable: bool = False, create: bool = True, read_only: bool = False) -> None:
        """Open it, and make it with ``create``. Raises `MailDamaged`, `errors.UnsafeHome`, `errors.StoreError`.

        ``read_only``: look at it and leave nothing behind, whoever else works with it. One that is not made up yet has no tables then.
        """
        self.path = folder / MAIL_NAME
        self.tallies = Counter[str]()
        self.begun = ""
        self._damage = ""
        self._depth = 0
        _guard(folder)
        if create and not read_only:
            with suppress(OSError):  # SQLite tells it better; made without being opened, for closing it would drop somebody's locks
                os.mknod(self.path, FILE_MODE)
        mode = self._quiet_mode() if read_only else "rwc" if create else "rw"
        address = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        with self.explained():
            self._connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                self._require_known(self.version) if read_only else self._prepare(durable=durable)
            except BaseException:
                self._connection.close()
                raise
        self._watched = Watched(self.path)

    @property
    def version(self) -> int:
        """Of its format; 0: it has no tables."""
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def execute(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with self.explained():
            return self._connection.execute(query, values)

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """All rows of a query."""
        with self.explained():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one it is part of that."""
        if self._depth:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        self._depth, before = 1, self.tallies.copy()
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self.tallies = before
            with suppress(sqlite3.Error):  # what is wrong with the disk is told by the first error
                self._connection.rollback()
            raise
        finally:
            self._depth = 0

    @property
    def changes(self) -> int:
        """How many rows were written so far by this connection."""
        return self._connection.total_changes

    def checkpoint(self) -> bool:
        """Bring all that is committed into the main file and to the disk; False when a reader was in the way of some of it."""
        busy, pages, done = self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._watched.fault()  # it is longer now
        return not busy and pages == done

    def wipe(self) -> bool:
        """`checkpoint`, and leave nothing in the WAL: old texts stand there. False when somebody else is at work; nobody is waited for."""
        self.execute("PRAGMA busy_timeout = 0")
        try:
            return not self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except Locked:
            return False
        finally:
            self.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")

    def require_whole(self) -> None:
        """Raise `MailDamaged` unless every page makes sense, as far as that can be seen within a second."""
        deadline = time.monotonic() + CHECKED_WITHIN
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, CHECKED_STEPS)
        try:
            with self.explained():
                found = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except StoreError as error:
            if isinstance(error, MailDamaged):
                raise
            return  # it takes longer, or can't be told now
        finally:
            self._connection.set_progress_handler(None, 0)
        if found != "ok":
            raise _damaged(self.path, found.splitlines()[-1])

    def fault(self) -> str:
        """What has become of its files while it is open, or was found in them, in words; empty when nothing has. Nothing may be opened there then."""
        return self._damage or self._watched.fault()

    def put_back(self) -> Path | None:
        """Behind a `fault`: close it, and let the next `open_mail` find what it holds. Takes its time: for a thread.

        What can't be read as a whole is moved to ``kept/``; returns where it is then.
        """
        saved = rescue(self._connection, self.path)
        self.close()
        if saved:
            self._watched.drop()
        return _set_aside(self.path.parent) if not saved and lies_at(self.path) else None

    def close(self) -> None:
        """Close it; may be called twice."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """SQLite's errors come out as ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            explained = _explained(self.path, error)
            if isinstance(explained, MailDamaged):
                self._damage = _("{name} is damaged ({error})").format(name=MAIL_NAME, error=error)
            raise explained from error

    def _prepare(self, *, durable: bool) -> None:
        connection = self._connection
        self._use_wal()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LARGEST_WAL_PAGES}")  # see `settle`: here everybody would wait for the disk
        connection.execute("PRAGMA secure_delete = ON")  # a text whose time is over is not left in free pages
        version = self.version
        self._require_known(version)
        for number in range(version, VERSION):
            self._migrate(number)

    def _require_known(self, version: int) -> None:
        if version > VERSION:
            raise StoreError(
                _("{path} was written by a newer wasess (format {version}); nothing was changed.").format(path=self.path, version=version),
                hint=_("Install that version again."),
            )

    def _quiet_mode(self) -> str:
        """Whoever has it open has a WAL; without one, SQLite is told not to make any."""
        return "ro" if self.path.with_name(MAIL_NAME + SIDE_FILES[0]).exists() else "ro&immutable=1"

    def _use_wal(self) -> None:
        """SQLite itself does not wait for somebody else who does this at the same time."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(BUSY_PAUSE)
            else:
                return

    def _migrate(self, number: int) -> None:
        """Bring version ``number`` to the next, unless somebody else who has opened the file at the same time does."""
        connection = self._connection
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if connection.execute("PRAGMA user_version").fetchone()[0] <= number:
                raise


def settle(folder: Path, *, forgot: bool = False) -> bool:
    """Bring to the disk what the manager has committed, and take out of the spool what it need not hold any more.

    ``forgot``: something was deleted; wipe it out of the WAL, and delete the files that came with it. Beside the manager: for a thread. Returns whether all
    of that is done; what is not, is done by a later call.
    """
    with suppress(StoreError, Locked, OSError), closing(MailFile(folder, create=False)) as mail:
        row = mail.execute("SELECT inode, head, position FROM place").fetchone()
        done = mail.checkpoint()
        if done and row:
            release(folder, Place(*row))
        if forgot:
            _delete_files(folder / MEDIA_NAME, mail)
            done = mail.wipe() and done
        return done
    return False


def _delete_files(media: Path, mail: MailFile) -> None:
    """Delete the files whose messages have lost their texts; also those that a crash, or a file that was set aside, has left behind."""
    if not media.is_dir() or media.is_symlink():
        return
    for path in media.iterdir():
        position = path.name.partition(".")[0]
        if position.isdecimal() and not mail.rows("SELECT 1 FROM messages WHERE seq = ? AND body IS NOT NULL", (int(position),)):
            with suppress(OSError):
                path.unlink()


def open_mail(folder: Path, *, durable: bool = False) -> tuple[MailFile, Path | None]:
    """Open a session's mail for its manager; a damaged file is moved to ``kept/`` first, and a new one made: the second value says where.

    So is one that lies where a `MailFile.put_back` belongs. One that is gone is begun anew (`MailFile.begun`).
    What it held is not lost to people, but to the bot. The spool brings what was not committed there. Raises `errors.UnsafeHome` and `errors.StoreError`.
    """
    try:
        _guard(folder)
        if is_rescued(folder / MAIL_NAME):
            return _reinstated(folder, durable=durable)
        if is_emptied(folder):
            raise _damaged(folder / MAIL_NAME, _("it is empty"))
        is_gone = not lies_at(folder / MAIL_NAME) and was_mailed(folder)
        mail, kept = open_whole(folder, durable=durable), None
    except MailDamaged:
        kept, is_gone = _set_aside(folder), True
        mail = MailFile(folder, durable=durable)
    mail.begun = "anew" if is_gone else ""
    return mail, kept


def _reinstated(folder: Path, *, durable: bool) -> tuple[MailFile, Path | None]:
    kept = _set_aside(folder) if lies_at(folder / MAIL_NAME) else None
    reinstate(folder / MAIL_NAME)
    mail = MailFile(folder, durable=durable)
    mail.begun = "restored"
    return mail, kept


def open_whole(folder: Path, *, durable: bool = False, read_only: bool = False) -> MailFile:
    """Open it as `MailFile` does, and see whether every page makes sense (`MailFile.require_whole`)."""
    mail = MailFile(folder, durable=durable, read_only=read_only)
    try:
        mail.require_whole()
    except BaseException:
        mail.close()
        raise
    return mail


def _guard(folder: Path) -> None:
    for name in database_files(MAIL_NAME):
        guard_file(folder / name)


def is_emptied(folder: Path) -> bool:
    """Whether nothing is there although something was. A file that somebody is just making is empty, too."""
    if size_of(folder / MAIL_NAME):
        return False
    existed = (folder / MAIL_NAME).exists() and (folder / POSITION_NAME).exists()
    return existed or size_of(folder / f"{MAIL_NAME}{SIDE_FILES[0]}") > 0


def _set_aside(folder: Path) -> Path:
    kept = folder / KEPT_NAME / f"{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%S.%fZ}-inbox"
    try:
        kept.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        kept.mkdir(mode=FOLDER_MODE)
        for name in database_files(MAIL_NAME):
            with suppress(FileNotFoundError):
                (folder / name).rename(kept / name)
    except OSError as error:
        raise StoreError(
            _("The messages of {user!r} are damaged, and can't be moved to {folder}: {problem}.").format(
                user=folder.name, folder=kept, problem=error.strerror
            ),
            hint=f"wasess diagnose {folder.name}",
        ) from error
    return kept


def _damaged(path: Path, problem: object) -> MailDamaged:
    user = path.parent.name
    return MailDamaged(
        _("The messages of {user!r} are damaged: {path} ({error}). Nothing was changed.").format(user=user, path=path, error=problem),
        hint=f"wasess diagnose {user}",
    )


def _explained(path: Path, error: sqlite3.DatabaseError) -> StoreError | Locked:
    user = path.parent.name
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary in _NOT_A_DATABASE:
        return _damaged(path, error)
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Locked(
            _("The messages of {user!r} are being written right now ({path}); nothing was changed.").format(user=user, path=path),
            hint=_("Try again in a moment."),
        )
    return StoreError(
        _("The messages of {user!r} can't be read or written now: {error} ({path}); nothing was changed.").format(
            user=user, error=error, path=path
        ),
        hint=f"wasess diagnose {user}",
    )
