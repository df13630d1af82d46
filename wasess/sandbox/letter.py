"""A message on its way to companions: what stands on the outside, which the server can read, and the padded text for the inside."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wasess.sandbox import envelope
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from wasess.sandbox.chat import Addressing
    from wasess.sandbox.nodes import Attr
    from wasess.sandbox.state import Account, Group

MEDIA_TYPES: Final = {
    "imageMessage": "image",
    "stickerMessage": "sticker",
    "documentMessage": "document",
    "contactMessage": "vcard",
    "contactsArrayMessage": "contact_array",
    "liveLocationMessage": "livelocation",
}
EDITED, REVOKED, REVOKED_BY_ADMIN = "1", "7", "8"


@dataclass(frozen=True, slots=True)
class Stamp:
    """The attributes that follow from a message's kind (whatsmeow send.go, getTypeFromMessage and its neighbours).

    ``hidden``: one that can't be decrypted leaves no trace in the chat. ``poll``: "creation" or "vote".
    """

    type: str = "text"
    media: str = ""
    edit: str = ""
    hidden: bool = False
    poll: str = ""

    def inside(self) -> dict[str, Attr]:
        """The attributes of an ``<enc>``."""
        if self is TEXT:
            return {}
        return {key: value for key, value in (("mediatype", self.media), ("decrypt-fail", "hide" if self.hidden else "")) if value}


TEXT: Final = Stamp()


@dataclass(slots=True)  # never changed, but made a thousand times a second: frozen ones take twice as long to make
class Letter:
    """What a contact wrote, kept so that it can be sent again when a companion asks for it."""

    id: str
    author: Account
    padded: bytes
    via: Addressing
    stamp: Stamp = TEXT
    group: Group | None = None
    distribution: bytes = b""
    shared: bytes = b""

    def headers(self) -> dict[str, Attr]:
        """The attributes of its ``<message>``."""
        author, by_lid = self.author, self.via == "lid"
        address, other = (author.lid_jid, author.jid) if by_lid else (author.jid, author.lid_jid)
        headers: dict[str, Attr] = {"id": self.id, "type": self.stamp.type, "t": str(int(time.time())), "notify": author.name}
        if self.stamp.edit:
            headers["edit"] = self.stamp.edit
        if self.group is None:
            return {"from": address, "sender_pn" if by_lid else "sender_lid": other, **headers}
        other_key = "participant_pn" if by_lid else "participant_lid"
        return {"from": self.group.jid, "participant": address, other_key: other, "addressing_mode": self.via, **headers}


def new_id() -> str:
    """A message id."""
    return f"3EB0{secrets.token_hex(9).upper()}"


def stamp_of(message: Any) -> Stamp:
    """The stamp of a `waE2E.Message`."""
    inner = envelope.unwrap(message)
    fields = {field.name for field, _ in inner.ListFields()}
    if "reactionMessage" in fields:
        return Stamp("reaction", edit="" if inner.reactionMessage.text else REVOKED, hidden=True)
    if "pollUpdateMessage" in fields:
        return Stamp("poll", hidden=True, poll="vote")
    if any(name.startswith("pollCreationMessage") for name in fields):
        return Stamp("poll", poll="creation")
    if "protocolMessage" in fields and (edit := _edit_of(inner.protocolMessage)):
        return Stamp(edit=edit, hidden=True)
    media = _media_type(inner, fields)
    return Stamp("media", media) if media else TEXT


def _media_type(message: Any, fields: set[str]) -> str:
    if "audioMessage" in fields:
        return "ptt" if message.audioMessage.PTT else "audio"
    if "videoMessage" in fields:
        return "gif" if message.videoMessage.gifPlayback else "video"
    return next((MEDIA_TYPES[name] for name in fields if name in MEDIA_TYPES), "")


def _edit_of(change: Any) -> str:
    if change.type == waE2E.ProtocolMessage.MESSAGE_EDIT:
        return EDITED
    if change.type == waE2E.ProtocolMessage.REVOKE and change.HasField("key"):
        return REVOKED if change.key.fromMe else REVOKED_BY_ADMIN
    return ""
