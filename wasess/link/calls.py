"""The words between a worker and its host, as frames on a stream socket. Imports ``struct`` and ``enum`` only: the worker uses it.

::

    u32le size of the rest | u8 word | u32le number | (u32le length | bytes) for each field

``number`` joins a `Word.RESULT` to the request it answers; it is 0 elsewhere.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

# Larger than any text WhatsApp takes (64 Ki characters) with its envelope; a larger frame means that the stream is out of step.
MAX_SIZE = 1 << 20

_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<BI")


class Word(enum.IntEnum):
    """What a frame says; its fields in brackets."""

    # host to worker
    SEND = 1  # [neonize.JID, WAWebProtobufsE2E.Message, the key that is noted with its id; empty: none]
    PAIR_PHONE = 2  # [neonize.PairPhoneParams]
    LOGOUT = 3  # []
    STOP = 4  # []
    PROBE = 5  # []
    PRESENCE = 6  # ["available" or "unavailable"]
    UPLOAD = 7  # [path, neonize's number for the kind of media, the most bytes]
    VOTE = 9  # [neonize.Message]
    MARK_READ = 10  # [ids with spaces between, Unix time, neonize.JID of the chat, ... of the sender]
    TYPING = 11  # [neonize.JID, 0 for writing or 1 for no longer]
    # worker to host
    STARTED = 16  # [length of the spool]: holds the session's lock, has the library loaded
    QR = 17  # [text]: only ever here, never on disk or in a log
    LOGIN = 18  # [text]: whatsmeow's QR channel events but "code": success, timeout, passkey-request, ...
    RESULT = 19  # [the library's answer, an error text]
    ENDED = 20  # [cause, detail]: the last one
    HINT = 22  # [kind, ...]: what a line of the library's log means, see `link.logline.meaning`
    BEAT = 21  # [milliseconds without an open connection, ... since sent bytes wait to be acknowledged]: the worker lives


class Call(NamedTuple):
    """One frame."""

    word: int
    number: int
    fields: tuple[bytes, ...]


class OutOfStep(ValueError):
    """The bytes are not frames."""


def pack(word: Word, *fields: bytes, number: int = 0) -> bytes:
    """Return one frame as bytes."""
    body = b"".join((_HEAD.pack(word, number), *(part for field in fields for part in (_SIZE.pack(len(field)), field))))
    return _SIZE.pack(len(body)) + body


class Stream:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Call]:
        """Take what was read, return the frames that are complete. Raises `OutOfStep`."""
        self._pending += data
        found = []
        while len(self._pending) >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._pending)
            if not _HEAD.size <= size <= MAX_SIZE:
                raise OutOfStep(f"a frame of {size} bytes")
            if len(self._pending) < _SIZE.size + size:
                break
            found.append(_parse(bytes(self._pending[_SIZE.size : _SIZE.size + size])))
            del self._pending[: _SIZE.size + size]
        return found


def _parse(body: bytes) -> Call:
    word, number = _HEAD.unpack_from(body)
    fields, at = [], _HEAD.size
    while at < len(body):
        if at + _SIZE.size > len(body):
            raise OutOfStep("a field's length is cut off")
        (length,) = _SIZE.unpack_from(body, at)
        at += _SIZE.size
        if at + length > len(body):
            raise OutOfStep("a field is longer than its frame")
        fields.append(body[at : at + length])
        at += length
    return Call(word, number, tuple(fields))
