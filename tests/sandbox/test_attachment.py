from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wasess.sandbox import attachment


def expanded(media_key: bytes, words: bytes) -> bytes:
    """HKDF-SHA-256 of RFC 5869 with an empty salt, written from the RFC."""
    key, block, blocks = hmac.digest(bytes(32), media_key, "sha256"), b"", b""
    for number in (1, 2, 3, 4):
        block = hmac.digest(key, block + words + bytes([number]), "sha256")
        blocks += block
    return blocks[:112]


@pytest.mark.parametrize(
    ("kind", "words"), [("image", b"WhatsApp Image Keys"), ("sticker", b"WhatsApp Image Keys"), ("voice", b"WhatsApp Audio Keys")]
)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
def test_whoever_knows_the_media_key_can_read_it(kind, words, size):
    data = bytes(range(256)) * 20
    sealed = attachment.seal(data[:size], kind)
    keys = expanded(sealed.media_key, words)
    ciphertext, mac = sealed.body[:-10], sealed.body[-10:]
    assert hmac.digest(keys[48:80], keys[:16] + ciphertext, "sha256")[:10] == mac
    decryptor = Cipher(algorithms.AES(keys[16:48]), modes.CBC(keys[:16])).decryptor()
    plain = decryptor.update(ciphertext) + decryptor.finalize()
    assert plain == data[:size] + bytes([16 - size % 16]) * (16 - size % 16)
    assert (sealed.body_hash, sealed.file_hash) == (hashlib.sha256(sealed.body).digest(), hashlib.sha256(data[:size]).digest())
    assert attachment.unseal(sealed, kind) == data[:size]


def rehashed(sealed: attachment.Sealed, body: bytes) -> attachment.Sealed:
    return replace(sealed, body=body, body_hash=hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda s: replace(s, body=s.body[:-1]), "hash of the encrypted"),
        (lambda s: rehashed(s, bytes(len(s.body))), "MAC"),
        (lambda s: rehashed(s, b""), "MAC"),
        (lambda s: replace(s, media_key=bytes(32)), "MAC"),
        (lambda s: replace(s, file_hash=bytes(32)), "hash of the file"),
        (lambda s: replace(s, size=7), "12 bytes, not 7"),
    ],
)
def test_damage_is_found(damage, problem):
    with pytest.raises(attachment.Damaged, match=problem):
        attachment.unseal(damage(attachment.seal(b"hello, world", "video")), "video")


def test_a_file_of_another_kind_has_other_keys():
    with pytest.raises(attachment.Damaged):
        attachment.unseal(attachment.seal(b"hello", "video"), "image")
