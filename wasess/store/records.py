"""``session.json``: what wasess itself knows about a session, and the history of its changes (TinyDB).

Only the holder of the home's or the session's lock writes; anybody may read at any time. A kill at any instant leaves
the old content or the new one. On disk (``schema`` 1)::

    {"schema": 1, "record": {"1": {SessionRecord}}, "history": {"<slot>": {"number": N, Change}}}

The history is a ring: change N stands in slot N modulo 200, so noting one is a single write.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tinydb import TinyDB
from tinydb.middlewares import CachingMiddleware
from tinydb.storages import Storage
from tinydb.table import Document

from wasess.errors import RecordDamaged, StoreError
from wasess.store.atomic import write_atomic
from wasess.store.guard import read_guarded

if TYPE_CHECKING:
    from pathlib import Path

RECORD_NAME = "session.json"
SCHEMA = 1
HISTORY_LENGTH = 200

_Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What is known about a session. Times are Unix seconds; ``state`` and ``reason_code`` are the codes of `core.machine`.

    ``since``: when the session entered its state. ``restarts``: workers replaced since the session was created.
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
        self._database = TinyDB(storage=CrashSafeStorage, path=self._path)

    def load(self) -> SessionRecord | None:
        """Return the record, None when there is none yet."""
        document = self._database.table("record").get(doc_id=1)
        return record_from(document) if isinstance(document, Document) else None

    def save(self, record: SessionRecord) -> None:
        """Store the record; on return it survives a power cut."""
        self._database.table("record").upsert(Document(asdict(record), doc_id=1))

    def note(self, change: Change, **fields: Any) -> None:
        """Add a line to the history (the oldest beyond 200 goes) and replace ``fields`` of the record, in one write.

        Raises `StoreError` when there are fields and no record.
        """
        storage = CachingMiddleware(CrashSafeStorage)  # type: ignore[no-untyped-call] # TinyDB left this class without annotations
        with TinyDB(storage=storage, path=self._path) as together:
            if fields:
                together.table("record").upsert(Document(asdict(replace(self._known(), **fields)), doc_id=1))
            table = together.table("history")
            number = 1 + max((document["number"] for document in table), default=0)
            table.upsert(Document({"number": number, **asdict(change)}, doc_id=number % HISTORY_LENGTH))

    def history(self) -> list[Change]:
        """Return the changes, oldest first."""
        return [change_from(document) for document in sorted(self._database.table("history"), key=lambda line: int(line["number"]))]

    def _known(self) -> SessionRecord:
        record = self.load()
        if record is None:
            raise StoreError(f"The session {self._user!r} has no record yet; nothing was changed.", hint=f"wasess connect {self._user}")
        return record


class CrashSafeStorage(Storage):
    """A TinyDB storage that replaces the file in one step and keeps the previous version beside it (``.bak``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._backup = path.with_name(path.name + ".bak")

    def read(self) -> _Tables | None:
        """Return the tables, those of the previous version when the file is damaged; None when there is no file."""
        content = read_guarded(self._path)
        if content is None:
            return None
        try:
            return _decode(content)
        except _Unreadable as damage:
            previous = read_guarded(self._backup)
            try:
                return _decode(previous or b"")
            except _Unreadable:
                raise self._damaged(damage) from damage

    def write(self, data: _Tables) -> None:
        """Replace the file. A readable present version becomes the previous one; a damaged one never does."""
        content = read_guarded(self._path)
        if content is not None and _is_readable(content):
            write_atomic(self._backup, content, durable=False)
        write_atomic(self._path, json.dumps({"schema": SCHEMA, **data}).encode())

    def _damaged(self, damage: _Unreadable) -> RecordDamaged:
        user = self._path.parent.name
        return RecordDamaged(
            f"The record of {user!r} can't be read: {self._path} ({damage}), nor its previous version beside it. Nothing was changed; "
            "the credentials are in another file (device.db) and are not touched by this.",
            hint=f"wasess diagnose {user}; then move {RECORD_NAME} and {RECORD_NAME}.bak out of the folder: a new record is made.",
        )


class _Unreadable(Exception):
    """The bytes are not a record file."""


def record_from(document: dict[str, Any]) -> SessionRecord:
    """Make a record of a row on disk. Raises TypeError, KeyError or ValueError when it is none."""
    return SessionRecord(
        user=_text(document["user"]),
        created_at=_number(document["created_at"]),
        state=_text(document["state"]),
        reason_code=_text(document["reason_code"]),
        since=_number(document["since"]),
        paired_at=None if document["paired_at"] is None else _number(document["paired_at"]),
        jid=None if document["jid"] is None else _text(document["jid"]),
        lid=None if document["lid"] is None else _text(document["lid"]),
        last_online_at=None if document["last_online_at"] is None else _number(document["last_online_at"]),
        restarts=int(_number(document["restarts"])),
    )


def change_from(document: dict[str, Any]) -> Change:
    """Make a change of a row on disk. Raises TypeError, KeyError or ValueError when it is none."""
    return Change(_number(document["at"]), _text(document["state"]), _text(document["code"]), _text(document["sentence"]))


def _decode(content: bytes) -> _Tables:
    try:
        tables = json.loads(content)
        schema = _number(tables.pop("schema"))
        if schema == SCHEMA:
            for number, document in tables.get("record", {}).items():
                int(number)
                record_from(document)
            for number, document in tables.get("history", {}).items():
                int(number)
                change_from(document)
                _number(document["number"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _Unreadable(f"{type(error).__name__}: {error}") from error
    if schema > SCHEMA:
        raise StoreError(
            f"session.json has the shape number {schema}, and this wasess knows shapes up to {SCHEMA}; nothing was changed.",
            hint="Use the newer wasess that wrote it.",
        )
    if schema < SCHEMA:
        raise _Unreadable(f"there never was a shape number {schema}")
    return dict(tables)


def _is_readable(content: bytes) -> bool:
    try:
        _decode(content)
    except _Unreadable:
        return False
    return True


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number was expected, not {type(value).__name__}")
    return value
