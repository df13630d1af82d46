"""What a WAWebProtobufsE2E.Message says, as the fields of a `core.message.Message`.

A stranger has written it: sizes are cut, nesting has a limit, a text that is no UTF-8 and a number that means nothing here never raise.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypedDict

from wasess.core.message import Contact, Kind, Location, Media, Poll, Quote
from wasess.link import protobuf

if TYPE_CHECKING:
    from collections.abc import Callable

# Deeper nesting than WhatsApp uses; a limit, because the sender decides.
MAX_DEPTH = 8
# Characters. WhatsApp's own clients stop at 65536 for a text.
MAX_TEXT = 65536
MAX_NAME = 1024
MAX_ID = 128
# A group has 1024 members, a poll 12 options, a message 257 cards.
MAX_MENTIONS, MAX_OPTIONS, MAX_CARDS = 1024, 64, 300

# Messages that hold another message in their field ``message``.
WRAPPERS = (
    *("deviceSentMessage", "botInvokeMessage", "ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"),
    *("lottieStickerMessage", "documentWithCaptionMessage", "editedMessage", "groupMentionedMessage", "pollCreationMessageV4"),
    *("groupStatusMessage", "groupStatusMessageV2", "botForwardedMessage", "questionMessage", "questionReplyMessage", "spoilerMessage"),
    "audioStickerMessage",
)
# Alone, or with each other, they are nothing that a person would read: keys, what goes with another message, a second copy of a
# picture in a better quality, the number of pictures that follow, what own devices tell each other.
SILENT = frozenset({
    *("senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo", "associatedChildMessage"),
    *("albumMessage", "stickerSyncRmrMessage", "groupRootKeyShare", "rootSecretDistributeMessage"),
})  # fmt: skip
MEDIA_FIELDS: dict[str, Kind] = {
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
}
POLL_FIELDS = ("pollCreationMessage", "pollCreationMessageV2", "pollCreationMessageV3", "pollCreationMessageV5", "pollCreationMessageV6")
# What somebody chose of the buttons or the list of a business: as good as typed.
CHOICES = {
    "buttonsResponseMessage": "selectedDisplayText",
    "templateButtonReplyMessage": "selectedDisplayText",
    "listResponseMessage": "title",
}

_WRAPPERS = frozenset(WRAPPERS)
_ADDRESS = re.compile(r"(?P<user>[0-9A-Za-z_-]{1,64})(?:\.\d{1,3})?(?::\d{1,5})?@(?P<server>[a-z.]{1,32})")


class Content(TypedDict, total=False):
    """Fields of `core.message.Message`."""

    kind: Kind
    text: str
    about: str
    quote: Quote | None
    mentions: tuple[str, ...]
    media: Media
    location: Location
    contacts: tuple[Contact, ...]
    poll: Poll


def content_of(message: Any) -> Content | None:
    """Return what a WAWebProtobufsE2E.Message says; None when that is nothing for a person. What is not known is of the kind ``other``."""
    inner = unwrapped(message)
    names = _names(inner)
    if names and names <= SILENT:
        return None
    for name, read in _READERS.items():
        if name in names:
            part = getattr(inner, name)
            found = read(part)
            if found is not None and hasattr(part, "contextInfo"):
                found.update(_context(part.contextInfo))
            return found
    return {"kind": "other", "text": ""}


def unwrapped(message: Any) -> Any:
    """Return the message inside all its wrappers, an empty one when they are nested too deep."""
    for _ in range(MAX_DEPTH):
        wrappers = _names(message) & _WRAPPERS
        if not wrappers:
            return message
        message = getattr(message, min(wrappers, key=WRAPPERS.index)).message
    return message if not _names(message) & _WRAPPERS else protobuf.e2e().Message()


def words(value: str | bytes, most: int = MAX_TEXT) -> str:
    """Return a protobuf string cut to ``most`` characters. One that is no UTF-8 comes as bytes."""
    return (value.decode(errors="replace") if isinstance(value, bytes) else value)[:most]


def plain_address(value: str | bytes) -> str:
    """Return a written address without its device: ``491701234567:3@s.whatsapp.net`` is ``491701234567@s.whatsapp.net``; empty for no address."""
    match = _ADDRESS.fullmatch(words(value, MAX_ID))
    return f"{match['user']}@{match['server']}" if match else ""


def _names(message: Any) -> set[str]:
    """The fields that are set."""
    return {field.name for field, _ in message.ListFields()}


# --- one function for each kind of content ------------------------------------------------------------------------


def _conversation(text: Any) -> Content:
    return {"kind": "text", "text": words(text)}


def _extended(found: Any) -> Content:
    return {"kind": "text", "text": words(found.text)}


def _chosen(field: str) -> Callable[[Any], Content]:
    return lambda found: {"kind": "text", "text": words(getattr(found, field))}


def _media(kind: Kind) -> Callable[[Any], Content]:
    def read(found: Any) -> Content:
        name = words(getattr(found, "fileName", "") or getattr(found, "title", ""), MAX_NAME)
        media = Media(words(found.mimetype, MAX_NAME), found.fileLength, name, seconds=getattr(found, "seconds", 0))
        spoken = kind == "audio" and found.PTT
        return {"kind": "voice" if spoken else kind, "text": words(getattr(found, "caption", "")), "media": media}

    return read


def _location(found: Any) -> Content:
    name, address = words(found.name, MAX_NAME), words(found.address, MAX_NAME)
    text = name or address or words(found.comment)
    return _place(found, text, name=name, address=address, live=found.isLive)


def _live_location(found: Any) -> Content:
    return _place(found, words(found.caption), live=True)


def _place(found: Any, text: str, *, live: bool, name: str = "", address: str = "") -> Content:
    latitude, longitude = found.degreesLatitude, found.degreesLongitude
    if not (math.isfinite(latitude) and math.isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        return {"kind": "other", "text": text}
    return {"kind": "location", "text": text, "location": Location(latitude, longitude, name, address, live)}


def _contact(found: Any) -> Content:
    return _cards([found])


def _contacts(found: Any) -> Content:
    return _cards(found.contacts[:MAX_CARDS])


def _cards(found: Any) -> Content:
    cards = tuple(Contact(words(card.displayName, MAX_NAME), words(card.vcard)) for card in found)
    return {"kind": "contact", "text": ", ".join(card.name for card in cards)[:MAX_TEXT], "contacts": cards}


def _poll(found: Any) -> Content:
    question = words(found.name)
    options = tuple(words(option.optionName, MAX_NAME) for option in found.options[:MAX_OPTIONS])
    return {"kind": "poll", "text": question, "poll": Poll(question, options, found.selectableOptionsCount)}


def _vote(found: Any) -> Content:
    """Who votes for what is encrypted: `link.port.Link.votes`."""
    return {"kind": "vote", "text": "", "about": words(found.pollCreationMessageKey.ID, MAX_ID)}


def _reaction(found: Any) -> Content:
    return {"kind": "reaction", "text": words(found.text, MAX_NAME), "about": words(found.key.ID, MAX_ID)}


def _protocol(found: Any) -> Content | None:
    """An edit or a deletion. The other protocol messages are between devices; the enum reads as REVOKE, number 0, where it is missing or unknown."""
    about = words(found.key.ID, MAX_ID)
    if not found.HasField("type") or not about:
        return None
    if found.type == found.REVOKE:
        return {"kind": "delete", "text": "", "about": about}
    if found.type != found.MESSAGE_EDIT:
        return None
    edited = unwrapped(found.editedMessage)
    said = (content_of(edited) or {}) if not edited.HasField("protocolMessage") else {}  # an edit of an edit would nest without end
    return {"kind": "edit", "text": said.get("text", ""), "mentions": said.get("mentions", ()), "about": about}


def _invitation(found: Any) -> Content:
    return {"kind": "other", "text": words(found.caption) or words(found.groupName, MAX_NAME)}


def _context(found: Any) -> Content:
    """The message that is answered, and the people who are mentioned."""
    mentions = dict.fromkeys(plain_address(name) for name in found.mentionedJID[:MAX_MENTIONS])
    context: Content = {"mentions": tuple(filter(None, mentions))}
    if quoted := words(found.stanzaID, MAX_ID):
        context["quote"] = Quote(quoted, plain_address(found.participant), _quoted_text(found.quotedMessage))
    return context


def _quoted_text(message: Any) -> str:
    """Read without what that one quotes in turn."""
    inner = unwrapped(message)
    for name, read in _READERS.items():
        if name != "protocolMessage" and inner.HasField(name):
            found = read(getattr(inner, name))
            return found.get("text", "") if found else ""
    return ""


_READERS: dict[str, Callable[[Any], Content | None]] = {
    "protocolMessage": _protocol,
    "reactionMessage": _reaction,
    "pollUpdateMessage": _vote,
    **{name: _media(kind) for name, kind in MEDIA_FIELDS.items()},
    "locationMessage": _location,
    "liveLocationMessage": _live_location,
    "contactMessage": _contact,
    "contactsArrayMessage": _contacts,
    **dict.fromkeys(POLL_FIELDS, _poll),
    **{name: _chosen(field) for name, field in CHOICES.items()},
    "groupInviteMessage": _invitation,
    "extendedTextMessage": _extended,
    "conversation": _conversation,
}
