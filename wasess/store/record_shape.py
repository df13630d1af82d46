"""The shape of ``session.json`` on disk: its number, the types of its rows, and the way from each older shape to the present one.

Shape 2::

    {"schema": 2, "record": {"1": RECORD}, "history": {"<slot>": {"number": N, CHANGE}}, "outages": {"<number>": OUTAGE}}

RECORD is `SessionRecord`, CHANGE is `Change`, OUTAGE is `core.outages.Outage`. Shape 1 had no outages, and no ``resume_at`` and
``phone_seen_at`` in its record. A file of every older shape stands in tests/store/shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import msgspec

from wasess.core.outages import Outage
from wasess.errors import StoreError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.outages import Ledger

    Tables = dict[str, dict[str, Any]]

SCHEMA = 2


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


class Unreadable(Exception):
    """The bytes are not a record file."""


def decode(content: bytes) -> Tables:
    """Return the tables in the present shape, every row of them checked; those of an older file are brought up to it.

    Raises `Unreadable`, and `StoreError` for the file of a newer wasess.
    """
    try:
        tables = msgspec.json.decode(content)
        schema = msgspec.convert(tables.pop("schema"), int)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    if schema > SCHEMA:
        raise StoreError(
            _("session.json has the shape number {schema}, and this wasess knows shapes up to {known}; nothing was changed.").format(
                schema=schema, known=SCHEMA
            ),
            hint=_("Use the newer wasess that wrote it."),
        )
    if schema != SCHEMA and schema not in MIGRATIONS:
        raise Unreadable(_("there never was a shape number {schema}").format(schema=schema))
    try:
        for number in range(schema, SCHEMA):
            tables = MIGRATIONS[number](tables)
        msgspec.convert(tables, _Checked, str_keys=True)
        _require_every_field(tables)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return dict(tables)


def encode(tables: Tables) -> bytes:
    """Return the bytes of the file."""
    return msgspec.json.encode({"schema": SCHEMA, **tables})


def record_alone(content: bytes) -> SessionRecord | None:
    """The record in a file of the present shape, whatever else stands in it. Raises `Unreadable` for any other file."""
    try:
        found = msgspec.json.decode(content, type=_Alone)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors; text that is no UTF-8 is another
        raise Unreadable(str(error)) from error
    if found.schema != SCHEMA:
        raise Unreadable(f"shape number {found.schema}")
    return found.record.get("1")


def record_of(tables: Tables) -> SessionRecord | None:
    """The record, None when there is none yet."""
    row = tables.get("record", {}).get("1")
    return msgspec.convert(row, SessionRecord) if row else None


def history_of(tables: Tables) -> list[Change]:
    """The changes, oldest first."""
    lines = sorted(tables.get("history", {}).values(), key=lambda line: line["number"])
    return msgspec.convert(lines, list[Change])


def numbered_outages(tables: Tables) -> dict[int, Outage]:
    """The outages by their numbers, oldest first."""
    return dict(sorted(msgspec.convert(tables.get("outages", {}), dict[int, Outage], str_keys=True).items()))


def ledger_of(tables: Tables) -> Ledger:
    """The outages, oldest first."""
    return tuple(numbered_outages(tables).values())


def _require_every_field(tables: Tables) -> None:
    """A file of this shape has them all; `msgspec.convert` lets those be missing that have a default."""
    for name, row_type in (("record", SessionRecord), ("history", _Line), ("outages", Outage)):
        names = {found.name for found in fields(row_type)}
        for row in tables.get(name, {}).values():
            if missing := names - row.keys():
                raise KeyError(*missing)


def _from_1(tables: Tables) -> Tables:
    record = {number: {**row, "resume_at": None, "phone_seen_at": None} for number, row in tables.get("record", {}).items()}
    return {**tables, "record": record, "outages": {}}


MIGRATIONS: dict[int, Callable[[Tables], Tables]] = {1: _from_1}
"""By the number of the shape they start from; each leads to the next number."""


@dataclass(frozen=True, slots=True)
class _Line(Change):
    number: int


@dataclass(frozen=True, slots=True)
class _Alone:
    schema: int
    record: dict[str, SessionRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Checked:
    record: dict[int, SessionRecord] = field(default_factory=dict)
    history: dict[int, _Line] = field(default_factory=dict)
    outages: dict[int, Outage] = field(default_factory=dict)


# msgspec 0.22 learns a class when it is first converted to, and two threads that are first at once end the process (SIGSEGV).
for _shape in (SessionRecord, Change, Outage, _Line, _Alone, _Checked):
    msgspec.json.Decoder(_shape)
