"""Turns what is in the spool (an event number of neonize's and protobuf bytes) into events of `core.events`.

The bytes come from WhatsApp through the library, so nothing about them is believed: a field that is missing is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from wasess.core import events
from wasess.core.message import Message
from wasess.link import protobuf

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = 17
# neonize numbers its enums by itself; these are the numbers the server said (whatsmeow types/events/events.go).
SERVER_REASONS = {
    "GENERIC": 400,
    "LOGGED_OUT": 401,
    "TEMP_BANNED": 402,
    "MAIN_DEVICE_GONE": 403,
    "UNKNOWN_LOGOUT": 406,
    "CLIENT_OUTDATED": 405,
    "BAD_USER_AGENT": 409,
    "INTERNAL_SERVER_ERROR": 500,
    "EXPERIMENTAL": 501,
    "SERVICE_UNAVAILABLE": 503,
}
BAN_CODES = {
    "SEND_TO_TOO_MANY_PEOPLE": 101,
    "BLOCKED_BY_USERS": 102,
    "CREATED_TOO_MANY_GROUPS": 103,
    "SENT_TOO_MANY_SAME_MESSAGE": 104,
    "BROADCAST_LIST": 106,
}

# Messages that hold another message in their field ``message``, and those with a caption.
WRAPPERS = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "viewOnceMessageV2Extension",
    "documentWithCaptionMessage",
    "deviceSentMessage",
    "editedMessage",
)
CAPTIONED = ("imageMessage", "videoMessage", "documentMessage")
# Deeper nesting than WhatsApp uses; a limit, because the sender decides.
MAX_DEPTH = 8


class Untranslatable(ValueError):
    """The bytes are not the event that the number says."""


def translate(code: int, payload: bytes) -> events.Event:
    """Decode one spool frame. An event number without a meaning here gives `events.OtherEvent`; bad bytes raise `Untranslatable`."""
    if code not in _TRANSLATORS:
        return events.OtherEvent(code)
    name, make = _TRANSLATORS[code]
    try:
        return make(getattr(protobuf.neonize(), name).FromString(payload))
    except (DecodeError, ValueError, OverflowError) as error:
        raise Untranslatable(f"event {code} is not a {name}: {error}") from error


def address(jid: Any) -> str:
    """Return a neonize.JID as text without its device number, empty for an empty one: ``491701234567@s.whatsapp.net``."""
    return f"{jid.User}@{jid.Server}" if jid.User else str(jid.Server)


def device_address(jid: Any) -> str:
    """Return a neonize.JID as text with its device number: ``491701234567:3@s.whatsapp.net``."""
    return f"{jid.User}:{jid.Device}@{jid.Server}" if jid.Device else address(jid)


def text_of(message: Any, depth: int = 0) -> str:
    """Return the text of a WAWebProtobufsE2E.Message: what it says, or its caption; empty when it has neither."""
    if message.conversation:
        return str(message.conversation)
    if message.extendedTextMessage.text:
        return str(message.extendedTextMessage.text)
    for name in CAPTIONED:
        if caption := getattr(message, name).caption:
            return str(caption)
    if depth < MAX_DEPTH:
        for name in WRAPPERS:
            if message.HasField(name):
                return text_of(getattr(message, name).message, depth + 1)
    return ""


def _message(found: Any) -> events.Event:
    if _only_a_sender_key(found.Message):
        return events.OtherEvent(MESSAGE)
    info = found.Info
    source = info.MessageSource
    return events.MessageReceived(
        Message(
            id=info.ID,
            chat=address(source.Chat),
            sender=address(source.Sender),
            text=text_of(found.Message),
            timestamp=info.Timestamp / 1000,  # milliseconds here, seconds in a send's answer
            sender_alt=address(source.SenderAlt),
            push_name=info.Pushname,
            from_me=source.IsFromMe,
            is_group=source.IsGroup,
            from_phone=source.IsFromMe and source.Sender.Device == 0,
        )
    )


def _only_a_sender_key(message: Any) -> bool:
    """A sender's first message in a group comes as two events with one id: its key for the group, which is no message, then the message."""
    filled = {field.name for field, _ in message.ListFields()}
    return "senderKeyDistributionMessage" in filled and filled <= {"senderKeyDistributionMessage", "messageContextInfo"}


def _undecryptable(found: Any) -> events.Event:
    source = found.Info.MessageSource
    return events.Undecryptable(found.Info.ID, address(source.Chat), address(source.Sender))


def _pair_status(found: Any) -> events.Event:
    if found.Status == found.SUCCESS:
        return events.Paired(jid=device_address(found.ID))
    return events.PairError(found.Error or "the library did not say why")


def _reason(found: Any) -> int:
    return SERVER_REASONS.get(protobuf.neonize().ConnectFailureReason.Name(found.Reason), 0) if found.HasField("Reason") else 0


def _temporary_ban(found: Any) -> events.Event:
    code = BAN_CODES.get(found.TempBanReason.Name(found.Code), 0) if found.HasField("Code") else 0
    return events.TemporaryBan(code, float(found.Expire))


_TRANSLATORS: dict[int, tuple[str, Callable[[Any], events.Event]]] = {
    2: ("PairStatus", _pair_status),
    3: ("Connected", lambda _: events.Connected()),
    4: ("KeepAliveTimeout", lambda found: events.KeepAliveTimeout(found.ErrorCount, float(found.LastSuccess))),
    5: ("KeepAliveRestored", lambda _: events.KeepAliveRestored()),
    6: ("LoggedOut", lambda found: events.LoggedOut(_reason(found), found.OnConnect)),
    7: ("StreamReplaced", lambda _: events.StreamReplaced()),
    8: ("TemporaryBan", _temporary_ban),
    9: ("ConnectFailure", lambda found: events.ConnectFailure(_reason(found), found.Message)),
    10: ("ClientOutdated", lambda _: events.ClientOutdated()),
    11: ("StreamError", lambda found: events.StreamError(found.Code)),
    12: ("Disconnected", lambda _: events.Disconnected()),
    MESSAGE: ("Message", _message),
    26: ("OfflineSyncPreview", lambda found: events.OfflineSyncPreview(found.Total, found.Message)),
    27: ("OfflineSyncCompleted", lambda found: events.OfflineSyncCompleted(found.Count)),
    44: ("UndecryptableMessage", _undecryptable),
}
