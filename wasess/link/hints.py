"""Events that the library tells nobody about and only logs: what `logline.meaning` has read, as an event. Also what a refused dial says."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from wasess.core import events

if TYPE_CHECKING:
    from wasess.core.events import Event

# coder/websocket dial.go; net/http says of a proxy's refusal nothing but its phrase.
_STATUS = re.compile(r"expected handshake response status code 101 but got (?P<status>[1-5]\d\d)$")
_PROXY = re.compile(r'failed to send handshake request: Get "[^"]*": (?P<phrase>[A-Z][A-Za-z -]*)$')
_PHRASES = {status.phrase: status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}


def hint_of(kind: str, text: str) -> Event | None:
    """Return what the library's words mean for its session, see `logline.meaning` for ``kind``; None when they mean nothing."""
    if kind == "redial":
        status = refusal_of(text)
        return events.DialRefused(status) if status else None
    if kind == "gave-up":
        return events.LibraryGaveUp(text)
    if kind == "database":
        return events.DatabaseBusy() if "locked" in text else events.DatabaseLost(text)
    return None


def refusal_of(text: str) -> int:
    """Return the HTTP status with which a dial was refused, by WhatsApp or by a proxy, from the library's text; 0 when it was not that."""
    if match := _STATUS.search(text):
        return int(match["status"])
    return _PHRASES.get(match["phrase"], 0) if (match := _PROXY.search(text)) else 0
