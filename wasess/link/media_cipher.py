"""Opens the file of a message piece by piece, as it comes: decrypts it, and sees whether it is what its message says. For `link.fetch_process`.

An encrypted file is AES-256-CBC with PKCS#7 padding, then the first 10 bytes of an HMAC-SHA-256 over the initial vector and the ciphertext. The
keys follow from the message's media key by HKDF-SHA-256 with words for the kind of file (whatsmeow download.go, ``getMediaKeys`` and
``validateMedia``). What is said in a channel is not encrypted: there the SHA-256 of the file is all there is to check.

Memory stays the same whatever comes: a piece, and the last ten bytes, which may be the MAC. What `feed` returns proves nothing before `finish`.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAC_BYTES = 10
BLOCK_BYTES = 16
EXPANDED_BYTES = 112


class Forged(ValueError):
    """The file is not what its message says."""


class PlainFile:
    """A file that is not encrypted. ``digest``: its SHA-256."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest
        self._sum = hashlib.sha256()

    def feed(self, piece: bytes) -> bytes:
        """Take what has come; return what belongs into the file."""
        self._sum.update(piece)
        return piece

    def finish(self) -> bytes:
        """All has come: return the rest. Raises `Forged`."""
        if not hmac.compare_digest(self._sum.digest(), self._digest):
            raise Forged("its hash is wrong")
        return b""


class SealedFile:
    """An encrypted file. ``words``: of its kind; ``sealed_digest``: the SHA-256 of what comes, ``digest`` that of the file itself."""

    def __init__(self, media_key: bytes, words: bytes, sealed_digest: bytes, digest: bytes) -> None:
        expanded = HKDF(hashes.SHA256(), EXPANDED_BYTES, None, words).derive(media_key)
        initial, key, mac_key = expanded[:16], expanded[16:48], expanded[48:80]
        self._sealed = PlainFile(sealed_digest)
        self._file = PlainFile(digest)
        self._mac = hmac.new(mac_key, initial, "sha256")
        self._decryptor = Cipher(algorithms.AES(key), modes.CBC(initial)).decryptor()
        self._unpadder = padding.PKCS7(BLOCK_BYTES * 8).unpadder()
        self._tail = b""

    def feed(self, piece: bytes) -> bytes:
        """Take what has come; return what belongs into the file."""
        known = self._tail + self._sealed.feed(piece)
        self._tail = known[-MAC_BYTES:]
        ciphertext = known[:-MAC_BYTES]
        self._mac.update(ciphertext)
        return self._file.feed(self._unpadder.update(self._decryptor.update(ciphertext)))

    def finish(self) -> bytes:
        """All has come: return the rest. Raises `Forged`."""
        self._sealed.finish()
        if not hmac.compare_digest(self._mac.digest()[:MAC_BYTES], self._tail):
            raise Forged("its MAC is wrong")
        try:
            rest = self._unpadder.update(self._decryptor.finalize()) + self._unpadder.finalize()
        except ValueError as error:
            raise Forged("its padding is wrong") from error
        self._file.feed(rest)
        self._file.finish()
        return rest
