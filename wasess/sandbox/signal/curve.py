"""Curve25519 key pairs: agreement (X25519) and signatures by the same key (XEdDSA, as libsignal signs)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_scalarmult_ed25519_base_noclamp,
)
from nacl.exceptions import CryptoError

KEY_TYPE = b"\x05"
"""The byte before a public key wherever one is sent, signed or authenticated."""

_FIELD = 2**255 - 19
_SIGN_BIT = 0x80
# XEdDSA's hash1: 2^256 - 2 in little endian, so that no hash of a plain Ed25519 signature has the same prefix.
_NONCE_PREFIX = b"\xfe" + b"\xff" * 31


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair; both halves are 32 bytes, the private one clamped, the public one without its type byte."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh random pair."""
        return cls.from_private(secrets.token_bytes(32))

    @classmethod
    def from_private(cls, private: bytes) -> KeyPair:
        """The pair of 32 private bytes, clamped first if they are not."""
        clamped = bytes([private[0] & 0xF8, *private[1:31], private[31] & 0x7F | 0x40])
        return cls(clamped, crypto_scalarmult_base(clamped))

    def agree(self, public: bytes) -> bytes:
        """The 32-byte X25519 secret shared with the owner of ``public``; ValueError for anything but 32 bytes, and for a point of low order."""
        if len(public) != 32:  # libsodium would read past the end
            raise ValueError(f"a public key has 32 bytes, not {len(public)}")
        try:
            return crypto_scalarmult(self.private, public)
        except CryptoError as error:
            raise ValueError("the public key is no usable point of the curve") from error

    def sign(self, message: bytes) -> bytes:
        """64 bytes of XEdDSA: an Ed25519 signature that carries the Edwards sign of the public key in its top bit."""
        edwards = crypto_scalarmult_ed25519_base_noclamp(self.private)
        nonce = _scalar(_NONCE_PREFIX, self.private, message, secrets.token_bytes(64))
        commitment = crypto_scalarmult_ed25519_base_noclamp(nonce)
        challenge = _scalar(commitment, edwards, message)
        response = crypto_core_ed25519_scalar_add(nonce, crypto_core_ed25519_scalar_mul(challenge, self.private))
        return commitment + response[:31] + bytes([response[31] | edwards[31] & _SIGN_BIT])


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of the Curve25519 key ``public`` (32 bytes) signed ``message``; False for anything malformed."""
    if len(public) != 32 or len(signature) != 64:
        return False
    plain = signature[:63] + bytes([signature[63] & ~_SIGN_BIT])
    try:
        Ed25519PublicKey.from_public_bytes(_edwards(public, signature[63] & _SIGN_BIT)).verify(plain, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _scalar(*parts: bytes) -> bytes:
    return crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"".join(parts)).digest())


def _edwards(public: bytes, sign: int) -> bytes:
    """The Ed25519 form of a Montgomery u: y = (u - 1) / (u + 1); ValueError where that has no value."""
    u = int.from_bytes(public, "little") & ~(1 << 255)
    y = (u - 1) * pow(u + 1, -1, _FIELD) % _FIELD
    return (y | sign << 248).to_bytes(32, "little")
