"""Signal's key agreement on the receiving side: where a chain began that a message opened (X3DH, and one turn of the double ratchet).

The record that was stored after the turn proves the answer: only the right keys lead to its root key. The formulas are those of
signal.org/docs/specifications/x3dh and /doubleratchet, with libsignal's constants.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.store.ratchet import Record

_DISCONTINUITY = b"\xff" * 32
_NO_SALT = bytes(32)


class OwnKeys(NamedTuple):
    """The private keys that others begin sessions with."""

    identity: bytes
    signed_pre_key: bytes


def turned(before: Record, after: Record, ratchet_key: str) -> str:
    """Return the first key of the chain that ``ratchet_key`` opened between two states of one session; empty when it was not so."""
    try:
        return _turn(b64decode(before["RootKey"]), before["SenderChain"]["SenderRatchetKeyPrivate"], after, ratchet_key)
    except (ValueError, TypeError, KeyError):
        return ""


def begun(after: Record, ratchet_key: str, own: OwnKeys, pre_keys: Iterable[bytes]) -> str:
    """Return the first key of the first chain of a session that a peer began; empty when it was not so.

    ``after``: the session's state after its first message. ``pre_keys``: the private one-time keys it may have used; none is tried last.
    """
    try:
        base, identity = after["SenderBaseKey"], after["RemoteIdentityPublic"]
        signed = own.signed_pre_key
        secret = _DISCONTINUITY + _agree(signed, identity) + _agree(own.identity, base) + _agree(signed, base)
        private = b64encode(signed).decode()
        for one_time in (*(_agree(key, base) for key in pre_keys), b""):
            root = _derive(secret + one_time, _NO_SALT, b"WhisperText")[:32]
            if found := _turn(root, private, after, ratchet_key):
                return found
    except (ValueError, TypeError, KeyError):
        pass
    return ""


def _turn(root: bytes, private: str, after: Record, ratchet_key: str) -> str:
    """The key of the chain that a turn opens, if another turn with our new key then leads to the root key that was stored."""
    opened = _derive(_agree(b64decode(private), ratchet_key), root, b"WhisperRatchet")
    answer = _derive(_agree(b64decode(after["SenderChain"]["SenderRatchetKeyPrivate"]), ratchet_key), opened[:32], b"WhisperRatchet")
    return b64encode(opened[32:]).decode() if hmac.compare_digest(answer[:32], b64decode(after["RootKey"])) else ""


def _agree(private: bytes, public: str) -> bytes:
    """X25519. ``public``: base64 of a type byte and the key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: PLC0415 - only after a crash

    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(b64decode(public)[1:]))


def _derive(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    """HKDF-SHA256, 64 bytes."""
    seed = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(seed, purpose + b"\x01", "sha256")
    return first + hmac.digest(seed, first + purpose + b"\x02", "sha256")
