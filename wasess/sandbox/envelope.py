"""What is inside the encryption: padded `waE2E.Message`s (PROTOCOL.md §4)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from wasess.sandbox.protobufs import waE2E

WRAPPINGS: Final = (
    *("ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"),
    *("lottieStickerMessage", "documentWithCaptionMessage", "editedMessage"),
)
"""Fields that hold a whole message inside (whatsmeow events.go, UnwrapRaw)."""


@dataclass(frozen=True, slots=True)
class Content:
    """A decrypted message. ``destination`` is set on the copy to the own phone; ``distribution`` is a sender key for ``group``.

    ``message``: the `waE2E.Message` itself, out of its wrappings.
    """

    text: str = ""
    destination: str = ""
    group: str = ""
    distribution: bytes = b""
    message: Any = field(default_factory=waE2E.Message)


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


def write(message: Any) -> bytes:
    """A padded `waE2E.Message`."""
    return pad(message.SerializeToString())


def write_text(text: str) -> bytes:
    """A padded text message."""
    return write(waE2E.Message(conversation=text))


def write_distribution(group: str, distribution: bytes) -> bytes:
    """A padded message that hands over a sender key for a group (its full address)."""
    inner = waE2E.SenderKeyDistributionMessage(groupID=group, axolotlSenderKeyDistributionMessage=distribution)
    return write(waE2E.Message(senderKeyDistributionMessage=inner))


def unwrap(message: Any) -> Any:
    """The message inside its wrappings, which takes over the outermost one's context (it holds a poll's secret)."""
    inner = message
    while (name := next((name for name in WRAPPINGS if inner.HasField(name)), "")) and getattr(inner, name).HasField("message"):
        inner = getattr(inner, name).message
    if inner is not message and message.HasField("messageContextInfo") and not inner.HasField("messageContextInfo"):
        inner.messageContextInfo.CopyFrom(message.messageContextInfo)
    return inner


def read(padded: bytes) -> Content:
    """Read a decrypted message.

    Raises:
        ValueError: wrong padding, or no message inside.
    """
    try:
        message = waE2E.Message.FromString(unpad(padded))
    except Exception as error:  # protobuf's DecodeError is no ValueError
        raise ValueError(f"no message inside: {error}") from error
    key = message.senderKeyDistributionMessage
    destination = ""
    if message.HasField("deviceSentMessage"):
        destination, outer = message.deviceSentMessage.destinationJID, message
        message = message.deviceSentMessage.message
        if outer.HasField("messageContextInfo") and not message.HasField("messageContextInfo"):
            message.messageContextInfo.CopyFrom(outer.messageContextInfo)
    message = unwrap(message)
    return Content(
        text=message.conversation or message.extendedTextMessage.text,
        destination=destination,
        group=key.groupID,
        distribution=key.axolotlSenderKeyDistributionMessage,
        message=message,
    )
