"""Opens ``inbox.db``: a session's messages in, messages out, gaps and readers, in one SQLite file, so that one transaction spans them.

The file is in WAL mode. A commit is safe from the death of any process at once, and from a power cut after the next `checkpoint`;
what is lost then is lost as a whole, with the place in the spool that belongs to it, and the spool brings it again. With ``durable``
each commit is brought to the disk before it returns.

Only Python's SQLite opens this file, never the worker's library.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wasess.errors import StoreBusy, StoreError, StoreFull
from wasess.store import mail_shape, row_check
from wasess.store.fullness import means_full
from wasess.store.guard import FILE_MODE, guard_file, size_of
from wasess.store.kept_mail import set_aside
from wasess.store.mail_shape import MIGRATIONS, VERSION
from wasess.store.names import SIDE_FILES, database_files
from wasess.store.rescue import Watched, is_rescued, lies_at, reinstate, rescue
from wasess.store.spool import POSITION_NAME, was_mailed
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL_NAME = "inbox.db"
CHECKED_SINCE = 2  # the version in which rows have checksums
BUSY_TIMEOUT = 5.0
LARGEST_WAL_PAGES = 16_384  # 64 MiB; a commit that makes it larger does what `settle` should have done long before
BUSY_PAUSE = 0.01
CHECKED_WITHIN = 1.0  # a check of 140 MB takes 0.2 s
CHECKED_STEPS = 20_000  # of SQLite's machine, between two looks at the clock

MOST_FAULTS = 100
_INDEX = re.compile(r"missing from index|entries in index|entry in index|of index|differ")
_ROW = re.compile(r"[A-Z]+ value in |\*\*\* in database main \*\*\*$")  # one row, which is looked at by itself; a heading
_NOT_A_DATABASE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


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
        self._durable = durable
        self._open(create=create, read_only=read_only)

    def _open(self, *, create: bool, read_only: bool) -> None:
        folder = self.path.parent
        self.tallies.clear()
        self._depth = 0
        self.damage = ""
        """What SQLite has said of a page that makes no sense, while the file was used; empty as long as it has not."""
        _guard(folder)
        if create and not read_only:
            with suppress(OSError):  # SQLite tells it better; made without being opened, for closing it would drop somebody's locks
                os.mknod(self.path, FILE_MODE)
        mode = self._quiet_mode() if read_only else "rwc" if create else "rw"
        address = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        with self.explained():
            self._connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                self._connection.text_factory = row_check.text_of
                self._require_known(self.version) if read_only else self._prepare()
                self._require_shape()
            except sqlite3.OperationalError as error:
                self._connection.close()
                if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # nothing that was asked here depends on anything but the file
                    raise _damaged(self.path, error) from error
                raise
            except BaseException:
                self._connection.close()
                raise
            self.checksum = "checksum" if self.version >= CHECKED_SINCE else "NULL"
            """The column of the checksums, for a query; a file of an older version that is only looked at has none."""
        self._watched = Watched(self.path)

    @property
    def version(self) -> int:
        """Of its format; 0: it has no tables."""
        with self.explained():
            return mail_shape.version_of(self._connection)

    def execute(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:  # not `explained`: some ten statements for each message
            return self._connection.execute(query, values)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._meaning(error) from error

    def row(self, query: str, values: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        """The first row of a query; None when there is none. A page may make no sense behind the first one, too."""
        try:
            found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._meaning(error) from error
        return found

    def number(self, query: str, values: tuple[object, ...] = ()) -> int:
        """What a query counts: its only value."""
        row = self.row(query, values)
        return int(row[0]) if row else 0

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """All rows of a query."""
        with self.explained():
            return self._connection.execute(query, values).fetchall()

    def each(self, query: str) -> Iterator[tuple[object, ...]]:
        """The rows of a query one after the other: of one whose rows are not all to be in memory."""
        with self.explained():
            yield from self._connection.execute(query)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one it is part of that."""
        if self._depth:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        self._depth, before = 1, dict(self.tallies)
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self.tallies = Counter(before)
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
        busy, pages, done = self.row("PRAGMA wal_checkpoint(PASSIVE)") or (1, 0, 0)
        self._watched.fault()  # it is longer now
        return not busy and pages == done

    def wipe(self) -> bool:
        """`checkpoint`, and leave nothing in the WAL: old texts stand there. False when somebody else is at work; nobody is waited for."""
        self.execute("PRAGMA busy_timeout = 0")
        try:
            return not self.number("PRAGMA wal_checkpoint(TRUNCATE)")
        except StoreBusy:
            return False
        finally:
            self.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")

    def require_whole(self) -> None:
        """Raise `MailDamaged` unless every page makes sense, as far as that can be seen within a second.

        An index that does not fit its table is made anew first. Rows are looked at one by one elsewhere: `store.inbox.Inbox.sweep`.
        """
        found = self._faults()
        if found and all(_INDEX.search(line) for line in found) and not self.number("PRAGMA query_only"):
            with suppress(StoreError):
                self.execute("REINDEX")
                found = self._faults()
        if found:
            raise _damaged(self.path, found[-1])

    def require_writable(self) -> None:
        """Raise `MailDamaged` when SQLite takes it for a file that may only be read, as it does by a byte of the header, and it is not."""
        try:
            self._connection.execute("UPDATE place SET position = 0 WHERE one = 0")  # there is no such row; BEGIN alone would not tell
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY and os.access(self.path, os.W_OK):
                raise _damaged(self.path, error) from error
        except sqlite3.DatabaseError as error:
            raise self._meaning(error) from error

    def _faults(self) -> list[str]:
        """What ``PRAGMA integrity_check`` finds, in SQLite's words; nothing when it takes longer than a second, or can't be told now."""
        deadline = time.monotonic() + CHECKED_WITHIN
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, CHECKED_STEPS)
        try:
            rows = self.rows(f"PRAGMA integrity_check({MOST_FAULTS})")
        except StoreError as error:
            if isinstance(error, MailDamaged):
                raise
            return []
        finally:
            self._connection.set_progress_handler(None, 0)
        lines = [line for (text,) in rows for line in str(text).splitlines()]
        return [line for line in lines if line != "ok" and not _ROW.match(line)]

    def fault(self) -> str:
        """What has become of its files while it is open, in words; empty when nothing has. Nothing may be opened there then."""
        return self._watched.fault()

    def put_back(self) -> Path | None:
        """Behind a `fault`: close it, and let the next `open_mail` find what it holds. Takes its time: for a thread.

        What can't be read as a whole is moved to ``kept/``; returns where it is then.
        """
        saved = rescue(self._connection, self.path)
        self.close()
        if saved:
            self._watched.drop()
        return set_aside(self.path.parent, MAIL_NAME) if not saved and lies_at(self.path) else None

    def close(self) -> None:
        """Close it; may be called twice."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """SQLite's errors come out as ours."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._meaning(error) from error

    def _meaning(self, error: sqlite3.DatabaseError | UnicodeDecodeError) -> StoreError:
        """Our error for one of SQLite's; the second kind comes where SQLite quotes a name that is damaged."""
        found = _explained(self.path, error)
        if isinstance(found, MailDamaged):
            self.damage = str(error)
        return found

    def begin_anew(self) -> Path:
        """Move the damaged file to ``kept/``, and go on with a new one: whoever has this one open need not know. Returns where the old one is.

        Raises as opening does; then it can't be used until this is called again. Not within a transaction.
        """
        self.close()
        kept = set_aside(self.path.parent, MAIL_NAME)
        self._open(create=True, read_only=False)
        self.begun = "anew"
        return kept

    def _prepare(self) -> None:
        connection = self._connection
        self._use_wal()
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LARGEST_WAL_PAGES}")  # see `settle`: here everybody would wait for the disk
        connection.execute("PRAGMA secure_delete = ON")  # a text whose time is over is not left in free pages
        version = self.version
        self._require_known(version)
        for number in range(version, VERSION):
            self._migrate(number)

    def _require_known(self, version: int) -> None:
        if version < 0:
            raise _damaged(self.path, _("there never was a format {version}").format(version=version))
        if version > VERSION:
            raise StoreError(
                _("{path} was written by a newer wasess (format {version}); nothing was changed.").format(path=self.path, version=version),
                hint=_("Install that version again."),
            )

    def _require_shape(self) -> None:
        """Raise `MailDamaged` when the tables are not those of its version."""
        if self.version == VERSION and (problem := mail_shape.fault(self._connection)):
            raise _damaged(self.path, problem)

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
            connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} {_numbered(number + 1)} COMMIT;")
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if mail_shape.version_of(connection) <= number:
                raise


