"""How a phone vouches for a companion: the ADV signatures, both ways (whatsmeow pair.go; PROTOCOL.md §2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.sandbox.protobufs import waAdv
from wasess.sandbox.signal.curve import KeyPair, verify

if TYPE_CHECKING:
    from wasess.sandbox.nodes import Node

ACCOUNT_PREFIX = b"\x06\x00"
DEVICE_PREFIX = b"\x06\x01"
QR_PREFIX = "https://wa.me/settings/linked_devices#"


class PairingRefused(Exception):
    """The phone or the server does not accept this link; the message says why."""


@dataclass(frozen=True, slots=True)
class QrCode:
    """What a companion shows: where it waits, its two public keys (32 B each) and the secret only the QR carries."""

    ref: str
    noise: bytes
    identity: bytes
    adv_secret: bytes

    @classmethod
    def parse(cls, text: str) -> QrCode:
        """Read the text of a code, in the URL form or the bare comma form.

        Raises:
            PairingRefused: it is no WhatsApp code.
        """
        parts = text.strip().removeprefix(QR_PREFIX).split(",")
        if len(parts) < 4:
            raise PairingRefused("that is not a WhatsApp code")
        try:
            noise, identity, secret = (base64.b64decode(part, validate=True) for part in parts[1:4])
        except (ValueError, binascii.Error):
            raise PairingRefused("that is not a WhatsApp code") from None
        return cls(parts[0], noise, identity, secret)


def vouch(phone: KeyPair, companion_identity: bytes, key_index: int, signer: KeyPair | None = None) -> bytes:
    """A serialized ADVSignedDeviceIdentity: the phone signs the companion's identity key (``signer``: somebody else does, a fault)."""
    details = waAdv.ADVDeviceIdentity(rawID=1, timestamp=int(time.time()), keyIndex=key_index).SerializeToString()
    signed = waAdv.ADVSignedDeviceIdentity(
        details=details,
        accountSignatureKey=phone.public,
        accountSignature=(signer or phone).sign(ACCOUNT_PREFIX + details + companion_identity),
    )
    data: bytes = signed.SerializeToString()
    return data


def seal(signed_identity: bytes, adv_secret: bytes) -> bytes:
    """A serialized ADVSignedDeviceIdentityHMAC, which proves that the phone has read the code."""
    tag = hmac.new(adv_secret, signed_identity, hashlib.sha256).digest()
    data: bytes = waAdv.ADVSignedDeviceIdentityHMAC(details=signed_identity, HMAC=tag).SerializeToString()
    return data


def check_companion(answer: Node, phone: KeyPair, companion_identity: bytes) -> bytes:
    """Check the companion's signature under the link and return its device identity, serialized.

    ``answer`` is its ``<device-identity>``; it leaves ``accountSignatureKey`` out, so the phone's own key is used.

    Raises:
        PairingRefused: the signature does not hold.
    """
    identity = waAdv.ADVSignedDeviceIdentity.FromString(answer.bytes)
    message = DEVICE_PREFIX + identity.details + companion_identity + phone.public
    if not verify(companion_identity, message, identity.deviceSignature):
        raise PairingRefused("the companion's device signature does not hold")
    data: bytes = answer.bytes
    return data


def check_device_identity(data: bytes, phone: KeyPair, companion_identity: bytes) -> bool:
    """Whether a ``<device-identity>`` sent along with a pre-key message is the one this phone vouched for."""
    identity = waAdv.ADVSignedDeviceIdentity.FromString(data)
    vouched = verify(phone.public, ACCOUNT_PREFIX + identity.details + companion_identity, identity.accountSignature)
    owned = verify(companion_identity, DEVICE_PREFIX + identity.details + companion_identity + phone.public, identity.deviceSignature)
    return vouched and owned
