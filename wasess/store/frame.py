"""One spool frame as bytes. Imports nothing but ``struct`` and ``zlib``: the worker builds frames inside the event callback.

::

    b"WS" | u8 version = 1 | u8 code | u32le length | u32le crc32(code || stored) | stored (length bytes)

``stored`` is the payload with a zero byte put behind every ``WS``. So the three bytes that begin a frame never occur inside a
payload: a reader that looks for the next frame behind damaged bytes can't be led to one that somebody sent as a message.
"""

from __future__ import annotations

import struct
import zlib

MAGIC = b"WS\x01"
HEADER_SIZE = 12

_HEADER = struct.Struct("<3sBII")


def frame(code: int, payload: bytes) -> bytes:
    """Return the frame for event number ``code`` (0 to 255), to be appended with one ``os.write`` on an ``O_APPEND`` descriptor."""
    stored = payload.replace(b"WS", b"WS\x00")
    return _HEADER.pack(MAGIC, code, len(stored), _checksum(code, stored)) + stored


def parse(data: bytes, start: int) -> tuple[int, int, bytes] | None:
    """Read the frame whose magic stands at ``start``: ``(code, end, payload)``, or None when it is not complete or damaged."""
    if len(data) < start + HEADER_SIZE:
        return None
    _, code, length, checksum = _HEADER.unpack_from(data, start)
    stored = data[start + HEADER_SIZE : start + HEADER_SIZE + length]
    end = start + HEADER_SIZE + length
    if len(stored) < length or _checksum(code, stored) != checksum:
        return None
    if data.startswith(MAGIC, end - 1):  # its last byte was torn off, and is completed by the first one of the next frame
        return None
    return int(code), end, stored.replace(b"WS\x00", b"WS")


def matches(piece: bytes) -> bool:
    """Whether the checksum in a header fits everything behind it, whatever its length says."""
    _, code, _, checksum = _HEADER.unpack_from(piece)
    return bool(_checksum(code, piece[HEADER_SIZE:]) == checksum)


def _checksum(code: int, stored: bytes) -> int:
    return zlib.crc32(stored, zlib.crc32(bytes((code,))))
