from __future__ import annotations

import hashlib
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.link.media_cipher import Forged, PlainFile, SealedFile
from wasess.sandbox.attachment import KEY_WORDS, seal


def opened(sealed, kind="image", **other):
    said = {"media_key": sealed.media_key, "body_hash": sealed.body_hash, "file_hash": sealed.file_hash} | other
    return SealedFile(said["media_key"], KEY_WORDS[kind], said["body_hash"], said["file_hash"])


@given(st.binary(max_size=300), st.lists(st.integers(1, 60)), st.sampled_from(sorted(KEY_WORDS)))
def test_a_file_is_the_same_in_whatever_pieces_it_comes(data, cuts, kind):
    sealed = seal(data, kind)
    file, found, body = opened(sealed, kind), b"", sealed.body
    for cut in cuts:
        found += file.feed(body[:cut])
        body = body[cut:]
    assert found + file.feed(body) + file.finish() == data


def refused(body, sealed, **other):
    file = opened(sealed, **other)
    file.feed(body)
    with pytest.raises(Forged) as caught:
        file.finish()
    return str(caught.value)


def test_each_thing_that_its_message_says_is_checked():
    sealed = seal(b"content" * 9, "image")
    body, mac = bytearray(sealed.body[:-10]), sealed.body[-10:]
    body[3] ^= 1
    changed = bytes(body) + mac
    assert "hash" in refused(changed, sealed)
    digest = hashlib.sha256(changed).digest()
    assert "MAC" in refused(changed, sealed, body_hash=digest)
    assert "MAC" in refused(sealed.body, sealed, media_key=secrets.token_bytes(32))
    assert "hash" in refused(sealed.body, sealed, file_hash=bytes(32))
    for short in (b"", b"x", sealed.body[-10:], sealed.body[:-1]):
        assert refused(short, sealed, body_hash=hashlib.sha256(short).digest())


def test_what_is_no_whole_block_or_wrongly_padded_is_forged(monkeypatch):
    """By somebody who has the key, and so makes a right MAC."""
    monkeypatch.setattr("hmac.compare_digest", lambda *_: True)
    sealed = seal(b"content", "image")
    for body in (sealed.body[:-11] + bytes(10), bytes(16) + bytes(10), bytes(10)):
        assert "padding" in refused(body, sealed)


def test_a_file_that_is_not_encrypted_has_its_hash():
    file = PlainFile(hashlib.sha256(b"content").digest())
    assert file.feed(b"con") + file.feed(b"tent") + file.finish() == b"content"
    file = PlainFile(bytes(32))
    file.feed(b"content")
    with pytest.raises(Forged, match="hash"):
        file.finish()
