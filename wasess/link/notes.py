"""Reads what the worker itself has spooled beside the library's events: see `link.receipts` for the forms."""

from __future__ import annotations

from wasess.core import events
from wasess.store.gaps import Cause

_MISSED = {b"ignored": Cause.OLD_COUNTER, b"unread": Cause.UNDECRYPTABLE, b"silent": Cause.NO_EVENT}
_RECEIPTS = {b"": "delivered", b"inactive": "delivered", b"played": "read"}


def read_note(payload: bytes) -> events.Event:
    """Return the event behind a note; one that nobody knows is an `events.OtherEvent`. Raises `ValueError` when it is cut off."""
    kind, *fields = payload.split(b"\0")
    if kind == b"sending":
        key, message_id = fields
        return events.Departing(_text(key), _text(message_id))
    if kind == b"receipt":
        receipt, source, *ids = fields
        return events.ReceiptCame(_RECEIPTS.get(receipt, _text(receipt)), _source(source)[1], tuple(_text(one) for one in ids if one))
    if kind == b"asked":
        message_id, sender, chat = fields
        return events.AskedAgain(_text(message_id), _bare(_text(chat)), _bare(_text(sender)), _device(_text(sender)))
    if kind == b"spool-lost":
        before, after = fields
        return events.SpoolLost(int(before), int(after))
    if kind in _MISSED:
        message_id, source = fields
        return events.Missed(_text(message_id), *_source(source), _MISSED[kind])
    return events.OtherEvent(0)


def _source(text: bytes) -> tuple[str, str]:
    """The chat and the sender, without a device number, in ``SENDER`` or ``SENDER in CHAT``."""
    sender, _, chat = _text(text).partition(" in ")
    plain = _bare(sender)
    return _bare(chat) or plain, plain


def _bare(address: str) -> str:
    user, at, server = address.partition("@")
    return f"{user.partition(':')[0].partition('.')[0]}{at}{server}"


def _device(address: str) -> int:
    number = address.partition("@")[0].partition(":")[2]
    return int(number) if number.isdecimal() else 0


def _text(field: bytes) -> str:
    return field.decode(errors="replace")
