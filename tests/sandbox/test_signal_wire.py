"""The four messages as bytes: what is written is read back, anything else is refused as unreadable, never otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.sandbox.signal import DecryptError
from wasess.sandbox.signal.wire import PreKeySignalMessage, SenderKeyDistributionMessage, SenderKeyMessage, SignalMessage

MESSAGES = [SignalMessage, PreKeySignalMessage, SenderKeyMessage, SenderKeyDistributionMessage]

keys = st.binary(min_size=32, max_size=32).filter(lambda key: key[31] < 0x80)
numbers = st.integers(0, 2**32 - 1)
messages = st.one_of(
    st.builds(SignalMessage, keys, numbers, numbers, st.binary()),
    st.builds(PreKeySignalMessage, st.none() | numbers, keys, keys, st.binary(max_size=300), numbers, numbers),
    st.builds(SenderKeyMessage, numbers, numbers, st.binary()),
    st.builds(SenderKeyDistributionMessage, numbers, numbers, st.binary(), keys),
)


@given(message=messages)
def test_every_message_comes_back_as_it_was(message):
    assert type(message).from_bytes(message.to_bytes()) == message


def test_the_bytes_are_libsignals():
    message = SignalMessage(ratchet_key=bytes(32), counter=300, previous_counter=0, ciphertext=b"xy")
    assert message.to_bytes().hex() == "33" + "0a2105" + "00" * 32 + "10ac02" + "1800" + "22027879"


@given(data=st.binary(max_size=60), kind=st.sampled_from(MESSAGES), version=st.sampled_from([b"", b"\x33"]))
def test_noise_is_refused_or_read_but_never_crashes(data, kind, version):
    try:
        message = kind.from_bytes(version + data)
    except DecryptError:
        return
    assert isinstance(message, kind)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "33",  # nothing required is there
        "44" + "0801" + "1002" + "1a00",  # another version
        "33" + "0801" + "1002" + "1a05ff",  # ends within the ciphertext
        "33" + "0801" + "10ff",  # ends within a number
        "33" + "0801" + "1002" + "1d00000000",  # a wire type the messages do not use
        "33" + "0801" + "1002" + "1800",  # a number where bytes belong
    ],
)
def test_a_damaged_message_is_refused(data):
    with pytest.raises(DecryptError):
        SenderKeyMessage.from_bytes(bytes.fromhex(data))


def test_an_unknown_field_is_passed_over():
    message = SenderKeyMessage(id=1, iteration=2, ciphertext=b"xy")
    assert SenderKeyMessage.from_bytes(message.to_bytes() + b"\x78\x01\x7a\x01x") == message


@pytest.mark.parametrize("key", [bytes(33), b"\x05" + bytes(31), b"\x05" + bytes(31) + b"\x80"], ids=["type", "length", "top bit"])
def test_a_public_key_has_one_form_only(key):
    distribution = SenderKeyDistributionMessage(id=1, iteration=0, chain_key=bytes(32), signing_key=bytes(32)).to_bytes()
    with pytest.raises(DecryptError, match="field 4"):
        SenderKeyDistributionMessage.from_bytes(distribution[:-35] + bytes([0x22, len(key)]) + key)
