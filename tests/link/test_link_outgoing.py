from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.message import STATUS, Location, Media, Message, Poll, Quote, Reply
from wasess.errors import UsageError
from wasess.link.attachment import Attachment
from wasess.link.content import content_of
from wasess.link.outgoing import FIELDS, UPLOADS, compose, with_upload
from wasess.link.protobuf import e2e, neonize

CHAT, GROUP = "4917012345667@s.whatsapp.net", "120363000000000001@g.us"
HELLO = Message("3EB0AA", CHAT, CHAT, "hello", 1.0)
IN_GROUP = Message("3EB0AA", GROUP, "226536219395389@lid", "hello", 1.0, is_group=True)


def said(to, reply, quoted=None, attachment=None):
    """What a phone would read."""
    return content_of(e2e().Message.FromString(compose(to, reply, quoted, attachment).SerializeToString()))


def attached(tmp_path, kind, mime="application/octet-stream"):
    return Attachment(tmp_path / "file", kind, mime, "file", 9)


def test_a_plain_text_is_a_conversation():
    assert compose(CHAT, Reply("grüß dich")) == e2e().Message(conversation="grüß dich")


def test_a_text_may_answer_and_mention():
    found = said(CHAT, Reply("hi @1", quote=True, mentions=("1:3@lid",)), HELLO)
    assert (found["kind"], found["text"], found["mentions"]) == ("text", "hi @1", ("1@lid",))
    assert found["quote"] == Quote("3EB0AA", CHAT, "hello")


def test_a_message_that_is_not_known_can_be_quoted_by_its_id():
    assert said(CHAT, Reply("hi", quote="3EB0AA"))["quote"] == Quote("3EB0AA", CHAT)
    with pytest.raises(UsageError, match="known who wrote"):
        compose(GROUP, Reply("hi", quote="3EB0AA"))
    with pytest.raises(UsageError, match="not the one"):
        compose(CHAT, Reply("hi", quote="3EB0BB"), HELLO)


def test_a_message_is_not_quoted_unless_that_was_asked_for():
    assert "quote" not in said(CHAT, Reply("hi"), HELLO)


def test_an_answer_to_a_status_says_where_that_stands():
    status = Message("3EB0AA", STATUS, "1@lid", "at the sea", 1.0)
    context = compose("1@lid", Reply("nice", quote=True), status).extendedTextMessage.contextInfo
    assert (context.remoteJID, context.stanzaID, context.participant) == (STATUS, "3EB0AA", "1@lid")
    key = compose("1@lid", Reply(react="👍"), status).reactionMessage.key
    assert (key.remoteJID, key.ID, key.participant, key.fromMe) == (STATUS, "3EB0AA", "1@lid", False)


def test_a_quoted_picture_is_one_in_the_box_above_the_answer():
    picture = Message("3EB0AA", CHAT, CHAT, "look", 1.0, kind="image", media=Media("image/png"))
    quoted = compose(CHAT, Reply("nice", quote=True), picture).extendedTextMessage.contextInfo.quotedMessage
    assert (quoted.imageMessage.caption, quoted.imageMessage.mimetype) == ("look", "image/png")


@pytest.mark.parametrize(
    ("to", "target", "key"),
    [
        (CHAT, HELLO, {"fromMe": False}),
        (CHAT, Message("3EB0AA", CHAT, "me@lid", "x", 1.0, from_me=True), {"fromMe": True}),
        (GROUP, IN_GROUP, {"fromMe": False, "participant": "226536219395389@lid"}),
        (GROUP, Message("3EB0AA", GROUP, "me@lid", "x", 1.0, from_me=True), {"fromMe": True}),
    ],
)
def test_a_reaction_names_its_message(to, target, key):
    for emoji in ("👍", ""):
        found = compose(to, Reply(react=emoji), target).reactionMessage
        assert found.key == type(found.key)(remoteJID=to, ID="3EB0AA", **key)
        assert found.HasField("text")
        assert found.text == emoji


