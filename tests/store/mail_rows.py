"""Messages in a box, and what of them can be found on a disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasess.core.message import Message
from wasess.store.frame import frame
from wasess.store.inbox import Arrival
from wasess.store.mail import MAIL_NAME
from wasess.store.spool import SPOOL_NAME

if TYPE_CHECKING:
    from pathlib import Path

CHAT = "491701234567@s.whatsapp.net"


def message(number: int, text: str = "hello", chat: str = CHAT) -> Message:
    return Message(f"ID{number}", chat, chat, text, 0.0)


def arrivals(*numbers: int, chat: str = CHAT) -> list[Arrival]:
    return [Arrival(message(number, chat=chat), 1.0) for number in numbers]


def files_hold(folder: Path, text: str) -> list[str]:
    """The files of the mail in which a text stands, whole or not: SQLite cuts long ones into pages."""
    words = text.encode()
    return [path.name for path in sorted(folder.glob(f"{MAIL_NAME}*")) if words in path.read_bytes()]


def spool_of(folder: Path, *payloads: bytes) -> None:
    """Append events as the worker does."""
    descriptor = os.open(folder / SPOOL_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for payload in payloads:
        os.write(descriptor, frame(17, payload))
    os.close(descriptor)
