"""A chat message as the rest of wasess sees it, free of protobuf."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One incoming or own message.

    ``chat`` and ``sender`` are WhatsApp addresses as text (``491701234567@s.whatsapp.net``, ``1234@lid``,
    ``1203630@g.us``), without a device number. ``sender_alt`` is the same person in the other address space
    (phone number for a LID and the reverse), empty when WhatsApp did not say. ``timestamp`` is Unix time in seconds.
    ``text`` is empty for anything that carries no text. ``from_phone``: our own phone sent it, so the phone is in use.
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

    def __str__(self) -> str:
        """The text, so that a bot may treat a message as one."""
        return self.text

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a message the same message: chat, sender, id."""
        return self.chat, self.sender, self.id
