"""Events that the library tells nobody about and only logs. Its texts are pinned by tests/wire/test_worker_vitals.py.

A line may quote what a stranger wrote, so only its beginning and its end are believed, where the library's own words stand.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from wasess.core import events

if TYPE_CHECKING:
    from wasess.core.events import Event

# whatsmeow client.go autoReconnect, connectionevents.go handleStreamError.
_REDIAL = re.compile(r"ERROR Client: Error reconnecting after autoreconnect sleep: (?P<why>.*)")
_GAVE_UP = re.compile(r"ERROR Client: (?P<what>Failed to reconnect after 515 code: .*)")
# coder/websocket dial.go; net/http says of a proxy's refusal nothing but its phrase.
_STATUS = re.compile(r"expected handshake response status code 101 but got (?P<status>[1-5]\d\d)$")
_PROXY = re.compile(r'failed to send handshake request: Get "[^"]*": (?P<phrase>[A-Z][A-Za-z -]*)$')
_PHRASES = {status.phrase: status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}

# SQLite's own words stand at the end of what could not be done (a second number is its extended code).
_DATABASE = re.compile(
    r"(?:WARN|ERROR) (?:Client|Database)\S*: (?:Failed to (?!parse|handle)|Error decrypting message ).*: "
    r"(?P<words>database (?:table )?is locked|database disk image is malformed|file is not a database|"
    r"attempt to write a readonly database|no such table: whatsmeow_\w+)(?: \(.*\))?$"
)


def hint_of(line: str) -> Event | None:
    """Return what a log line of the library (``LEVEL name: text``) means for its session, None for nearly all of them."""
    if match := _REDIAL.match(line):
        status = refusal_of(match["why"])
        return events.DialRefused(status) if status else None
    if match := _GAVE_UP.match(line):
        return events.LibraryGaveUp(match["what"])
    if match := _DATABASE.match(line):
        return events.DatabaseBusy() if "locked" in match["words"] else events.DatabaseLost(match["words"])
    return None


def refusal_of(text: str) -> int:
    """Return the HTTP status with which a dial was refused, by WhatsApp or by a proxy, from the library's text; 0 when it was not that."""
    if match := _STATUS.search(text):
        return int(match["status"])
    return _PHRASES.get(match["phrase"], 0) if (match := _PROXY.search(text)) else 0
