"""What tests look at: messages as phones understood them, and what companions told the server. Plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal[
    "text", "image", "video", "voice", "audio", "document", "sticker", "location", "contact", "poll", "vote", "reaction", "edit", "delete",
    "other",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """The file of a message, after the phone has fetched and decrypted it.

    ``size`` and ``sha256`` (hex) are of what was decrypted; ``problem`` says why nothing was. ``name``: what a document is called.
    """

    mime: str = ""
    size: int = 0
    sha256: str = ""
    name: str = ""
    problem: str = ""


@dataclass(slots=True)  # never changed, but made a thousand times a second: frozen ones take twice as long to make
class Received:
    """A message a phone decrypted.

    ``sender`` is a phone number, ``group`` a group id or empty; ``own`` marks the copy of a message that one of the account's own
    linked devices sent (``to`` names the chat then).

    ``text`` is what a person reads: a text, a caption, a reaction's emoji (empty: taken back), an edit's new text, a poll's question, the
    name of a place or of contacts. ``about``: the id of the message that a vote, reaction, edit or deletion is about. ``quote``: the id
    of the message that is answered. ``mentions`` are addresses. ``options`` are a poll's, ``votes`` those chosen (SHA-256 in hex where the
    poll is unknown). ``place``: latitude and longitude.
    """

    id: str
    sender: str
    text: str
    at: float
    group: str = ""
    own: bool = False
    to: str = ""
    kind: Kind = "text"
    about: str = ""
    quote: str = ""
    mentions: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()
    place: tuple[float, float] | None = None
    file: File | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON-ready values."""
        facts = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"id": facts.pop("id"), "from": facts.pop("sender"), **facts}


@dataclass(frozen=True, slots=True)
class Seen:
    """A companion said that a message was ``read`` or ``played`` (``read-self``: it told only its own account). Addresses are text."""

    id: str
    chat: str
    sender: str
    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Typing:
    """A companion said what its user does in a chat: ``composing`` (``media`` "audio": recording) or ``paused``."""

    chat: str
    state: str
    media: str
    at: float


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of history: Unix time, user id of the linked device (or ``-``), what happened, and a detail without secrets."""

    at: float
    user: str
    what: str
    detail: str = ""
