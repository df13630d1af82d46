"""What people send besides plain texts.

Each maker returns a `Content` for `Sandbox.post`, as WhatsApp's own clients write it::

    box.post("carol", "alice", content.text("yes", quote=message_id))
    box.post("carol", "club", content.file("image", data, caption="look"))

Message ids may be of anything that was ever written in the sandbox, by a contact or by a companion; an id that nobody wrote is a
`ValueError`. Any function from a `Chat` to a `waE2E.Message` is a content: write one for what no client would send.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from wasess.sandbox import attachment, ballot
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasess.sandbox.cdn import Behind
    from wasess.sandbox.chat import Chat

Content = Callable[["Chat"], Any]
"""From a chat to a `waE2E.Message`."""

FIELDS: Final = {
    **{kind: f"{kind}Message" for kind in ("image", "video", "audio", "document", "sticker")},
    "voice": "audioMessage",
}
MIMES: Final = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "voice": "audio/ogg; codecs=opus",
    "document": "application/octet-stream",
    "sticker": "image/webp",
}
"""The kinds of files, and what each is when the caller does not say."""


def text(words: str, *, quote: str = "", mentions: Iterable[str] = ()) -> Content:
    """A text that may answer a message (by its id) and mention people (by name or number; the text should say ``@NUMBER``)."""

    def make(chat: Chat) -> Any:
        context = chat.context(quote, mentions)
        return waE2E.Message(extendedTextMessage={"text": words, "contextInfo": context}) if context else waE2E.Message(conversation=words)

    return make


def reaction(emoji: str, to: str) -> Content:
    """A reaction to a message; an empty one takes it back."""
    return lambda chat: waE2E.Message(reactionMessage={"key": chat.key(to), "text": emoji, "senderTimestampMS": _milliseconds()})


def edit(words: str, of: str, *, wrapped: bool = False) -> Content:
    """New words for a message. ``wrapped``: in an ``editedMessage``, as some clients send it."""

    def make(chat: Chat) -> Any:
        edited = {"key": chat.key(of), "type": "MESSAGE_EDIT", "editedMessage": {"conversation": words}, "timestampMS": _milliseconds()}
        message = waE2E.Message(protocolMessage=edited)
        return waE2E.Message(editedMessage={"message": message}) if wrapped else message

    return make


def deletion(of: str) -> Content:
    """A message is deleted for everyone: an own one, or, as an admin, another's."""
    return lambda chat: waE2E.Message(protocolMessage={"key": chat.key(of), "type": "REVOKE"})


def location(latitude: float, longitude: float, *, name: str = "", address: str = "") -> Content:
    """A place."""
    place = {"degreesLatitude": latitude, "degreesLongitude": longitude, "name": name, "address": address}
    return lambda _chat: waE2E.Message(locationMessage=place)


def live_location(latitude: float, longitude: float, *, caption: str = "", number: int = 1) -> Content:
    """Where somebody is now, the ``number``-th time."""
    place = {"degreesLatitude": latitude, "degreesLongitude": longitude, "caption": caption, "sequenceNumber": number}
    return lambda _chat: waE2E.Message(liveLocationMessage=place)


def cards(**numbers: str) -> Content:
    """Contact cards by name: one, or several in one message."""
    made = [{"displayName": name, "vcard": vcard(name, number)} for name, number in numbers.items()]
    if len(made) == 1:
        return lambda _chat: waE2E.Message(contactMessage=made[0])
    return lambda _chat: waE2E.Message(contactsArrayMessage={"displayName": f"{len(made)} contacts", "contacts": made})


def vcard(name: str, number: str) -> str:
    """A card as phones write it."""
    return f"BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\nTEL;type=CELL;waid={number}:+{number}\nEND:VCARD"


def poll(question: str, *options: str, choices: int = 1) -> Content:
    """A poll of which ``choices`` options may be chosen, 0 for any number. A single choice is of another version, as in the clients."""
    asked = {"name": question, "options": [{"optionName": option} for option in options], "selectableOptionsCount": choices}
    field = "pollCreationMessageV3" if choices == 1 else "pollCreationMessage"

    def make(_chat: Chat) -> Any:
        return waE2E.Message(**{field: asked, "messageContextInfo": {"messageSecret": secrets.token_bytes(ballot.SECRET_BYTES)}})

    return make


def vote(to: str, *options: str) -> Content:
    """The sender's vote in a poll, a contact's or a companion's; it replaces an earlier one, and no option takes that back."""

    def make(chat: Chat) -> Any:
        update = {"pollCreationMessageKey": chat.key(to), "vote": chat.vote(to, options), "senderTimestampMS": _milliseconds()}
        return waE2E.Message(pollUpdateMessage=update)

    return make


def file(
    kind: str, data: bytes, *, caption: str = "", mime: str = "", name: str = "", quote: str = "", mentions: Iterable[str] = ()
) -> Content:
    """A file of a kind of `MIMES`, uploaded anew for each message. ``name``: what a document is called.

    Raises:
        ValueError: no such kind, or a caption where that kind has none.
    """
    if kind not in FIELDS:
        raise ValueError(f"no file is a {kind!r}; there are {', '.join(FIELDS)}")
    if caption and kind not in ("image", "video", "document"):
        raise ValueError(f"a {kind} has no caption")
    return lambda chat: _wrapped(kind, _attached(chat, kind, data, mime), caption, name, chat.context(quote, mentions))


def forged_file(
    kind: str, data: bytes, *, behind: Behind | None = None, claimed: int | None = None, plain: bool = False, **fields: object
) -> Content:
    """A file that is not what its message says.

    ``behind``: what the file server adds. ``claimed``: its length, the right one by default. ``plain``: not encrypted, as in a channel (which is
    no lie). ``fields``: of the message's part, set as they are given (``fileSHA256=bytes(32)``, ``directPath="//x"``); None takes one out.
    """

    def make(chat: Chat) -> Any:
        part = _attached(chat, kind, data, "", behind, plain=plain)
        if claimed is not None:
            part.fileLength = claimed
        for name, value in fields.items():
            part.ClearField(name)
            if value is not None:
                setattr(part, name, value)
        return waE2E.Message(**{FIELDS[kind]: part})

    return make


def _attached(chat: Chat, kind: str, data: bytes, mime: str, behind: Behind | None = None, *, plain: bool = False) -> Any:
    sealed = attachment.seal(data, kind)
    path = chat.cdn.put(data if plain else sealed.body, behind)
    part = getattr(waE2E.Message(), FIELDS[kind])
    part.mimetype, part.fileLength, part.fileSHA256 = mime or MIMES[kind], sealed.size, sealed.file_hash
    part.directPath = path
    if not plain:
        part.mediaKey, part.fileEncSHA256 = sealed.media_key, sealed.body_hash
    part.URL, part.mediaKeyTimestamp = chat.cdn.url(path), int(time.time())
    if kind == "voice":
        part.PTT = True
    return part


def _wrapped(kind: str, part: Any, caption: str, name: str, context: Any) -> Any:
    if caption:
        part.caption = caption
    if name and kind == "document":
        part.fileName = part.title = name
    if context is not None:
        part.contextInfo.CopyFrom(context)
    message = waE2E.Message(**{FIELDS[kind]: part})
    return waE2E.Message(documentWithCaptionMessage={"message": message}) if kind == "document" and caption else message


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
