"""A chain of message keys, each derivable only forwards; sessions and sender keys both run on it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from wasess.sandbox.signal.errors import DecryptError, DuplicateMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SKIPPED = 2000
"""How far a message may be ahead of its chain, and how many keys of missing messages a chain keeps (libsignal's figures)."""

_BLOCK_BITS = 128


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain key, the number of the message key it yields next, and the keys that were passed over, by number."""

    key: bytes = field(repr=False)
    index: int = 0
    skipped: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def advance(self) -> tuple[bytes, Chain]:
        """The 32-byte message key at ``index``, and the chain after it."""
        return _hmac(self.key, b"\x01"), Chain(_hmac(self.key, b"\x02"), self.index + 1, self.skipped)

    def reach(self, number: int) -> tuple[bytes, Chain]:
        """The message key with that number, and the chain that can't give it a second time.

        Raises DuplicateMessage when it was given before, DecryptError when it lies too far ahead.
        """
        if number < self.index:
            return self._recall(number)
        if number - self.index > MAX_SKIPPED:
            raise DecryptError(f"{number - self.index} messages ahead of the chain: more than {MAX_SKIPPED}")
        key, skipped = self.key, dict(self.skipped)
        for index in range(self.index, number):
            skipped[index] = _hmac(key, b"\x01")
            key = _hmac(key, b"\x02")
        for oldest in list(skipped)[:-MAX_SKIPPED]:
            del skipped[oldest]
        return Chain(key, number, skipped).advance()

    def _recall(self, number: int) -> tuple[bytes, Chain]:
        if number not in self.skipped:
            raise DuplicateMessage(f"the key of message {number} was used already")
        rest = {index: key for index, key in self.skipped.items() if index != number}
        return self.skipped[number], Chain(self.key, self.index, rest)


def derive(secret: bytes, info: bytes, length: int, salt: bytes | None = None) -> bytes:
    """HKDF-SHA256; no salt means 32 zero bytes."""
    return HKDF(SHA256(), length, salt, info).derive(secret)


def encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """AES-256-CBC with PKCS#7 padding."""
    padder, cipher = PKCS7(_BLOCK_BITS).padder(), Cipher(AES256(key), CBC(iv)).encryptor()
    return cipher.update(padder.update(plaintext) + padder.finalize()) + cipher.finalize()


def decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """What `encrypt` was given; raises DecryptError when length or padding say that this is no such ciphertext."""
    unpadder, cipher = PKCS7(_BLOCK_BITS).unpadder(), Cipher(AES256(key), CBC(iv)).decryptor()
    try:
        return unpadder.update(cipher.update(ciphertext) + cipher.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise DecryptError("the ciphertext has no valid padding") from error


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
