"""``session.json``: what wasess itself knows about a session, the history of its changes and its outages (TinyDB).

Only the holder of the home's or the session's lock writes; anybody may read at any time. A kill at any instant leaves
the old content or the new one, and the previous version stands beside it (``.bak``). The shape on disk is `store.record_shape`.

The history is a ring: change N stands in slot N modulo 200. Whatever is noted at one time is a single write.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tinydb import TinyDB
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from wasess.errors import RecordDamaged, StoreError
from wasess.store.atomic import write_atomic
from wasess.store.guard import read_guarded
from wasess.store.record_shape import (
    Change,
    SessionRecord,
    Unreadable,
    decode,
    encode,
    history_of,
    ledger_of,
    numbered_outages,
    record_alone,
    record_of,
)
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tinydb.table import Table

    from wasess.core.outages import Ledger, Outage
    from wasess.store.record_shape import Tables

__all__ = ["HISTORY_LENGTH", "Change", "RecordFile", "SessionRecord"]

RECORD_NAME = "session.json"
HISTORY_LENGTH = 200

# A hundred sessions that come back at once change their records at once. One after the other is as fast (it is all Python's work,
# not the disk's), takes the memory of one, and leaves the event loop its turn.
_one_at_a_time = threading.Lock()


class RecordFile:
    """The record in ``folder``. Reads raise `RecordDamaged` only when the file and its previous version are both unreadable."""

    def __init__(self, folder: Path) -> None:
        self._user = folder.name
        self._path = folder / RECORD_NAME
        self._backup = folder / f"{RECORD_NAME}.bak"

    def load(self) -> SessionRecord | None:
        """Return the record, None when there is none yet."""
        return record_of(self._tables())

    def peek(self) -> SessionRecord | None:
        """As `load`, at a tenth of its price: of a file in its present shape, only the record is read and checked."""
        content = read_guarded(self._path)
        if content is None:
            return None
        try:
            return record_alone(content)
        except Unreadable:
            return self.load()

    def outages(self) -> Ledger:
        """Return the ledger, oldest first."""
        return ledger_of(self._tables())

    def read(self) -> tuple[SessionRecord | None, Ledger]:
        """Return the record and the ledger of one instant."""
        tables = self._tables()
        return record_of(tables), ledger_of(tables)

    def history(self) -> list[Change]:
        """Return the changes, oldest first."""
        return history_of(self._tables())

    def save(self, record: SessionRecord) -> None:
        """Store the record; on return it survives a power cut."""
        self._edit(lambda database, _: _put(database.table("record"), 1, asdict(record)))

    def note(self, *changes: Change, outages: Ledger | None = None, **fields: Any) -> None:
        """In one write, add lines to the history (the oldest beyond 200 go), replace ``fields`` of the record, and the ledger.

        On return it survives a power cut. Raises `StoreError` when there are fields and no record; then nothing is written.
        """

        def edit(database: TinyDB, before: Tables) -> None:
            if fields:
                _put(database.table("record"), 1, asdict(replace(self._must(record_of(before)), **fields)))
            last = max((line["number"] for line in before.get("history", {}).values()), default=0)
            for number, change in enumerate(changes, last + 1):
                _put(database.table("history"), number % HISTORY_LENGTH, {"number": number, **asdict(change)})
            if outages is not None:
                _rewrite(database.table("outages"), numbered_outages(before), outages)

        self._edit(edit)

    def _must(self, record: SessionRecord | None) -> SessionRecord:
        if record is None:
            raise StoreError(
                _("The session {user!r} has no record yet; nothing was changed.").format(user=self._user),
                hint=f"wasess connect {self._user}",
            )
        return record

    def _edit(self, edit: Callable[[TinyDB, Tables], None]) -> None:
        """Replace the file by what ``edit`` makes of it; that gets a database, and the tables as they were."""
        content = read_guarded(self._path)
        with _one_at_a_time:
            fresh, intact = self._edited(content, edit)
        # From here on only bytes are kept: what the disk makes wait does not hold the parsed tables.
        if intact:
            write_atomic(self._backup, fresh if content is None else content, durable=False)
        write_atomic(self._path, fresh)

    def _edited(self, content: bytes | None, edit: Callable[[TinyDB, Tables], None]) -> tuple[bytes, bool]:
        before, intact = self._decoded(content)
        storage = MemoryStorage()  # type: ignore[no-untyped-call] # TinyDB left this class without annotations
        storage.memory = dict(before)
        with TinyDB(storage=lambda: storage) as database:
            edit(database, before)
        return encode(storage.memory), intact

    def _tables(self) -> Tables:
        return self._decoded(read_guarded(self._path))[0]

    def _decoded(self, content: bytes | None) -> tuple[Tables, bool]:
        """The tables of the file with this content, or those of its previous version when it is damaged; and whether it is not."""
        if content is None:
            return {}, True
        try:
            return decode(content), True
        except Unreadable as damage:
            try:
                return decode(read_guarded(self._backup) or b""), False
            except Unreadable:
                raise self._damaged(damage) from damage

    def _damaged(self, damage: Unreadable) -> RecordDamaged:
        return RecordDamaged(
            _(
                "The record of {user!r} can't be read: {path} ({damage}), nor its previous version beside it. Nothing was changed; the credentials are in another file (device.db) and are not touched by this."
            ).format(user=self._user, path=self._path, damage=damage),
            hint=_("wasess diagnose {user}; then move {name} and {name}.bak out of the folder: a new record is made.").format(
                user=self._user, name=RECORD_NAME
            ),
        )


def _put(table: Table, number: int, row: dict[str, Any]) -> None:
    table.upsert(Document(row, doc_id=number))


def _rewrite(table: Table, known: dict[int, Outage], ledger: Ledger) -> None:
    """Make the table hold the ledger. What stays as it was is not written again: nearly all of a long ledger does."""
    same = 0
    gone = []
    for number, outage in known.items():
        if same < len(ledger) and ledger[same] == outage:
            same += 1
        else:
            gone.append(number)
    if gone:
        table.remove(doc_ids=gone)
    if fresh := ledger[same:]:
        numbered = enumerate(fresh, max(known, default=0) + 1)
        table.insert_multiple(Document(asdict(outage), doc_id=number) for number, outage in numbered)
