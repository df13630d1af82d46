"""``session.json``: what wasess itself knows about a session, the history of its changes and its outages (TinyDB).

Only the holder of the home's or the session's lock writes; anybody may read at any time. A kill at any instant leaves
the old content or the new one. The shape on disk is `store.record_shape`.

The history is a ring: change N stands in slot N modulo 200. Whatever is noted at one time is a single write.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tinydb import TinyDB
from tinydb.middlewares import CachingMiddleware
from tinydb.storages import Storage
from tinydb.table import Document

from wasess.core.outages import Outage
from wasess.errors import RecordDamaged, StoreError
from wasess.store.atomic import write_atomic
from wasess.store.guard import read_guarded
from wasess.store.record_shape import CHANGE, OUTAGE, RECORD, Unreadable, decode, encode, picked

if TYPE_CHECKING:
    from pathlib import Path

    from tinydb.table import Table

    from wasess.core.outages import Ledger
    from wasess.store.record_shape import Tables

RECORD_NAME = "session.json"
HISTORY_LENGTH = 200


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What is known about a session. Times are Unix seconds; ``state`` and ``reason_code`` are the codes of `core.machine`.

    ``since``: when the session entered its state. ``restarts``: workers replaced since the session was created. ``resume_at``:
    the next try, as it was planned when the state was entered. ``phone_seen_at``: when the phone was last heard of, or, while it
    has not been heard of, since when it is listened for.
    """

    user: str
    created_at: float
    state: str
    reason_code: str
    since: float
    paired_at: float | None = None
    jid: str | None = None
    lid: str | None = None
    last_online_at: float | None = None
    restarts: int = 0
    resume_at: float | None = None
    phone_seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history. ``at`` is Unix time; ``sentence`` is for people and holds nothing secret."""

    at: float
    state: str
    code: str
    sentence: str


class RecordFile:
    """The record in ``folder``. Reads raise `RecordDamaged` only when the file and its previous version are both unreadable."""

    def __init__(self, folder: Path) -> None:
        self._user = folder.name
        self._path = folder / RECORD_NAME
        self._storage = CrashSafeStorage(self._path)
        self._database = TinyDB(storage=CrashSafeStorage, path=self._path)

    def load(self) -> SessionRecord | None:
        """Return the record, None when there is none yet."""
        return self.read()[0]

    def outages(self) -> Ledger:
        """Return the ledger, oldest first."""
        return self.read()[1]

    def read(self) -> tuple[SessionRecord | None, Ledger]:
        """Return the record and the ledger of one instant."""
        tables = self._storage.read() or {}
        return _record_of(tables), _ledger_of(tables)

    def save(self, record: SessionRecord) -> None:
        """Store the record; on return it survives a power cut."""
        self._database.table("record").upsert(Document(asdict(record), doc_id=1))

    def note(self, *changes: Change, outages: Ledger | None = None, **fields: Any) -> None:
        """In one write, add lines to the history (the oldest beyond 200 go), replace ``fields`` of the record, and the ledger.

        On return it survives a power cut. Raises `StoreError` when there are fields and no record; then nothing is written.
        """
        storage = CachingMiddleware(CrashSafeStorage)  # type: ignore[no-untyped-call] # TinyDB left this class without annotations
        with TinyDB(storage=storage, path=self._path) as together:
            if fields:
                known = self._must(_record_of(together.storage.read() or {}))
                together.table("record").upsert(Document(asdict(replace(known, **fields)), doc_id=1))
            if changes:
                _add(together.table("history"), changes)
            if outages is not None:
                together.table("outages").truncate()
                rows = (Document({name: getattr(outage, name) for name in OUTAGE}, doc_id=place) for place, outage in enumerate(outages, 1))
                together.table("outages").insert_multiple(rows)

    def history(self) -> list[Change]:
        """Return the changes, oldest first."""
        lines = sorted((self._storage.read() or {}).get("history", {}).values(), key=lambda line: int(line["number"]))
        return [Change(**picked(line, CHANGE)) for line in lines]

    def _must(self, record: SessionRecord | None) -> SessionRecord:
        if record is None:
            raise StoreError(f"The session {self._user!r} has no record yet; nothing was changed.", hint=f"wasess connect {self._user}")
        return record


class CrashSafeStorage(Storage):
    """A TinyDB storage that replaces the file in one step and keeps the previous version beside it (``.bak``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._backup = path.with_name(path.name + ".bak")
        self._good: bytes | None = None  # the last content that was found readable

    def read(self) -> Tables | None:
        """Return the tables, those of the previous version when the file is damaged; None when there is no file."""
        content = read_guarded(self._path)
        if content is None:
            return None
        try:
            tables = decode(content)
        except Unreadable as damage:
            previous = read_guarded(self._backup)
            try:
                return decode(previous or b"")
            except Unreadable:
                raise self._damaged(damage) from damage
        self._good = content
        return tables

    def write(self, data: Tables) -> None:
        """Replace the file. A readable present version becomes the previous one; a damaged one never does."""
        content = read_guarded(self._path)
        if content is not None and (content == self._good or _is_readable(content)):
            write_atomic(self._backup, content, durable=False)
        write_atomic(self._path, encode(data))

    def _damaged(self, damage: Unreadable) -> RecordDamaged:
        user = self._path.parent.name
        return RecordDamaged(
            f"The record of {user!r} can't be read: {self._path} ({damage}), nor its previous version beside it. Nothing was changed; "
            "the credentials are in another file (device.db) and are not touched by this.",
            hint=f"wasess diagnose {user}; then move {RECORD_NAME} and {RECORD_NAME}.bak out of the folder: a new record is made.",
        )


def _record_of(tables: Tables) -> SessionRecord | None:
    row = tables.get("record", {}).get("1")
    return SessionRecord(**picked(row, RECORD)) if row else None


def _ledger_of(tables: Tables) -> Ledger:
    rows = sorted(tables.get("outages", {}).items(), key=lambda item: int(item[0]))
    return tuple(Outage(**picked(row, OUTAGE)) for _, row in rows)


def _add(history: Table, changes: tuple[Change, ...]) -> None:
    last = max((document["number"] for document in history), default=0)
    for number, change in enumerate(changes, last + 1):
        history.upsert(Document({"number": number, **asdict(change)}, doc_id=number % HISTORY_LENGTH))


def _is_readable(content: bytes) -> bool:
    try:
        decode(content)
    except Unreadable:
        return False
    return True
