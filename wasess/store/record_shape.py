"""The shape of ``session.json`` on disk: its number, the check of every row, and the way from each older shape to the present one.

Shape 2::

    {"schema": 2, "record": {"1": RECORD}, "history": {"<slot>": {"number": N, CHANGE}}, "outages": {"<place>": OUTAGE}}

Shape 1 had no outages, and no ``resume_at`` and ``phone_seen_at`` in its record. A file of every older shape stands in
tests/store/shapes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from wasess.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    Tables = dict[str, dict[str, Any]]
    Shape = dict[str, Callable[[object], object]]

SCHEMA = 2


class Unreadable(Exception):
    """The bytes are not a record file."""


def decode(content: bytes) -> Tables:
    """Return the tables in the present shape, every row of them checked; those of an older file are brought up to it.

    Raises `Unreadable`, and `StoreError` for the file of a newer wasess.
    """
    try:
        tables = json.loads(content)
        schema = _number(tables.pop("schema"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    if schema > SCHEMA:
        raise StoreError(
            f"session.json has the shape number {schema}, and this wasess knows shapes up to {SCHEMA}; nothing was changed.",
            hint="Use the newer wasess that wrote it.",
        )
    if schema != SCHEMA and schema not in MIGRATIONS:
        raise Unreadable(f"there never was a shape number {schema}")
    try:
        for number in range(int(schema), SCHEMA):
            tables = MIGRATIONS[number](tables)
        _check(tables)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return dict(tables)


def encode(tables: Tables) -> bytes:
    """Return the bytes of the file."""
    return json.dumps({"schema": SCHEMA, **tables}).encode()


def picked(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The values of a checked row that belong to its shape."""
    return {name: row[name] for name in shape}


def _check(tables: Tables) -> None:
    for name, shape in (("record", RECORD), ("history", HISTORY_ROW), ("outages", OUTAGE)):
        for number, row in tables.get(name, {}).items():
            int(number)
            for field, check in shape.items():
                check(row[field])


def _from_1(tables: Tables) -> Tables:
    record = {number: {**row, "resume_at": None, "phone_seen_at": None} for number, row in tables.get("record", {}).items()}
    return {**tables, "record": record, "outages": {}}


def _text(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"a number was expected, not {value if isinstance(value, float) else type(value).__name__}")
    return value


def _whole(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a whole number was expected, not {type(value).__name__}")


def _number_or_null(value: object) -> None:
    if value is not None:
        _number(value)


def _text_or_null(value: object) -> None:
    if value is not None:
        _text(value)


MIGRATIONS: dict[float, Callable[[Tables], Tables]] = {1: _from_1}
"""By the number of the shape they start from; each leads to the next number."""

RECORD: Shape = {
    "user": _text,
    "created_at": _number,
    "state": _text,
    "reason_code": _text,
    "since": _number,
    "paired_at": _number_or_null,
    "jid": _text_or_null,
    "lid": _text_or_null,
    "last_online_at": _number_or_null,
    "restarts": _whole,
    "resume_at": _number_or_null,
    "phone_seen_at": _number_or_null,
}
CHANGE: Shape = {"at": _number, "state": _text, "code": _text, "sentence": _text}
HISTORY_ROW: Shape = {"number": _whole, **CHANGE}
OUTAGE: Shape = {
    "start": _number,
    "end": _number_or_null,
    "code": _text,
    "attempts": _whole,
    "recovered": _whole,
}
