"""Whatever a stranger chooses, the library's lines are read as the library meant them, or not at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from strangers import BEGINNINGS, SENTENCES, SOMEBODY, STRANGE, WORDS

from wasess.link.logline import Entry, meaning, undelivered, unserved, unstored
from wasess.link.stanza import TAKEN, came, key_of, taken

STRANGER, GROUP = "stranger@s.whatsapp.net", "1-2@g.us"
PIECES = some.sampled_from(
    [
        *(*WORDS, *BEGINNINGS, *STRANGE, SOMEBODY, " from ", ": ", " in ", "A", "3EB0AA", "x", "\n", " "),
        *('"', '" ', '="', 'id="', ' to="', ' type="', ' participant="', ' from="', ' recipient="', ' t="', "inactive", "read", "sender"),
        *("/>", ">", "<", "<receipt ", "<list>", '<item id="', "</list>", "</receipt>", "@g.us", "@lid", "@broadcast"),
    ]
)
TEXTS = some.one_of(some.lists(PIECES, max_size=8).map("".join), some.text(max_size=30), some.sampled_from(SENTENCES))
# What the server sets: where it came from.
PLACES = some.sampled_from([(STRANGER, ""), ("stranger:3@lid", ""), (GROUP, STRANGER), ("status@broadcast", "stranger:1@lid")])
PLAIN = re.compile(r"[0-9A-Za-z._-]{1,128}")
# Errors of the library's own, at the end of its lines.
ERRORS = some.sampled_from(
    [
        "failed to parse prekey message: unsupported message version (9)",
        "failed to decrypt normal message: mismatching MAC in signal message",
        "failed to unpad message: plaintext is empty",
        "message content is not a byte slice",
        "failed to decrypt group message: no sender key for 1_1:0 in 2@g.us",
        *(f"failed to parse group message: Input too small: 3: {words}" for words in WORDS),
    ]
)


def xml(tag: str, content: str = "", **attributes: str) -> str:
    """As whatsmeow writes it (binary/xml.go): in the order of the whole texts, nothing escaped."""
    written = "".join(f" {one}" for one in sorted(f'{name.rstrip("_")}="{value}"' for name, value in attributes.items() if value))
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


@settings(max_examples=200)
@given(TEXTS.filter(bool), PLACES, some.sampled_from(["inactive", ""]))
def test_a_receipt_that_goes_out_is_known_by_its_very_id_and_sender(message_id, place, kind):
    sender = place[1] or place[0]
    found = taken(xml("receipt", id=message_id, to=place[0], participant=place[1], type=kind).encode())
    assert found is not None
    assert found.key == key_of(message_id.encode(), sender.encode())
    assert found.source == (f"{place[1]} in {place[0]}" if place[1] else place[0]).encode()
    assert found.plain == (PLAIN.fullmatch(message_id) is not None)


@given(TEXTS, PLACES, some.sampled_from(["retry", "read", "read-self", "played", "server-error"]), some.booleans())
def test_what_acknowledges_nothing_is_never_held(message_id, place, kind, inside):
    content = '<retry count="1" id="A" t="1" v="1"/>' if inside else ""
    assert taken(xml("receipt", content, id=message_id, to=place[0], participant=place[1], type=kind).encode()) is None


@pytest.mark.parametrize("kind", sorted(TAKEN - {b"", b"inactive"}))
def test_a_receipt_for_what_the_account_has_written_itself(kind):
    found = taken(xml("receipt", id="A", to="9:1@s.whatsapp.net", recipient=STRANGER, type=kind.decode()).encode())
    assert found is not None
    assert found.key == (b"A", b"9")


@pytest.mark.parametrize("place", [(STRANGER, ""), (GROUP, STRANGER)])
@pytest.mark.parametrize("items", [[], ["B"]])
def test_a_receipt_that_comes_with_a_strange_id_is_in_nobody_elses_name(place, items):
    content = f"<list>{''.join(xml('item', id=one) for one in items)}</list>" if items else ""
    for message_id, kind in ((one, kind) for one in (*STRANGE, *SENTENCES) for kind in ("", "read", one)):
        said = came(xml("receipt", content, from_=place[0], participant=place[1], id=message_id, t="1", type=kind).encode())
        assert not said or said[1] == (f"{place[1]} in {place[0]}" if place[1] else place[0]).encode()


@settings(max_examples=200)
@given(TEXTS, TEXTS, some.lists(TEXTS, max_size=2), TEXTS, PLACES)
def test_a_receipt_that_comes_is_in_its_senders_name_alone(message_id, kind, items, text, place):
    content = f"<list>{''.join(xml('item', id=one) for one in items)}</list>" if items else text
    said = came(xml("receipt", content, from_=place[0], participant=place[1], id=message_id, t="1", type=kind).encode())
    if said:
        assert said[1] == (f"{place[1]} in {place[0]}" if place[1] else place[0]).encode()
        assert all(PLAIN.fullmatch(one.decode()) for one in said[2:])
        assert re.fullmatch(rb"[0-9A-Za-z_-]{0,32}", said[0])


@settings(max_examples=200)
@given(TEXTS, some.sampled_from(["Error decrypting", "Ignoring"]), PLACES, ERRORS)
def test_a_message_that_is_missing_is_missing_in_its_senders_name_alone(message_id, verb, place, error):
    source = f"{place[1]} in {place[0]}" if place[1] else place[0]
    entry = Entry(f"{verb} message {message_id} from {source}: {error}".encode(), b"WARN", b"Client")
    found = undelivered(entry)
    assert meaning(entry) == ()
    if found:
        assert (found.id, found.source, found.why) == (message_id.encode(), source.encode(), error.encode())
        assert unstored(found) == ""
        assert PLAIN.fullmatch(message_id)
    elif PLAIN.fullmatch(message_id):
        assert verb == "Ignoring"  # for another reason than an old counter


# Every sentence of the library's in which a stranger is quoted, and where.
QUOTING = [
    "Failed to parse message: {}",
    "Failed to parse <bot> node in {}: attribute missing",
    "Failed to parse verified_name node in {}: attribute missing",
    "Message decryption for {} panicked: index out of range\ngoroutine 7",
    'Unavailable message {} from stranger@lid (type: "{}")',
    "Unhandled encrypted message (type {}) from stranger@lid",
    "Handler for {} failed",
    "Failed to store message secret key for {}: context canceled",
    "Failed to store message secret key for {}: database is locked",
    "Failed to send acknowledgement for message {}: websocket not connected",
    "Failed to send acknowledgement for protocol message {}: websocket not connected",
    "Failed to send receipt for {}: websocket not connected",
    "Failed to send retry receipt for {}: websocket not connected",
    "Failed to send request for unavailable message {} to phone: websocket not connected",
    "Failed to handle retry receipt for 1@lid/{} from stranger@lid: couldn't find message {}",
    "Not sending any more retry receipts for {}",
    "Dropping retry request from {} for stranger@lid: internal retry counter is 11",
    "Failed to create sender key distribution message to include in retry of {} in 1@g.us to stranger@lid: {}",
    "Failed to parse receipt: failed to parse read receipt attrs: [{}]",
    "Failed to parse user node {} in grouped receipt: {}",
    "Unexpected node in grouped receipt participants: {}",
    "Failed to parse user ID '{}' in push name history sync: {}",
    "Failed to parse {}'s verified name details: {}",
    "Unknown stream error: {}",
    "Unknown connect failure: {}",
    "Temporary ban connect failure: {}",
    "Node handling took 6s for {}",
    "Node handling is taking long for {} (started 30s ago)",
    "Continuing handling of {} in background as it's taking too long",
    "Unrecognized chat presence state {}",
    "privacy_token notification contained unexpected <{}> tag",
    "Failed to unmarshal JSON in mex event: {}",
    "Failed to handle code pair notification: {}",
    "Ignoring passkey notification from non-server JID {}",
]


@settings(max_examples=400)
@given(some.sampled_from(QUOTING), TEXTS, some.sampled_from([b"WARN", b"ERROR"]))
def test_no_line_that_quotes_a_stranger_means_anything(sentence, text, level):
    entry = Entry(sentence.replace("{}", text).encode(), level, b"Client")
    assert meaning(entry) == ()
    assert undelivered(entry) is None
    assert unserved(entry) is None or sentence.startswith("Failed to handle retry receipt")


@settings(max_examples=200)
@given(TEXTS, PLACES, ERRORS | TEXTS.map("couldn't find message {}".format))
def test_a_message_that_is_asked_for_is_asked_for_by_whoever_asks(message_id, place, error):
    chat, sender = place[0], place[1] or place[0]
    found = unserved(Entry(f"Failed to handle retry receipt for {chat}/{message_id} from {sender}: {error}".encode(), b"ERROR", b"Client"))
    if found:
        assert found == (message_id.encode(), sender.encode(), chat.encode())
        assert PLAIN.fullmatch(message_id)
    else:
        assert not PLAIN.fullmatch(message_id) or " from " in error


def test_whoever_asks_is_known_by_device():
    line = b"Failed to handle retry receipt for 1@g.us/3EB0AB from 491.0:23@s.whatsapp.net: couldn't find message 3EB0AB"
    assert unserved(Entry(line, b"ERROR", b"Client")) == (b"3EB0AB", b"491.0:23@s.whatsapp.net", b"1@g.us")
    assert unserved(Entry(line, b"WARN", b"Client")) is None
