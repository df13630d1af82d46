"""What a message says, whoever wrote it. The bytes of the last tests are made up by field, so that they get past the decoder."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.message import Contact, Location, Media, Poll, Quote
from wasess.link import content
from wasess.link.content import MAX_DEPTH, MAX_ID, MAX_TEXT, WRAPPERS, content_of, plain_address
from wasess.link.protobuf import e2e

KEY = {"remoteJID": "4917012345667@s.whatsapp.net", "fromMe": False, "ID": "3EB0AA"}


def make(**fields):
    return e2e().Message(**fields)


def said(**fields):
    return content_of(make(**fields))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"conversation": "look"}, "look"),
        ({"extendedTextMessage": {"text": "look"}}, "look"),
        *(({media: {"caption": "look"}}, "look") for media in ("imageMessage", "videoMessage", "documentMessage")),
        ({"ephemeralMessage": {"message": {"viewOnceMessageV2": {"message": {"conversation": "look"}}}}}, "look"),
        ({"deviceSentMessage": {"destinationJID": "x", "message": {"conversation": "look"}}}, "look"),
        ({"buttonsResponseMessage": {"selectedDisplayText": "look"}}, "look"),
        ({"listResponseMessage": {"title": "look"}}, "look"),
        ({"audioMessage": {"seconds": 3}}, ""),
        ({}, ""),
    ],
)
def test_every_place_where_a_text_can_stand(fields, text):
    assert said(**fields)["text"] == text


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_in_a_wrapper_is_what_was_sent(wrapper):
    found = said(**{wrapper: {"message": {"imageMessage": {"caption": "look"}}}})
    assert (found["kind"], found["text"]) == ("image", "look")


def test_a_sender_can_not_nest_without_end():
    message = make(conversation="deep")
    for _ in range(MAX_DEPTH):
        message = make(ephemeralMessage={"message": message})
    assert content_of(message)["text"] == "deep"
    assert content_of(make(ephemeralMessage={"message": message})) == {"kind": "other", "text": ""}


def test_an_edit_of_an_edit_ends():
    message = make(conversation="deep")
    for _ in range(30):
        message = make(protocolMessage={"key": KEY, "type": "MESSAGE_EDIT", "editedMessage": message})
    assert (content_of(message)["kind"], content_of(message)["text"]) == ("edit", "")


@pytest.mark.parametrize(
    ("field", "part", "kind", "media"),
    [
        ("imageMessage", {"mimetype": "image/jpeg", "fileLength": 9}, "image", Media("image/jpeg", 9)),
        ("videoMessage", {"mimetype": "video/mp4", "fileLength": 9, "seconds": 3}, "video", Media("video/mp4", 9, seconds=3)),
        ("ptvMessage", {"mimetype": "video/mp4", "seconds": 3}, "video", Media("video/mp4", seconds=3)),
        ("audioMessage", {"mimetype": "audio/mpeg", "seconds": 3}, "audio", Media("audio/mpeg", seconds=3)),
        ("audioMessage", {"mimetype": "audio/ogg; codecs=opus", "PTT": True}, "voice", Media("audio/ogg; codecs=opus")),
        ("documentMessage", {"mimetype": "text/csv", "fileName": "a.csv", "title": "b"}, "document", Media("text/csv", name="a.csv")),
        ("documentMessage", {"title": "b"}, "document", Media(name="b")),
        ("stickerMessage", {"mimetype": "image/webp"}, "sticker", Media("image/webp")),
    ],
)
def test_a_file_says_what_it_is(field, part, kind, media):
    found = said(**{field: part})
    assert (found["kind"], found["media"]) == (kind, media)


def test_the_message_that_is_answered_and_the_people_who_are_mentioned():
    context = {
        "stanzaID": "3EB0BB",
        "participant": "4917012345667:3@s.whatsapp.net",
        "quotedMessage": {"imageMessage": {"caption": "look", "contextInfo": {"stanzaID": "3EB0CC"}}},
        "mentionedJID": ["4917012345667@s.whatsapp.net", "226536219395389:4@lid", "nobody", "226536219395389@lid"],
    }
    quote = Quote("3EB0BB", "4917012345667@s.whatsapp.net", "look")
    for fields in ({"extendedTextMessage": {"text": "yes"}}, {"imageMessage": {"caption": "yes"}}, {"locationMessage": {"name": "yes"}}):
        ((name, part),) = fields.items()
        found = said(**{name: part | {"contextInfo": context}})
        assert (found["text"], found["quote"]) == ("yes", quote)
        assert found["mentions"] == ("4917012345667@s.whatsapp.net", "226536219395389@lid")


def test_what_is_about_another_message_names_it():
    edited = {"key": KEY, "type": "MESSAGE_EDIT", "editedMessage": {"extendedTextMessage": {"text": "better"}}}
    reaction = {"kind": "reaction", "text": "👍", "about": "3EB0AA"}
    assert said(reactionMessage={"key": KEY, "text": "👍"}) == reaction
    assert said(reactionMessage={"key": KEY, "text": ""}) == reaction | {"text": ""}
    assert said(pollUpdateMessage={"pollCreationMessageKey": KEY}) == {"kind": "vote", "text": "", "about": "3EB0AA"}
    assert said(protocolMessage={"key": KEY, "type": "REVOKE"}) == {"kind": "delete", "text": "", "about": "3EB0AA"}
    edit = {"kind": "edit", "text": "better", "about": "3EB0AA", "mentions": ()}
    assert said(protocolMessage=edited) == edit
    assert said(editedMessage={"message": {"protocolMessage": edited}}) == edit
    captioned = edited | {"editedMessage": {"imageMessage": {"caption": "better"}}}
    assert said(protocolMessage=captioned) == edit


def test_places():
    place = {"degreesLatitude": 52.5, "degreesLongitude": 13.4, "name": "Kiosk", "address": "Weg 1"}
    assert said(locationMessage=place)["location"] == Location(52.5, 13.4, "Kiosk", "Weg 1")
    assert said(locationMessage=place)["text"] == "Kiosk"
    live = said(liveLocationMessage={"degreesLatitude": -1.5, "degreesLongitude": 2, "caption": "here"})
    assert (live["kind"], live["text"], live["location"]) == ("location", "here", Location(-1.5, 2, live=True))


@pytest.mark.parametrize("latitude", [math.nan, math.inf, 91, -1e300])
def test_a_place_that_is_nowhere_is_no_place(latitude):
    found = said(locationMessage={"degreesLatitude": latitude, "degreesLongitude": 1})
    assert found["kind"] == "other"
    assert "location" not in found


def test_cards():
    one, two = {"displayName": "Carol", "vcard": "BEGIN:VCARD"}, {"displayName": "Dave"}
    assert said(contactMessage=one)["contacts"] == (Contact("Carol", "BEGIN:VCARD"),)
    both = said(contactsArrayMessage={"displayName": "2 contacts", "contacts": [one, two]})
    assert (both["kind"], both["text"], len(both["contacts"])) == ("contact", "Carol, Dave", 2)


@pytest.mark.parametrize("version", ["", "V2", "V3", "V5", "V6"])
def test_every_version_of_a_poll(version):
    asked = {"name": "When?", "options": [{"optionName": "now"}, {"optionName": "then"}], "selectableOptionsCount": 1}
    found = said(**{f"pollCreationMessage{version}": asked})
    assert (found["kind"], found["text"], found["poll"]) == ("poll", "When?", Poll("When?", ("now", "then"), 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"senderKeyDistributionMessage": {"groupID": "1@g.us"}},
        {"senderKeyDistributionMessage": {"groupID": "1@g.us"}, "messageContextInfo": {"messageSecret": b"x"}},
        {"protocolMessage": {"type": "APP_STATE_SYNC_KEY_SHARE", "key": KEY}},
        {"protocolMessage": {"type": "HISTORY_SYNC_NOTIFICATION"}},
        {"protocolMessage": {"type": "EPHEMERAL_SETTING", "ephemeralExpiration": 86400, "key": KEY}},
        {"protocolMessage": {"type": "REVOKE"}},  # of nothing
        {"protocolMessage": {"key": KEY}},  # reads as REVOKE, which nobody wrote
        {"deviceSentMessage": {"message": {"protocolMessage": {"type": "PEER_DATA_OPERATION_REQUEST_MESSAGE"}}}},
        {"albumMessage": {"expectedImageCount": 2}},
        {"associatedChildMessage": {"message": {"imageMessage": {"mimetype": "image/jpeg"}}}},
    ],
)
def test_what_is_not_for_a_person_is_no_message(fields):
    assert said(**fields) is None


def test_a_protocol_message_of_an_unknown_type_deletes_nothing():
    known = make(protocolMessage={"key": KEY, "type": "REVOKE"}).SerializeToString()
    unknown = e2e().Message.FromString(known.replace(b"\x10\x00", b"\x10\x63"))
    assert content_of(unknown) is None


def test_a_key_beside_a_text_hides_nothing():
    assert said(senderKeyDistributionMessage={"groupID": "1@g.us"}, conversation="hello")["text"] == "hello"


@pytest.mark.parametrize(
    "fields", [{}, {"eventMessage": {"name": "party"}}, {"pinInChatMessage": {"key": KEY}}, {"encReactionMessage": {}}]
)
def test_what_is_not_known_is_other(fields):
    assert said(**fields) == {"kind": "other", "text": ""}


def test_sizes_are_cut():
    many = [f"{number}@lid" for number in range(5000)]
    found = said(extendedTextMessage={"text": "x" * 100_000, "contextInfo": {"mentionedJID": many, "stanzaID": "x" * 1000}})
    assert len(found["text"]) == MAX_TEXT
    assert len(found["mentions"]) == content.MAX_MENTIONS
    assert len(found["quote"].id) == MAX_ID
    cards = said(contactsArrayMessage={"contacts": [{"displayName": "x" * 9999, "vcard": "y" * 99_999}] * 1000})
    assert len(cards["contacts"]) == content.MAX_CARDS
    assert len(cards["text"]) <= MAX_TEXT
    poll = said(pollCreationMessage={"options": [{"optionName": "x" * 9999}] * 1000})["poll"]
    assert (len(poll.options), len(poll.options[0])) == (content.MAX_OPTIONS, content.MAX_NAME)


def test_a_text_that_is_no_utf8_is_read_as_far_as_it_goes():
    message = e2e().Message.FromString(
        make(conversation="caf\N{LATIN SMALL LETTER E WITH ACUTE}").SerializeToString().replace(b"\xc3", b"\xff")
    )
    assert content_of(message) == {"kind": "text", "text": "caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"}


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("4917012345667@s.whatsapp.net", "4917012345667@s.whatsapp.net"),
        ("4917012345667:12@s.whatsapp.net", "4917012345667@s.whatsapp.net"),
        ("4917012345667.0:12@s.whatsapp.net", "4917012345667@s.whatsapp.net"),
        ("1203630-1500@g.us", "1203630-1500@g.us"),
        (b"1@lid", "1@lid"),
        ("", ""),
        ("1@lid\n", ""),
        ("a b@lid", ""),
        ("@lid", ""),
        (b"\xff@lid", ""),
    ],
)
def test_addresses_are_without_a_device(written, plain):
    assert plain_address(written) == plain


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _long(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


@st.composite
def wire(draw, descriptor, depth=4):
    """A message of this type as somebody with bad intentions may write it: any fields, any number of times, with any content."""
    made = b""
    fields = list(descriptor.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=3)) if fields else ():
        if field.message_type is not None:
            made += _long(field.number, draw(wire(field.message_type, depth - 1)) if depth else b"")
        elif field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
            made += _long(field.number, draw(st.binary(max_size=12) | st.sampled_from([b"3EB0AA", b"1:2@lid", b"\xff"])))
        elif field.type in {field.TYPE_DOUBLE, field.TYPE_FIXED64, field.TYPE_SFIXED64}:
            made += _varint(field.number << 3 | 1) + draw(st.binary(min_size=8, max_size=8))
        elif field.type in {field.TYPE_FLOAT, field.TYPE_FIXED32, field.TYPE_SFIXED32}:
            made += _varint(field.number << 3 | 5) + draw(st.binary(min_size=4, max_size=4))
        else:
            made += _varint(field.number << 3) + _varint(draw(st.sampled_from([0, 1, 14, 99, 2**32 - 1, 2**64 - 1])))
    return made


KNOWN = st.sampled_from([*content._READERS, *WRAPPERS])


@given(st.data(), st.lists(KNOWN, min_size=1, max_size=2))
def test_nothing_that_a_stranger_writes_raises(data, names):
    """And what is made of it can be written down as JSON, in any language that has no NaN."""
    fields = e2e().Message.DESCRIPTOR.fields_by_name
    written = b""
    for name in names:
        kind = fields[name].message_type
        written += _long(fields[name].number, data.draw(wire(kind)) if kind else data.draw(st.binary(max_size=20)))
    found = content_of(e2e().Message.FromString(written))
    if found is not None:
        plain = {name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value for name, value in found.items()}
        json.dumps(plain, allow_nan=False, default=dataclasses.asdict).encode()
        assert found["kind"]
        assert len(found["text"]) <= MAX_TEXT
