from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.sandbox import envelope


@given(st.binary())
def test_padding_comes_off_again(plaintext: bytes) -> None:
    assert envelope.unpad(envelope.pad(plaintext)) == plaintext


@given(st.text(min_size=1))
def test_a_text_survives(text: str) -> None:
    if text.encode(errors="ignore").decode() == text:
        assert envelope.read(envelope.write_text(text)).text == text


def test_a_sender_key_is_recognised() -> None:
    content = envelope.read(envelope.write_distribution("1@g.us", b"key"))
    assert (content.group, content.distribution, content.text) == ("1@g.us", b"key", "")


@pytest.mark.parametrize("data", [b"", b"\x09", b"\xff\xff\xff\x01"])
def test_damage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"padding|no message"):
        envelope.read(data)
