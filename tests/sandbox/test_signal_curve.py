"""Key pairs: X25519 agreement by RFC 7748, XEdDSA signatures against themselves and against Baileys'."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasess.sandbox.signal import KeyPair, verify

KEY = KeyPair.generate()

# RFC 7748, section 6.1.
RFC_ALICE_PRIVATE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
RFC_ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
RFC_BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
RFC_SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


@given(message=st.binary(max_size=300), secret=st.binary(min_size=32, max_size=32))
@settings(max_examples=200)
def test_what_a_key_signs_verifies_and_nothing_else_does(message, secret):
    pair = KeyPair.from_private(secret)
    signature = pair.sign(message)
    assert len(signature) == 64
    assert verify(pair.public, message, signature)
    assert not verify(pair.public, message + b"x", signature)
    assert not verify(KEY.public, message, signature)


@given(bit=st.integers(0, 511))
@settings(max_examples=100)
def test_a_signature_with_one_bit_flipped_does_not_verify(bit):
    damaged = bytearray(KEY.sign(b"message"))
    damaged[bit // 8] ^= 1 << bit % 8
    assert not verify(KEY.public, b"message", bytes(damaged))


def test_two_signatures_of_the_same_message_differ():
    assert KEY.sign(b"message") != KEY.sign(b"message")


def test_a_signature_made_by_baileys_verifies():
    public = bytes.fromhex("7cf624686e76feee8c720be7d4c56a1856539cc69fffd4eb8c9c0d353590ba34")
    signature = bytes.fromhex(
        "206ca67de38bf43388800505a53b230b584fac5b4afda4ae0cba8785e736fe8bff26fd6be61c294501899a62d03496706dc5b20450dd9ea2de6499d3d2258304"
    )
    assert verify(public, b"signed by Baileys", signature)


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (b"", bytes(64)),
        (bytes(31), bytes(64)),
        (KEY.public, b""),
        (KEY.public, bytes(65)),
        # u = -1 has no y at all.
        ((2**255 - 20).to_bytes(32, "little"), bytes(64)),
    ],
    ids=["no key", "a short key", "no signature", "a long signature", "a key without a point"],
)
def test_malformed_keys_and_signatures_verify_as_false(public, signature):
    assert verify(public, b"message", signature) is False


@given(one=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
@settings(max_examples=50)
def test_both_sides_agree_on_the_same_secret(one, other):
    alice, bob = KeyPair.from_private(one), KeyPair.from_private(other)
    assert alice.agree(bob.public) == bob.agree(alice.public)


def test_the_keys_of_rfc_7748_agree_as_it_says():
    alice = KeyPair.from_private(RFC_ALICE_PRIVATE)
    assert alice.public == RFC_ALICE_PUBLIC
    assert alice.agree(RFC_BOB_PUBLIC) == RFC_SHARED


@pytest.mark.parametrize("public", [b"", b"x", bytes(33), bytes(32), b"\x01" + bytes(31)])
def test_an_unusable_public_key_is_refused(public):
    with pytest.raises(ValueError, match="public key"):
        KEY.agree(public)


def test_a_key_pair_does_not_show_its_secret():
    assert repr(KEY.private) not in repr(KEY)
