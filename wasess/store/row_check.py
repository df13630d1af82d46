"""Checks the rows of ``inbox.db`` as they are read: a checksum finds what was changed, and each value must be one that can stand there.

A disk, a cable or a memory that flips a bit inside of a text leaves a database that SQLite calls whole. What does not change in the life of a row
stands in its checksum (CRC-32: any change within 32 bits in a row is found, any other but for one in 4 * 10**9). What changes (the state, the
tries, the times) is only looked at, and is set right where the rest of the row is as it was.
"""

from __future__ import annotations

import math
import time
import zlib
from typing import TYPE_CHECKING

from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.store.mail import MailFile

DAMAGED = -1
"""In the place of the checksum: what belongs to it is known to be damaged."""
LATEST = 253_402_300_800.0  # the year 10000: no clock says so, and nothing can show it
LARGEST = 2**63 - 1
MOST_TRIES = 1_000_000


class RowDamaged(Exception):
    """A row can't be what was written. The message says why."""


def checksum(*values: object, blobs: tuple[bytes | None, ...] = ()) -> int:
    """Of the values of a row, in their order; None is another value than nothing."""
    parts = ["\0".join(map(str, values)).encode(errors="surrogatepass")]
    for blob in blobs:
        parts += (b"-",) if blob is None else (b"+", blob)
    return zlib.crc32(b"".join(parts))


def text_of(data: bytes) -> str:
    """A text of a row; one that is no UTF-8 is changed by it, so that its checksum does not fit. sqlite3 itself would give up the whole query."""
    return data.decode(errors="replace")


def require_sum(stored: object, *values: object, blobs: tuple[bytes | None, ...] = ()) -> None:
    """Raise `RowDamaged` unless the checksum is that of the values; a row of a version without checksums has none."""
    if stored is not None and stored != checksum(*values, blobs=blobs):
        raise RowDamaged("it is not what was stored")


def blob(value: object, name: str) -> bytes | None:
    """Bytes, or None. Raises `RowDamaged`."""
    if value is not None and not isinstance(value, bytes):
        raise RowDamaged(f"{name} is of type {type(value).__name__}")
    return value


def text(value: object, name: str) -> str:
    """Raises `RowDamaged`."""
    if not isinstance(value, str):
        raise RowDamaged(f"{name} is of type {type(value).__name__}")
    return value


def count(value: object, name: str, most: int = LARGEST) -> int:
    """A number that is not negative. Raises `RowDamaged`."""
    if not isinstance(value, int) or not 0 <= value <= most:
        raise RowDamaged(f"{name} is no number that can be")
    return value


def moment(value: object, name: str) -> float:
    """Unix time. Raises `RowDamaged`."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value < LATEST:
        raise RowDamaged(f"{name} is no time that can be")
    return float(value)


def position(value: int) -> int:
    """Of a row that has a place among others. Raises `RowDamaged`."""
    if value < 1:
        raise RowDamaged("its position is none that can be")
    return value


def known_moment(value: object) -> float | None:
    """Unix time; None where it makes no sense."""
    try:
        return moment(value, "")
    except RowDamaged:
        return None


def moment_or(value: object, otherwise: float) -> float:
    """Unix time, or another where it makes no sense."""
    known = known_moment(value)
    return otherwise if known is None else known


def moment_or_none(value: object, name: str) -> float | None:
    """Unix time, None when it has not come. Raises `RowDamaged`."""
    return None if value is None else moment(value, name)


def damaged(rows: Iterable[tuple[int, str]], within: float) -> list[int]:
    """The positions of those for which something is said, as far as they are come to within so many seconds."""
    deadline = time.monotonic() + within
    found = []
    for number, (seq, damage) in enumerate(rows, 1):
        if damage:
            found.append(seq)
        if not number % 256 and time.monotonic() > deadline:
            break
    return found


def place_in(mail: MailFile) -> Place | None:
    """How far the spool was taken in; None at the beginning, and when that can't be read: then everything comes again, and is taken in once."""
    row = mail.row(f"SELECT inode, head, position, {mail.checksum} FROM place")  # noqa: S608 - one of two constants
    try:
        if row:
            inode, head, position, stored = row
            require_sum(stored, inode, head, position)
            return Place(count(inode, "inode"), text(head, "head"), count(position, "position"))
    except RowDamaged:
        pass
    return None


def note_place(mail: MailFile, place: Place) -> None:
    """Write it down."""
    mail.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?, ?)", (*place, checksum(*place)))
