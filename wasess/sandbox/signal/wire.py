"""The four messages of the Signal protocol on the wire: a version byte, then protobuf.

Field numbers: libsignal's WhisperTextProtocol.proto. MACs and signatures stand outside the protobuf and are not read here.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Self

from wasess.sandbox.signal.curve import KEY_TYPE
from wasess.sandbox.signal.errors import DecryptError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = b"\x33"
"""Version 3, spoken by one who knows no higher one."""

_VARINT, _LENGTH_DELIMITED = 0, 2


class _Kind(Enum):
    NUMBER = auto()  # absent means 0
    OPTIONAL_NUMBER = auto()  # absent means None
    BYTES = auto()
    KEY = auto()  # 32 bytes here, 33 with the type byte on the wire


def _at(number: int, kind: _Kind) -> dict[str, Any]:
    return {"number": number, "kind": kind}


class _Message:
    """Gives a dataclass of fields made with ``_at`` its bytes, and reads them back."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_bytes(self) -> bytes:
        """The version byte and the protobuf."""
        values = ((f.metadata["number"], f.metadata["kind"], getattr(self, f.name)) for f in fields(self))
        return VERSION + b"".join(_encode(number, KEY_TYPE + value if kind is _Kind.KEY else value) for number, kind, value in values)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` writes; unknown fields are passed over. Raises DecryptError for anything else."""
        if data[:1] != VERSION:
            raise DecryptError("not a message of Signal protocol version 3")
        found = _decode(data[1:])
        return cls(**{f.name: _value(found, f.metadata["number"], f.metadata["kind"]) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class SignalMessage(_Message):
    """A message of an established session, without its MAC."""

    ratchet_key: bytes = field(metadata=_at(1, _Kind.KEY))
    counter: int = field(metadata=_at(2, _Kind.NUMBER))
    previous_counter: int = field(metadata=_at(3, _Kind.NUMBER))
    ciphertext: bytes = field(metadata=_at(4, _Kind.BYTES))


@dataclass(frozen=True, slots=True)
class PreKeySignalMessage(_Message):
    """A `SignalMessage` with its MAC as ``message``, and what its receiver needs to build the session."""

    pre_key_id: int | None = field(metadata=_at(1, _Kind.OPTIONAL_NUMBER))
    base_key: bytes = field(metadata=_at(2, _Kind.KEY))
    identity_key: bytes = field(metadata=_at(3, _Kind.KEY))
    message: bytes = field(metadata=_at(4, _Kind.BYTES))
    registration_id: int = field(metadata=_at(5, _Kind.NUMBER))
    signed_pre_key_id: int = field(metadata=_at(6, _Kind.NUMBER))


@dataclass(frozen=True, slots=True)
class SenderKeyMessage(_Message):
    """A group message, without its signature."""

    id: int = field(metadata=_at(1, _Kind.NUMBER))
    iteration: int = field(metadata=_at(2, _Kind.NUMBER))
    ciphertext: bytes = field(metadata=_at(3, _Kind.BYTES))


@dataclass(frozen=True, slots=True)
class SenderKeyDistributionMessage(_Message):
    """A sender key on its way to a member of the group."""

    id: int = field(metadata=_at(1, _Kind.NUMBER))
    iteration: int = field(metadata=_at(2, _Kind.NUMBER))
    chain_key: bytes = field(metadata=_at(3, _Kind.BYTES))
    signing_key: bytes = field(metadata=_at(4, _Kind.KEY))


def _value(found: Mapping[int, int | bytes], number: int, kind: _Kind) -> int | bytes | None:
    match kind, found.get(number):
        case (_Kind.NUMBER, None):
            return 0
        case (_Kind.OPTIONAL_NUMBER, None):
            return None
        case (_Kind.NUMBER | _Kind.OPTIONAL_NUMBER, int(value)):
            return value
        case (_Kind.BYTES, bytes(data)):
            return data
        # X25519 ignores the top bit: a key that sets it would be a second name for the same session.
        case (_Kind.KEY, bytes(data)) if len(data) == 33 and data[:1] == KEY_TYPE and data[32] < 0x80:
            return data[1:]
    raise DecryptError(f"field {number} is missing or malformed")


def _encode(number: int, value: int | bytes | None) -> bytes:
    match value:
        case None:
            return b""
        case bytes():
            return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(value)) + value
        case _:
            return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


def _decode(data: bytes) -> dict[int, int | bytes]:
    found: dict[int, int | bytes] = {}
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        value, position = _read_varint(data, position)
        match tag & 7:
            case 0:
                found[tag >> 3] = value
            case 2 if position + value <= len(data):
                found[tag >> 3] = data[position : position + value]
                position += value
            case _:
                raise DecryptError("not the protobuf of a Signal message")
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position + shift + 1
    raise DecryptError("the protobuf ends within a number")