def test_a_place_and_a_poll():
    place, poll = Location(52.5, 13.4, "Kiosk", "Weg 1"), Poll("When?", ("now", "later"), 0)
    assert said(CHAT, Reply(location=place))["location"] == place
    message = compose(CHAT, Reply(poll=poll, quote=True), HELLO)
    assert (content_of(message)["poll"], content_of(message)["quote"].id) == (poll, "3EB0AA")
    secrets = {compose(CHAT, Reply(poll=poll)).messageContextInfo.messageSecret for _ in range(3)}
    assert [len(secret) for secret in secrets] == [32, 32, 32]


@pytest.mark.parametrize("kind", FIELDS)
def test_a_file_gets_what_its_upload_returned(kind, tmp_path):
    uploaded = neonize().UploadResponse(
        url="https://x/v/1.enc", DirectPath="/v/1.enc", Handle="", MediaKey=b"k", FileEncSHA256=b"e", FileSHA256=b"s", FileLength=9
    )
    caption = "look" if kind in {"image", "video", "document"} else ""
    message = with_upload(compose(CHAT, Reply(caption, file="x", quote=True), HELLO, attached(tmp_path, kind, "a/b")), uploaded)
    found = content_of(message)
    assert (found["kind"], found["text"], found["quote"].id) == (kind, caption, "3EB0AA")
    assert (found["media"].mime, found["media"].size, found["media"].name) == ("a/b", 9, "file" if kind == "document" else "")
    inner = message.documentWithCaptionMessage.message if kind == "document" else message
    part = getattr(inner, FIELDS[kind])
    assert (part.directPath, part.mediaKey, part.fileEncSHA256, part.fileSHA256) == ("/v/1.enc", b"k", b"e", b"s")
    assert part.mediaKeyTimestamp
    assert kind in UPLOADS


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(), "nothing to send"),
        (Reply("x" * 65537), "65537 characters"),
        (Reply("half \ud83d"), "half a character"),
        (Reply(react="\ud83d", quote="3EB0AA"), "half a character"),
        (Reply("hi", react="👍"), "one message"),
        (Reply(react="👍", location=Location(0, 0)), "one message"),
        (Reply(react="👍"), "no message to answer"),
        (Reply(react="x" * 33, quote="3EB0AA"), "one emoji"),
        (Reply("hi", quote=True), "no message to answer"),
        (Reply("hi", mentions=("Bob",)), "not a WhatsApp address"),
        (Reply(location=Location(91, 0)), "latitude"),
        (Reply(location=Location(math.nan, 0)), "latitude"),
        (Reply(location=Location(1, 1, live=True)), "moves"),
        (Reply(poll=Poll("", ("a", "b"))), "question"),
        (Reply(poll=Poll("x" * 256, ("a", "b"))), "question"),
        (Reply(poll=Poll("When?", ("a",))), "2 to 12 options"),
        (Reply(poll=Poll("When?", ("a", "a "))), "differ"),
        (Reply(poll=Poll("When?", tuple("abcdefghijklm"))), "2 to 12 options"),
        (Reply(poll=Poll("When?", ("a", ""))), "1 to 100 characters"),
        (Reply(poll=Poll("When?", ("a", "b"), 3)), "2 options"),
    ],
)
def test_what_can_not_be_sent_says_why(reply, words):
    with pytest.raises(UsageError, match=words):
        compose(CHAT, reply)


TEXT = st.text(st.characters(), max_size=50)  # halves of characters, too


@given(TEXT, st.text(max_size=20), st.none() | TEXT, st.lists(st.text(max_size=20), max_size=3))
def test_whatever_a_bot_answers_is_a_message_or_a_usage_error(text, quote, react, mentions):
    try:
        message = compose(CHAT, Reply(text, quote=quote, react=react, mentions=tuple(mentions)), None)
    except UsageError:
        return
    assert content_of(e2e().Message.FromString(message.SerializeToString())) is not None
