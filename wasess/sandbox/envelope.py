"""What is inside the encryption: padded `waE2E.Message`s (PROTOCOL.md §4)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from wasess.sandbox.protobufs import waE2E


@dataclass(frozen=True, slots=True)
class Content:
    """A decrypted message. ``destination`` is set on the copy to the own phone; ``distribution`` is a sender key for ``group``."""

    text: str = ""
    destination: str = ""
    group: str = ""
    distribution: bytes = b""


def pad(plaintext: bytes) -> bytes:
    """Add 1 to 15 bytes, each saying how many (whatsmeow message.go, padMessage)."""
    count = secrets.randbelow(15) + 1
    return plaintext + bytes([count]) * count


def unpad(padded: bytes) -> bytes:
    """Undo `pad`.

    Raises:
        ValueError: there is no padding to take off.
    """
    if not padded or padded[-1] > len(padded):
        raise ValueError("the padding is wrong")
    return padded[: -padded[-1]]


def write_text(text: str) -> bytes:
    """A padded text message."""
    return pad(waE2E.Message(conversation=text).SerializeToString())


def write_distribution(group: str, distribution: bytes) -> bytes:
    """A padded message that hands over a sender key for a group (its full address)."""
    inner = waE2E.SenderKeyDistributionMessage(groupID=group, axolotlSenderKeyDistributionMessage=distribution)
    return pad(waE2E.Message(senderKeyDistributionMessage=inner).SerializeToString())


def read(padded: bytes) -> Content:
    """Read a decrypted message.

    Raises:
        ValueError: wrong padding, or no message inside.
    """
    try:
        message = waE2E.Message.FromString(unpad(padded))
    except Exception as error:  # protobuf's DecodeError is no ValueError
        raise ValueError(f"no message inside: {error}") from error
    destination = ""
    if message.HasField("deviceSentMessage"):
        destination = message.deviceSentMessage.destinationJID
        message = message.deviceSentMessage.message
    key = message.senderKeyDistributionMessage
    return Content(
        text=message.conversation or message.extendedTextMessage.text,
        destination=destination,
        group=key.groupID,
        distribution=key.axolotlSenderKeyDistributionMessage,
    )
