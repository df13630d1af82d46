"""Turns what is in the spool (an event number of neonize's and protobuf bytes) into events of `core.events`.

The bytes come from WhatsApp through the library, so nothing about them is believed: a field that is missing is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from wasess.core import events
from wasess.core.message import Message
from wasess.link import protobuf
from wasess.link.content import MAX_ID, MAX_NAME, content_of, words
from wasess.link.notes import read_note
from wasess.link.receipts import NOTE

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = 17
UNDECRYPTABLE = 44
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


class Untranslatable(ValueError):
    """The bytes are not the event that the number says."""


def translate(code: int, payload: bytes) -> events.Event:
    """Decode one spool frame. An event number without a meaning here gives `events.OtherEvent`; bad bytes raise `Untranslatable`."""
    if code == NOTE:
        return _note(payload)
    if code not in _TRANSLATORS:
        return events.OtherEvent(code)
    name, make = _TRANSLATORS[code]
    try:
        return make(getattr(protobuf.neonize(), name).FromString(payload))
    except (DecodeError, ValueError, OverflowError) as error:
        raise Untranslatable(f"event {code} is not a {name}: {error}") from error


def translate_state(code: int, payload: bytes) -> events.Event:
    """`translate` for whoever wants to know of the connection alone: mail is not decoded."""
    if code == MESSAGE:
        return events.MessageArrived()
    return events.OtherEvent(code) if code in _MAIL else translate(code, payload)


def _note(payload: bytes) -> events.Event:
    try:
        return read_note(payload)
    except ValueError as error:
        raise Untranslatable(f"this is no note: {error}") from error


def address(jid: Any) -> str:
    """Return a neonize.JID as text without its device number, empty for an empty one: ``491701234567@s.whatsapp.net``."""
    user, server = words(jid.User, MAX_ID), words(jid.Server, MAX_ID)
    return f"{user}@{server}" if user else server


def device_address(jid: Any) -> str:
    """Return a neonize.JID as text with its device number: ``491701234567:3@s.whatsapp.net``."""
    user, at, server = address(jid).partition("@")
    return f"{user}:{jid.Device}@{server}" if jid.Device and at else address(jid)


def inside(payload: bytes) -> bytes:
    """Return the WAWebProtobufsE2E.Message of a spooled message event, as `link.port.Link.download` wants it. Raises `Untranslatable`."""
    try:
        return bytes(protobuf.neonize().Message.FromString(payload).Message.SerializeToString())
    except (DecodeError, ValueError) as error:
        raise Untranslatable(f"this is not a Message: {error}") from error


def _message(found: Any) -> events.Event:
    content = content_of(found.Message)
    if content is None:
        return events.OtherEvent(MESSAGE)
    info = found.Info
    source = info.MessageSource
    message = Message(
        id=words(info.ID, MAX_ID),
        chat=address(source.Chat),
        sender=address(source.Sender),
        timestamp=info.Timestamp / 1000,  # milliseconds here, seconds in a send's answer
        sender_alt=address(source.SenderAlt),
        push_name=words(info.Pushname, MAX_NAME),
        from_me=source.IsFromMe,
        is_group=source.IsGroup and source.Chat.Server == "g.us",  # the library takes a list, and all statuses, for groups
        from_phone=source.IsFromMe and source.Sender.Device == 0,
        **content,
    )
    return events.MessageReceived(message)


def _undecryptable(found: Any) -> events.Event:
    source = found.Info.MessageSource
    return events.Undecryptable(words(found.Info.ID, MAX_ID), address(source.Chat), address(source.Sender))


def _pair_status(found: Any) -> events.Event:
    if found.Status == found.SUCCESS:
        return events.Paired(jid=device_address(found.ID))
    return events.PairError(words(found.Error) or "the library did not say why")


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
    9: ("ConnectFailure", lambda found: events.ConnectFailure(_reason(found), words(found.Message))),
    10: ("ClientOutdated", lambda _: events.ClientOutdated()),
    11: ("StreamError", lambda found: events.StreamError(words(found.Code))),
    12: ("Disconnected", lambda _: events.Disconnected()),
    MESSAGE: ("Message", _message),
    26: ("OfflineSyncPreview", lambda found: events.OfflineSyncPreview(found.Total, found.Message)),
    27: ("OfflineSyncCompleted", lambda found: events.OfflineSyncCompleted(found.Count)),
    UNDECRYPTABLE: ("UndecryptableMessage", _undecryptable),
}
_MAIL = {NOTE, UNDECRYPTABLE}