def _numbered(version: int) -> str:
    return f"PRAGMA application_id = {mail_shape.mark(version)}; PRAGMA user_version = {version};"


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
        kept, is_gone = set_aside(folder, MAIL_NAME), True
        mail = MailFile(folder, durable=durable)
    mail.begun = "anew" if is_gone else ""
    return mail, kept


def _reinstated(folder: Path, *, durable: bool) -> tuple[MailFile, Path | None]:
    kept = set_aside(folder, MAIL_NAME) if lies_at(folder / MAIL_NAME) else None
    reinstate(folder / MAIL_NAME)
    mail = MailFile(folder, durable=durable)
    mail.begun = "restored"
    return mail, kept


def open_whole(folder: Path, *, durable: bool = False, read_only: bool = False) -> MailFile:
    """Open it as `MailFile` does, and see whether every page makes sense (`MailFile.require_whole`)."""
    mail = MailFile(folder, durable=durable, read_only=read_only)
    try:
        mail.require_whole()
        if not read_only:
            mail.require_writable()
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


def _damaged(path: Path, problem: object) -> MailDamaged:
    user = path.parent.name
    return MailDamaged(
        _("The messages of {user!r} are damaged: {path} ({error}). Nothing was changed.").format(user=user, path=path, error=problem),
        hint=f"wasess diagnose {user}",
    )


def _explained(path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> StoreError:
    user = path.parent.name
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary in _NOT_A_DATABASE or isinstance(error, UnicodeDecodeError):
        return _damaged(path, error)
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusy(
            _("The messages of {user!r} are being written right now ({path}); nothing was changed.").format(user=user, path=path),
            hint=_("Try again in a moment."),
        )
    kind = StoreFull if means_full(primary, path.parent) else StoreError
    return kind(
        _("The messages of {user!r} can't be read or written now: {error} ({path}); nothing was changed.").format(
            user=user, error=error, path=path
        ),
        hint=f"wasess diagnose {user}",
    )
