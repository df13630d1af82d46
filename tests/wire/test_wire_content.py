"""All kinds of messages, both ways, through the real library: what a contact's phone understands, and what the bot is told."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from typing import TYPE_CHECKING, Any

import pytest

from wasess.core import events
from wasess.core.message import Contact, Location, Message, Poll, Quote, Reply
from wasess.errors import UsageError
from wasess.link.attachment import MAX_FILE
from wasess.sandbox import content
from wasess.store.outgoing_files import ANYWHERE, OutgoingFiles

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Companion

    from wasess.sandbox import Sandbox

pytestmark = pytest.mark.wire

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
VOICE = b"OggS" + bytes(24) + b"OpusHead" + bytes(1000)
STICKER = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(400)


async def newest(alice: Companion, count: int) -> Message:
    event = await alice.event(events.MessageReceived, count=count)
    assert isinstance(event, events.MessageReceived)
    return event.message


def event_of(alice: Companion, message: Message) -> bytes:
    """The spooled event of a message, as the inbox keeps it."""
    return alice.payloads[message.id]


async def test_what_a_contact_sends_is_what_the_bot_gets(alice: Companion, box: Sandbox) -> None:
    carol = box.contact("carol")
    box.post("carol", "alice", content.text("who comes?"))
    first = await newest(alice, 1)
    own = str(box.phone("alice").jid)
    posts = [
        content.text("me, @you", quote=first.id, mentions=["alice"]),
        content.reaction("👍", first.id),
        content.reaction("", first.id),
        content.edit("who else comes?", first.id),
        content.edit("who now?", first.id, wrapped=True),
        content.deletion(first.id),
        content.location(52.5, 13.4, name="Kiosk", address="Weg 1"),
        content.live_location(52.5, 13.4, caption="here"),
        content.cards(Dave="4917012345667"),
        content.poll("When?", "now", "later"),
        content.file("image", PICTURE, caption="look", mime="image/png"),
        content.file("voice", VOICE),
        content.file("document", b"a,b", caption="the table", mime="text/csv", name="a.csv"),
        content.file("sticker", STICKER),
    ]
    for post in posts:
        box.post("carol", "alice", post)
    await newest(alice, 1 + len(posts))
    found = [event.message for event in alice.of(events.MessageReceived) if isinstance(event, events.MessageReceived)][1:]
    kinds = "text reaction reaction edit edit delete location location contact poll image voice document sticker"
    assert [message.kind for message in found] == kinds.split()
    answer, taken, back, edit, wrapped, gone, place, live, card, poll, picture, voice, table, sticker = found
    assert (answer.text, answer.quote, answer.mentions) == ("me, @you", Quote(first.id, str(carol.jid), "who comes?"), (own,))
    assert [message.text for message in (taken, back, edit, wrapped, gone)] == ["👍", "", "who else comes?", "who now?", ""]
    assert {message.about for message in (taken, back, edit, wrapped, gone)} == {first.id}
    assert place.location == Location(52.5, 13.4, "Kiosk", "Weg 1")
    assert (live.location, live.text) == (Location(52.5, 13.4, live=True), "here")
    assert card.contacts == (Contact("Dave", content.vcard("Dave", "4917012345667")),)
    assert poll.poll == Poll("When?", ("now", "later"), 1)
    assert picture.media is not None
    assert (picture.text, picture.media.mime, picture.media.size) == ("look", "image/png", len(PICTURE))
    assert table.media is not None
    assert (table.text, table.media.name) == ("the table", "a.csv")
    for message, data in ((picture, PICTURE), (voice, VOICE), (table, b"a,b"), (sticker, STICKER)):
        await _fetched(alice, message, data)


async def _fetched(alice: Companion, message: Message, data: bytes) -> None:
    folder = alice.session.folder / "media"
    folder.mkdir(mode=0o700, exist_ok=True)
    await alice.link.download(event_of(alice, message), folder / message.id, MAX_FILE)
    assert (folder / message.id).read_bytes() == data
    assert stat.S_IMODE((folder / message.id).stat().st_mode) == 0o600


async def test_a_phone_understands_what_the_bot_sends(alice: Companion, box: Sandbox, tmp_path: Path) -> None:
    carol = box.contact("carol")
    box.say("carol", "alice", "hello")
    hello = (await alice.text("hello")).message
    place = Location(52.5, 13.4, "Kiosk", "Weg 1")
    poll = Poll("When?", ("now", "later"), 1)
    (tmp_path / "picture.png").write_bytes(PICTURE)
    (tmp_path / "voice.ogg").write_bytes(VOICE)
    (tmp_path / "sticker.webp").write_bytes(STICKER)
    (tmp_path / "a.csv").write_bytes(b"a,b")
    replies = [
        Reply("hi"),
        Reply("hi @you", quote=True, mentions=(str(carol.jid),)),
        Reply(react="👍"),
        Reply(react=""),
        Reply(location=place),
        Reply(poll=poll),
        Reply("look", file=str(tmp_path / "picture.png"), quote=True),
        Reply(file=str(tmp_path / "voice.ogg"), voice=True),
        Reply(file=str(tmp_path / "sticker.webp"), sticker=True),
        Reply("the table", file=str(tmp_path / "a.csv")),
    ]
    files = OutgoingFiles(alice.session.folder)
    kept = [files.copy(reply.file, ANYWHERE) if reply.file else "" for reply in replies]
    ids = [await alice.link.send(hello.chat, reply, hello, kept=copy) for reply, copy in zip(replies, kept, strict=True)]
    got = carol.received
    assert [message.id for message in got] == ids
    assert [message.kind for message in got] == [
        "text",
        "text",
        "reaction",
        "reaction",
        "location",
        "poll",
        "image",
        "voice",
        "sticker",
        "document",
    ]
    plain, quoting, taken, back, there, asked, picture, voice, sticker, table = got
    assert (plain.text, plain.quote) == ("hi", "")
    assert (quoting.text, quoting.quote, quoting.mentions) == ("hi @you", hello.id, (str(carol.jid),))
    assert [(message.about, message.text) for message in (taken, back)] == [(hello.id, "👍"), (hello.id, "")]
    assert (there.place, there.text) == ((52.5, 13.4), "Kiosk")
    assert (asked.text, asked.options) == ("When?", ("now", "later"))
    assert (picture.text, picture.quote, table.text) == ("look", hello.id, "the table")
    files = [message.file for message in (picture, voice, sticker, table)]
    assert [(file.mime, file.problem) for file in files if file] == [
        ("image/png", ""), ("audio/ogg; codecs=opus", ""), ("image/webp", ""), ("text/csv", "")
    ]  # fmt: skip
    sums = [hashlib.sha256(data).hexdigest() for data in (PICTURE, VOICE, STICKER, b"a,b")]
    assert [file.sha256 for file in files if file] == sums
    assert [message.kind for message in box.phone("alice").received if message.own] == [message.kind for message in got]


async def test_the_key_of_a_message_is_in_the_spool_before_the_message_goes_out(alice: Companion, box: Sandbox) -> None:
    await alice.stop()
    await alice.start()  # a pairing's log is not listened to
    await alice.event(events.Connected, count=2)
    chat = str(box.contact("carol").jid)
    first, second = await asyncio.gather(*(alice.link.send(chat, Reply(key), None, key) for key in ("one", "two")))
    unnamed = await alice.link.send(chat, Reply("three"))
    await alice.event(events.Departing, count=2)
    assert set(alice.of(events.Departing)) == {events.Departing("one", first), events.Departing("two", second)}
    assert unnamed not in {first, second, ""}


async def test_votes_in_our_poll_and_in_a_contacts(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "hello")
    chat = (await alice.text("hello")).message.chat
    ours = await alice.link.send(chat, Reply(poll=Poll("When?", ("now", "later"), 0)))
    box.post("carol", "alice", content.vote(ours, "now", "later"))
    vote = await newest(alice, 2)
    assert (vote.kind, vote.about) == ("vote", ours)
    assert await alice.link.votes(event_of(alice, vote)) == _hashes("now", "later")
    theirs = box.post("carol", "alice", content.poll("Where?", "here", "there"))
    box.post("carol", "alice", content.vote(theirs, "there"))
    box.post("carol", "alice", content.vote(theirs))
    back = await newest(alice, 5)
    there = [event.message for event in alice.of(events.MessageReceived) if isinstance(event, events.MessageReceived)][3]
    assert await alice.link.votes(event_of(alice, there)) == _hashes("there")
    assert await alice.link.votes(event_of(alice, back)) == ()


def _hashes(*options: str) -> tuple[str, ...]:
    return tuple(hashlib.sha256(option.encode()).hexdigest() for option in options)


async def test_in_a_group_quotes_and_reactions_name_who_wrote(alice: Companion, box: Sandbox) -> None:
    group = box.group("club", "carol", "alice", "dave")
    box.say_in_group("carol", "club", "first")
    first = (await alice.text("first")).message
    await alice.link.send(str(group.jid), Reply("second", quote=True), first)
    await alice.link.send(str(group.jid), Reply(react="👍"), first)
    quoting, reaction = box.contact("dave").received[-2:]
    assert (quoting.text, quoting.quote, reaction.kind, reaction.about) == ("second", first.id, "reaction", first.id)
    with pytest.raises(UsageError, match="known who wrote"):
        await alice.link.send(str(group.jid), Reply("third", quote=first.id))


async def test_a_contact_sees_that_it_was_read_and_that_an_answer_is_written(alice: Companion, box: Sandbox) -> None:
    ids = [box.say("carol", "alice", text) for text in ("one", "two")]
    message = (await alice.text("two")).message
    await alice.link.mark_read(message.chat, message.sender, ids)
    await alice.link.typing(message.chat, on=True)
    await alice.link.typing(message.chat, on=False)
    device: Any = box.state.device("alice")
    await box.until(lambda: len(device.typing) == 2)
    assert [(typing.chat, typing.state) for typing in device.typing] == [(message.chat, "composing"), (message.chat, "paused")]
    assert sorted(seen.id for seen in device.seen) == sorted(ids)
    assert {(seen.chat, seen.kind) for seen in device.seen} == {(message.chat, "read")}
