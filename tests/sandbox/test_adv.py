from __future__ import annotations

import base64

import pytest

from wasess.sandbox import adv
from wasess.sandbox.adv import PairingRefused, QrCode
from wasess.sandbox.nodes import Node
from wasess.sandbox.protobufs import waAdv
from wasess.sandbox.signal.curve import KeyPair


def qr_text(ref: str, *keys: bytes, prefix: str = adv.QR_PREFIX) -> str:
    return prefix + ",".join([ref, *(base64.b64encode(key).decode() for key in keys), "1"])


@pytest.mark.parametrize("prefix", [adv.QR_PREFIX, ""])
def test_a_code_is_read_in_both_forms(prefix: str) -> None:
    code = QrCode.parse(qr_text("2@abc", b"n" * 32, b"i" * 32, b"s" * 32, prefix=prefix))
    assert code == QrCode("2@abc", b"n" * 32, b"i" * 32, b"s" * 32)


@pytest.mark.parametrize("text", ["", "hello", "a,b,c", "ref,!!!,aaaa,aaaa", "https://example.org/#a,b"])
def test_other_texts_are_no_code(text: str) -> None:
    with pytest.raises(PairingRefused, match="not a WhatsApp code"):
        QrCode.parse(text)


def confirm(sealed: bytes, companion: KeyPair, signer: KeyPair | None = None) -> Node:
    """What a companion answers: its signature, and the account's key left out."""
    identity = waAdv.ADVSignedDeviceIdentity.FromString(waAdv.ADVSignedDeviceIdentityHMAC.FromString(sealed).details)
    message = adv.DEVICE_PREFIX + identity.details + companion.public + identity.accountSignatureKey
    identity.deviceSignature = (signer or companion).sign(message)
    identity.ClearField("accountSignatureKey")
    return Node("device-identity", {}, identity.SerializeToString())


def test_both_sides_sign_and_both_signatures_are_checked() -> None:
    phone, companion = KeyPair.generate(), KeyPair.generate()
    answer = confirm(adv.seal(adv.vouch(phone, companion.public, 1), b"secret"), companion)
    data = adv.check_companion(answer, phone, companion.public)
    assert adv.check_device_identity(data, phone, companion.public)
    assert not adv.check_device_identity(data, KeyPair.generate(), companion.public)
    assert not adv.check_device_identity(data, phone, KeyPair.generate().public)


def test_a_stranger_can_not_confirm_for_the_companion() -> None:
    phone, companion = KeyPair.generate(), KeyPair.generate()
    answer = confirm(adv.seal(adv.vouch(phone, companion.public, 1), b"secret"), companion, signer=KeyPair.generate())
    with pytest.raises(PairingRefused, match="signature"):
        adv.check_companion(answer, phone, companion.public)
