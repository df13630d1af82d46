"""What a phone makes of a decrypted message: which kind it is, what there is to read, and what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasess.sandbox import attachment
from wasess.sandbox.archive import polls_in
from wasess.sandbox.observed import File, Kind, Received
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import Callable

REVOKE: Final = waE2E.ProtocolMessage.REVOKE
MESSAGE_EDIT: Final = waE2E.ProtocolMessage.MESSAGE_EDIT

KINDS: Final[dict[str, Kind]] = {
    "conversation": "text",
    "extendedTextMessage": "text",
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
    "locationMessage": "location",
    "liveLocationMessage": "location",
    "contactMessage": "contact",
    "contactsArrayMessage": "contact",
    "reactionMessage": "reaction",
    "pollUpdateMessage": "vote",
    "pollCreationMessage": "poll",
    **{f"pollCreationMessageV{version}": "poll" for version in range(2, 7)},
}
"""By the field of `waE2E.Message` that is set."""

NOT_FOR_PEOPLE: Final = {
    "senderKeyDistributionMessage",
    "messageContextInfo",
    "protocolMessage",
    "fastRatchetKeySenderKeyDistributionMessage",
}


class Reader:
    """``fetch`` gets an encrypted file by its direct path (KeyError: it is not there); ``votes`` opens a vote for the one who cast it."""

    def __init__(self, fetch: Callable[[str], bytes], votes: Callable[[Any, Any], tuple[str, ...]]) -> None:
        self._fetch = fetch
        self._votes = votes

    def details(self, message: Any, voter: Any) -> dict[str, Any] | None:
        """The fields of `Received` that say what the message is; None when a phone shows nothing of it."""
        field, part = _main_part(message)
        if field == "protocolMessage":
            return _change(part)
        if not field:
            return None
        details: dict[str, Any] = {"kind": "voice" if getattr(part, "PTT", False) else KINDS.get(field, "other"), "text": _text(part)}
        if field in KINDS and details["kind"] != "vote":
            details |= _context(part)
        return {**details, **self._more(message, details["kind"], part, voter)}

    def _more(self, message: Any, kind: Kind, part: Any, voter: Any) -> dict[str, Any]:
        if kind == "vote":
            return {"about": part.pollCreationMessageKey.ID, **self._opened(part, voter)}
        if kind == "poll":
            return {"options": tuple(option.optionName for poll in polls_in(message) for option in poll.options)}
        if kind == "reaction":
            return {"about": part.key.ID}
        if kind == "location":
            return {"place": (part.degreesLatitude, part.degreesLongitude)}
        return {"file": self._file(part, kind)} if kind in attachment.KEY_WORDS else {}

    def _opened(self, update: Any, voter: Any) -> dict[str, Any]:
        try:
            return {"votes": self._votes(update, voter)}
        except ValueError as problem:
            return {"text": f"({problem})"}

    def _file(self, part: Any, kind: str) -> File:
        name = getattr(part, "fileName", "")
        try:
            body = self._fetch(part.directPath)
            sealed = attachment.Sealed(body, part.mediaKey, part.fileSHA256, part.fileEncSHA256, part.fileLength)
            data = attachment.unseal(sealed, kind)
        except KeyError:
            return File(part.mimetype, name=name, problem="not found")
        except attachment.Damaged as problem:
            return File(part.mimetype, name=name, problem=str(problem))
        return File(part.mimetype, len(data), part.fileSHA256.hex(), name)


def received(details: dict[str, Any], message_id: str, sender: str, at: float, **where: Any) -> Received:
    """A phone's note of a message."""
    return Received(message_id, sender, details.pop("text"), at, **where, **details)


def _main_part(message: Any) -> tuple[str, Any]:
    """The field that says what a message is, and its value; nothing for a message that is for devices alone."""
    fields = {field.name: value for field, value in message.ListFields()}
    known = next((name for name in fields if name in KINDS), "") or next((name for name in fields if name not in NOT_FOR_PEOPLE), "")
    if not known and fields.get("protocolMessage") is not None:
        known = "protocolMessage"
    return known, fields.get(known)


def _change(part: Any) -> dict[str, Any] | None:
    if part.type == MESSAGE_EDIT:
        edited = part.editedMessage
        _, inner = _main_part(edited)
        return {"kind": "edit", "about": part.key.ID, "text": _text(inner)}
    return {"kind": "delete", "about": part.key.ID, "text": ""} if part.type == REVOKE and part.HasField("key") else None


def _text(part: Any) -> str:
    """What there is to read in a part, whatever that part calls it."""
    if isinstance(part, str):
        return part
    names = ("text", "caption", "name", "displayName")
    return str(next((value for name in names if isinstance(value := getattr(part, name, ""), str) and value), ""))


def _context(part: Any) -> dict[str, Any]:
    context = getattr(part, "contextInfo", None)
    return {"quote": context.stanzaID, "mentions": tuple(context.mentionedJID)} if context is not None else {}
