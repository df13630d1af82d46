"""Chat messages and what is answered to them, as all of wasess sees them: free of protobuf, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "text", "image", "video", "voice", "audio", "document", "sticker", "location", "contact", "poll", "vote", "reaction", "edit", "delete",
    "other",
]  # fmt: skip
MEDIA: frozenset[Kind] = frozenset({"image", "video", "voice", "audio", "document", "sticker"})
STATUS = "status@broadcast"
"""The chat of what people post for all their contacts. An answer written there would be a post of ours."""
BROADCAST, CHANNEL = "@broadcast", "@newsletter"
ABOUT_ANOTHER: frozenset[Kind] = frozenset({"vote", "reaction", "edit", "delete"})


@dataclass(frozen=True, slots=True)
class Media:
    """The file of a message. ``path``: where it was stored, absolute; empty when it was not, and ``problem`` says why then.

    ``size`` in bytes, ``seconds`` of a recording; ``name``: what the sender called a document: never a path to write to.
    """

    mime: str = ""
    size: int = 0
    name: str = ""
    path: str = ""
    problem: str = ""
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that one answers."""

    id: str
    sender: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Location:
    """A place, in degrees. ``live``: it was moving when it was sent."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """A card that somebody passes on."""

    name: str
    vcard: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """A question with answers to choose from; ``selectable``: how many may be chosen, 0 for any number."""

    question: str
    options: tuple[str, ...]
    selectable: int = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One incoming or own message.

    ``chat`` and ``sender`` are WhatsApp addresses as text (``491701234567@s.whatsapp.net``, ``1234@lid``,
    ``1203630@g.us``), without a device number. ``sender_alt`` is the same person in the other address space
    (phone number for a LID and the reverse), empty when WhatsApp did not say. ``timestamp`` is Unix time in seconds.
    ``from_phone``: our own phone sent it, so the phone is in use. ``session``: the user id of the session that got it.
    A status' chat is `STATUS`, what somebody sends to a list has the list's (``…@broadcast``), a channel's is ``…@newsletter``.

    ``text`` is what a person would read: the text, a caption, a reaction's emoji (empty: it was taken back), an edit's new text, a
    poll's question, a place's or a contact's name; empty where there is nothing to read.
    ``about``: the id of the message that a vote, a reaction, an edit or a deletion is about; empty elsewhere. ``votes``: the options that are
    chosen now, after a vote; SHA-256 in hex of one whose poll was never seen. ``mentions`` are addresses.
    """

    id: str
    chat: str
    sender: str
    text: str
    timestamp: float
    sender_alt: str = ""
    push_name: str = ""
    from_me: bool = False
    is_group: bool = False
    from_phone: bool = False
    kind: Kind = "text"
    session: str = ""
    about: str = ""
    quote: Quote | None = None
    mentions: tuple[str, ...] = ()
    media: Media | None = None
    location: Location | None = None
    contacts: tuple[Contact, ...] = ()
    poll: Poll | None = None
    votes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The text, so that a bot may treat a message as one."""
        return self.text

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a message the same message: chat, sender, id."""
        return self.chat, self.sender, self.id

    @property
    def answer_to(self) -> str:
        """The chat in which it is answered: its own, but what somebody sends to many at once, or posts as a status, is answered to them alone."""
        return self.sender if self.chat.endswith(BROADCAST) else self.chat

    @property
    def is_public(self) -> bool:
        """Whether it was said to nobody in particular: a status, or in a channel."""
        return self.chat == STATUS or self.chat.endswith(CHANNEL)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is to be sent: one of a text, a file (with the text as its caption), a reaction, a place, or a poll.

    ``to``: an address; empty for where the message is answered (`Message.answer_to`). ``file``: a path, or else ``data``: the bytes of a file (in
    JSON as base64). ``name`` is what the file is called (that of its path), its type follows from that unless ``mime`` says it; ``voice`` sends a recording as a voice message, ``sticker`` a WebP picture as a sticker. ``quote``: the id of
    a message of that chat; True for the message that is answered. ``react``: an emoji on the message that ``quote`` names (else the one
    that is answered); an empty text takes it back. ``mentions`` are addresses whose numbers stand in the text as ``@491701234567``.
    """

    text: str = ""
    to: str = ""
    file: str = ""
    mime: str = ""
    voice: bool = False
    sticker: bool = False
    quote: str | bool = False
    react: str | None = None
    mentions: tuple[str, ...] = ()
    location: Location | None = None
    poll: Poll | None = None
    data: bytes = b""
    name: str = ""
