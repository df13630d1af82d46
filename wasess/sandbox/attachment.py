"""Files as WhatsApp encrypts them: AES-CBC under keys that follow from the file's own media key (whatsmeow upload.go, download.go)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAC_BYTES: Final = 10
BLOCK_BITS: Final = 128

# What a file is, and the words its keys are derived with. The CDN knows a voice message as audio and a sticker as an image.
CDN_TYPES: Final = {"image": "image", "sticker": "image", "video": "video", "voice": "audio", "audio": "audio", "document": "document"}
KEY_WORDS: Final = {kind: f"WhatsApp {of.capitalize()} Keys".encode() for kind, of in CDN_TYPES.items()}


class Damaged(ValueError):
    """What was fetched is not the file that the message speaks of."""


class _Keys(NamedTuple):
    initial: bytes
    cipher: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted file (``body``: ciphertext and MAC) and what a message must say for it to be opened. The hashes are SHA-256."""

    body: bytes
    media_key: bytes
    file_hash: bytes
    body_hash: bytes
    size: int


def seal(data: bytes, kind: str) -> Sealed:
    """Encrypt a file of a kind of `KEY_WORDS` under a new media key."""
    media_key = secrets.token_bytes(32)
    keys = _derive(media_key, kind)
    padder = padding.PKCS7(BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(keys.cipher), modes.CBC(keys.initial)).encryptor()
    ciphertext = encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
    body = ciphertext + _mac(keys, ciphertext)
    return Sealed(body, media_key, hashlib.sha256(data).digest(), hashlib.sha256(body).digest(), len(data))


def unseal(sealed: Sealed, kind: str) -> bytes:
    """Decrypt a file, checking all that its message says of it.

    Raises:
        Damaged: a hash, the MAC, the padding or the size is wrong.
    """
    if hashlib.sha256(sealed.body).digest() != sealed.body_hash:
        raise Damaged("wrong hash of the encrypted file")
    keys = _derive(sealed.media_key, kind)
    ciphertext, mac = sealed.body[:-MAC_BYTES], sealed.body[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(keys, ciphertext), mac):
        raise Damaged("wrong MAC")
    data = _decrypt(keys, ciphertext)
    if hashlib.sha256(data).digest() != sealed.file_hash:
        raise Damaged("wrong hash of the file")
    if len(data) != sealed.size:
        raise Damaged(f"{len(data)} bytes, not {sealed.size}")
    return data


def _derive(media_key: bytes, kind: str) -> _Keys:
    expanded = HKDF(hashes.SHA256(), 112, None, KEY_WORDS[kind]).derive(media_key)
    return _Keys(expanded[:16], expanded[16:48], expanded[48:80])


def _mac(keys: _Keys, ciphertext: bytes) -> bytes:
    return hmac.digest(keys.mac, keys.initial + ciphertext, "sha256")[:MAC_BYTES]


def _decrypt(keys: _Keys, ciphertext: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(keys.cipher), modes.CBC(keys.initial)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise Damaged("no whole blocks, or a wrong padding") from error
