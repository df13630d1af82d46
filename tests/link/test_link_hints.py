"""Lines as the library of neonize 0.5.2 printed them on the sandbox, redacted; tests/wire/test_worker_vitals.py provokes them again."""

from __future__ import annotations

import pytest

from wasess.core import events
from wasess.link.hints import hint_of as event_of
from wasess.link.hints import refusal_of
from wasess.link.logline import Entry, meaning

REDIAL = "ERROR Client: Error reconnecting after autoreconnect sleep: failed to dial whatsapp web websocket: failed to WebSocket dial: "
AGAIN = "ERROR Client: Failed to reconnect after 515 code: failed to dial whatsapp web websocket: failed to WebSocket dial: "
NO_ANSWER = 'failed to send handshake request: Get "https://web.whatsapp.com/ws/chat": '
RESET = "read tcp 127.0.0.1:53362->127.0.0.1:44311: read: connection reset by peer"


def hint_of(line):
    """What a line means: ``LEVEL name: text``."""
    level, _, rest = line.partition(" ")
    name, _, text = rest.partition(": ")
    kind, *fields = (field.decode() for field in meaning(Entry(text.encode(), level.encode(), name.encode())) or (b"",))
    return event_of(kind, fields[0]) if fields else None


@pytest.mark.parametrize("status", [429, 403, 502, 503])
def test_a_redial_is_refused(status):
    assert hint_of(f"{REDIAL}expected handshake response status code 101 but got {status}") == events.DialRefused(status)


@pytest.mark.parametrize(("phrase", "status"), [("Forbidden", 403), ("Too Many Requests", 429), ("Proxy Authentication Required", 407)])
def test_a_proxy_refuses_a_redial_with_its_phrase_alone(phrase, status):
    assert hint_of(f"{REDIAL}{NO_ANSWER}{phrase}") == events.DialRefused(status)


@pytest.mark.parametrize("why", [RESET, "EOF", "dial tcp: lookup web.whatsapp.com: no such host", "Dreadful"])
def test_a_redial_that_nobody_answered_is_no_refusal(why):
    assert hint_of(REDIAL + NO_ANSWER + why) is None


@pytest.mark.parametrize("why", [NO_ANSWER + RESET, "expected handshake response status code 101 but got 429"])
def test_after_a_515_it_tries_once(why):
    found = hint_of(AGAIN + why)
    assert isinstance(found, events.LibraryGaveUp)
    assert found.detail.endswith(why)
    assert found.detail.startswith("Failed to reconnect after 515 code: ")


def test_the_first_dials_text_tells_the_status_too():
    assert refusal_of("failed to dial whatsapp web websocket: expected handshake response status code 101 but got 429") == 429
    assert refusal_of("failed to dial whatsapp web websocket: connection refused") == 0


DOINGS = [
    "ERROR Client: Failed to store LID-PN mapping for 226104978189@lid -> 4917012350@s.whatsapp.net: ",
    "ERROR Client: Failed to save push name of 4917012350@s.whatsapp.net in device store: ",
    "ERROR Client: Failed to migrate signal store from 4917012350@s.whatsapp.net to 226104978189@lid: failed to migrate sessions: ",
    "WARN Client: Error decrypting message 3EB008D71F385415 from 4917012350@s.whatsapp.net: failed to decrypt prekey message: failed to load: ",
    "ERROR Client: Failed to get prekey for retry receipt: failed to query next prekey ID: ",
    "WARN Client: Failed to encrypt 3EB004CBE7E1CB53F74443 for 274104978182@lid: failed to process prekey bundle: failed to save identity: ",
]
LOST = [
    "file is not a database",
    "database disk image is malformed",
    "attempt to write a readonly database",
    "attempt to write a readonly database (1032)",
    "no such table: whatsmeow_sessions",
]


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("words", LOST)
def test_the_database_is_lost(doing, words):
    assert hint_of(doing + words) == events.DatabaseLost(words.partition(" (")[0])


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("words", ["database is locked", "database table is locked", "database is locked (5) (SQLITE_BUSY)"])
def test_the_database_is_busy(doing, words):
    assert hint_of(doing + words) == events.DatabaseBusy()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "WARN Client: Keepalive timed out",
        "ERROR Client: Failed to store message secret key for x: file is not a database: context canceled",
        "ERROR Client: Failed to store message secret key for x: database is locked: database is locked",
        "WARN Client: Failed to send receipt for x: file is not a database",
        "ERROR Client/Socket: Error reading from websocket: failed to get reader: failed to read frame header: " + RESET,
        'ERROR Client: Unknown stream error: <stream:error text="x: file is not a database"/>',
        "ERROR Client: Unknown stream error: x: file is not a database",
        "WARN Client: Failed to parse message: in <message notify=x>: file is not a database",
        "WARN Client: Failed to handle app state: database disk image is malformed",
        'WARN Client: Node handling took 6s for <message notify="Failed to save: database is locked" type="text"></message>',
        "INFO Client: Failed to save x: database is locked",
        "INFO " + REDIAL + "expected handshake response status code 101 but got 429",
        'ERROR Client: Unknown stream error: <error text="expected handshake response status code 101 but got 429"/>',
    ],
)
def test_nearly_all_lines_mean_nothing_and_a_stranger_can_not_make_one_mean_something(line):
    assert hint_of(line) is None


def test_a_recipient_who_was_left_out_is_told_by_the_message_id():
    def of(text):
        return meaning(Entry(text, b"WARN", b"Client"))

    assert of(b"Failed to encrypt 3EB0BB for 4917012345667@s.whatsapp.net: no session") == (b"unencrypted", b"3EB0BB", b"no session")
    assert of(b"Failed to encrypt 3EB0AA for 4917012345667:4@s.whatsapp.net: no session") == ()
    assert of(b"Error decrypting message Failed to encrypt 3EB0BB for 1@lid: x from 2@lid: no session") == ()
