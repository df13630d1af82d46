"""What the real library sends, as the sandbox's phones understand it; files in both directions; receipts; and the faults of all that."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from bare_companion import BareCompanion, jid_bytes
from documents import complaints

from wasess.cli.result import Result, success_envelope
from wasess.sandbox import Sandbox, content
from wasess.sandbox.observed import File, Received
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from wasess.sandbox.jid import Jid

pytestmark = [pytest.mark.wire, pytest.mark.asyncio(loop_scope="module")]

DATA = bytes(range(256)) * 300
FIELDS = {"image": "imageMessage", "video": "videoMessage", "audio": "audioMessage", "document": "documentMessage"}
CHATS = pytest.mark.parametrize("chat", ["carol", "group"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BareCompanion]:
    folder = tmp_path_factory.mktemp("companions")
    async with Sandbox(folder / "sandbox", claimed_pre_keys=50) as box:
        companion = BareCompanion(box, folder, "alice")
        await companion.pair()
        box.group("group", "carol", "alice", "dave")
        yield companion
        await companion.stop()


@pytest.fixture
def box(alice: BareCompanion) -> Iterator[Sandbox]:
    yield alice.box
    alice.box.clear("alice")


def address(box: Sandbox, chat: str) -> Jid:
    return box.group(chat).jid if chat == "group" else box.contact(chat).jid


def got(box: Sandbox, message_id: str, name: str = "carol") -> Received:
    return next(message for message in box.phone(name).received if message.id == message_id)


async def attached(alice: BareCompanion, kind: str, **more: Any) -> Any:
    """A message with an uploaded file."""
    answer = (await alice.upload(kind, DATA)).UploadResponse
    said = {"URL": answer.url, "directPath": answer.DirectPath, "mediaKey": answer.MediaKey, "fileEncSHA256": answer.FileEncSHA256}
    return waE2E.Message(**{FIELDS[kind]: {**said, "fileSHA256": answer.FileSHA256, "fileLength": answer.FileLength, **more}})


async def talk(alice: BareCompanion, box: Sandbox, chat: str) -> tuple[str, str, str, str, str]:
    """The ids of a message of carol's, alice's reply to it and her reaction; her edit and her deletion of that reply."""
    first = box.post("carol", chat if chat == "group" else "alice", content.text("hello"))
    to, carol = address(box, chat), box.contact("carol")
    context = {
        "stanzaID": first,
        "participant": str(carol.jid),
        "quotedMessage": {"conversation": "hello"},
        "mentionedJID": [str(carol.jid)],
    }
    reply = await alice.sent(to, waE2E.Message(extendedTextMessage={"text": "hi @carol", "contextInfo": context}))
    theirs, own = {"remoteJID": str(to), "fromMe": False, "ID": first}, {"remoteJID": str(to), "fromMe": True, "ID": reply}
    reaction = await alice.sent(to, waE2E.Message(reactionMessage={"key": theirs, "text": "👍"}))
    edited = {"protocolMessage": {"key": own, "type": "MESSAGE_EDIT", "editedMessage": {"conversation": "hi"}}}
    edit = await alice.sent(to, waE2E.Message(editedMessage={"message": edited}))
    deletion = await alice.sent(to, waE2E.Message(protocolMessage={"key": own, "type": "REVOKE"}))
    return first, reply, reaction, edit, deletion


async def things(alice: BareCompanion, to: Jid) -> tuple[str, str, str]:
    """The ids of a place, a card and a poll that alice sends."""
    place = await alice.sent(to, waE2E.Message(locationMessage={"degreesLatitude": 1.5, "degreesLongitude": -2, "name": "here"}))
    card = await alice.sent(to, waE2E.Message(contactMessage={"displayName": "Erin", "vcard": content.vcard("Erin", "1")}))
    asked = {"name": "Tea?", "options": [{"optionName": "green"}, {"optionName": "black"}]}
    poll = await alice.sent(to, waE2E.Message(pollCreationMessageV3=asked, messageContextInfo={"messageSecret": bytes(32)}))
    return place, card, poll


@CHATS
async def test_replies_mentions_and_what_is_about_a_message(alice: BareCompanion, box: Sandbox, chat: str) -> None:
    first, reply, reaction, edit, deletion = await talk(alice, box, chat)
    carol = box.contact("carol")
    seen = got(box, reply)
    assert (seen.kind, seen.text, seen.quote, seen.mentions) == ("text", "hi @carol", first, (str(carol.jid),))
    found = [(m.kind, m.about, m.text) for m in (got(box, reaction), got(box, edit), got(box, deletion))]
    assert found == [("reaction", first, "👍"), ("edit", reply, "hi"), ("delete", reply, "")]
    assert [m.kind for m in box.phone("alice").received[-4:] if m.own] == ["text", "reaction", "edit", "delete"]
    assert box.phone("alice").copies[-1] == carol.texts[-1] == "hi @carol"


@CHATS
async def test_places_cards_and_polls(alice: BareCompanion, box: Sandbox, chat: str) -> None:
    place, card, poll = await things(alice, address(box, chat))
    assert (got(box, place).kind, got(box, place).place, got(box, place).text) == ("location", (1.5, -2.0), "here")
    assert (got(box, card).kind, got(box, card).text) == ("contact", "Erin")
    assert (got(box, poll).kind, got(box, poll).text, got(box, poll).options) == ("poll", "Tea?", ("green", "black"))


@CHATS
@pytest.mark.parametrize("kind", FIELDS)
async def test_a_file(alice: BareCompanion, box: Sandbox, kind: str, chat: str) -> None:
    before = box.cdn.transfers.get(("alice", "upload"), 0)
    more = {"document": {"fileName": "a.bin"}, "audio": {"PTT": True}}.get(kind, {"caption": "look"})
    sent = await alice.sent(address(box, chat), await attached(alice, kind, mimetype="x/y", **more))
    seen = got(box, sent)
    assert (seen.kind, seen.text) == ("voice" if kind == "audio" else kind, more.get("caption", ""))
    assert seen.file == File("x/y", len(DATA), hashlib.sha256(DATA).hexdigest(), more.get("fileName", ""))
    assert box.cdn.transfers["alice", "upload"] == before + 1  # through the proxy: no_media is False


async def test_a_file_that_the_phone_can_not_open(alice: BareCompanion, box: Sandbox) -> None:
    message = await attached(alice, "image", mimetype="image/png")
    message.imageMessage.mediaKey = bytes(32)
    wrong = await alice.sent(address(box, "carol"), message)
    message.imageMessage.directPath = "/v/nowhere?x"
    gone = await alice.sent(address(box, "carol"), message)
    assert [got(box, sent).file.problem for sent in (wrong, gone)] == ["wrong MAC", "not found"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("http_status", "download", "404"), "404"),
        (("http_status", "download", "410"), "410"),
        (("garbage", "download"), "hash"),
    ],
)
async def test_a_file_that_is_gone_or_wrong(alice: BareCompanion, box: Sandbox, words: tuple[str, ...], error: str) -> None:
    _, event = await alice.message(box.post("carol", "alice", content.file("image", DATA)))
    box.fault("alice", *words)
    answer = await alice.download(event.Message)
    assert error in answer.Error
    box.clear("alice")
    assert (await alice.download(event.Message)).Binary == DATA


async def test_a_cut_download_is_tried_again_by_the_library_and_a_slow_one_arrives(alice: BareCompanion, box: Sandbox) -> None:
    _, event = await alice.message(box.post("carol", "alice", content.file("image", DATA)))
    box.fault("alice", "reset", "download", "count=1")
    assert (await alice.download(event.Message)).Binary == DATA
    box.fault("alice", "delay", "download", "0.3")
    began = time.monotonic()
    assert (await alice.download(event.Message)).Binary == DATA
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("words", [("http_status", "upload", "507"), ("reset", "upload"), ("fin", "upload"), ("garbage", "upload")])
async def test_an_upload_that_fails(alice: BareCompanion, box: Sandbox, words: tuple[str, ...]) -> None:
    box.fault("alice", *words)
    assert (await alice.upload("image", DATA)).Error
    box.clear("alice")
    assert not (await alice.upload("image", DATA)).Error


async def test_a_stalled_download_ends_when_the_companion_does_not_wait(alice: BareCompanion, box: Sandbox) -> None:
    _, event = await alice.message(box.post("carol", "alice", content.file("image", DATA)))
    box.fault("alice", "stall", "download", "count=1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alice.download(event.Message), 0.3)
    assert (await alice.download(event.Message)).Binary == DATA  # another one is not held up


@CHATS
async def test_read_receipts_and_typing_of_the_companion(alice: BareCompanion, box: Sandbox, chat: str) -> None:
    to = address(box, chat)
    one, two = (box.post("carol", chat if chat == "group" else "alice", content.text(text)) for text in ("one", "two"))
    await alice.message(two)
    place, carol, device = jid_bytes(to), jid_bytes(box.contact("carol").jid), box.state.device("alice")
    await alice.call("SendChatPresence", place, len(place), 0, 1)
    await alice.call("SendChatPresence", place, len(place), 1, 0)
    await alice.call("MarkRead", f"{one} {two}".encode(), int(time.time()), place, len(place), carol, len(carol), b"read")
    await box.until(lambda: len(device.seen) >= 2 and device.seen[-1].id == two)
    writer = str(box.contact("carol").jid) if chat == "group" else ""
    assert [(seen.id, seen.chat, seen.sender, seen.kind) for seen in device.seen[-2:]] == [(m, str(to), writer, "read") for m in (one, two)]
    assert [(t.chat, t.state, t.media) for t in device.typing[-2:]] == [(str(to), "composing", "audio"), (str(to), "paused", "")]


@CHATS
async def test_receipts_of_contacts(alice: BareCompanion, box: Sandbox, chat: str) -> None:
    group = chat if chat == "group" else ""
    carol = {box.contact("carol").number, box.contact("carol").lid}
    one, two = [await alice.sent(address(box, chat), waE2E.Message(conversation=text)) for text in ("one", "two")]
    await alice.until(lambda: {two} <= {receipt[-1] for receipt in alice.receipts()})
    box.receipt("carol", "alice", one, two, group=group)
    box.receipt("carol", "alice", two, kind="played", group=group)
    await alice.until(lambda: alice.receipts()[-1][0] == "PLAYED")
    read, played = alice.receipts()[-2:]
    assert (read[0], *read[2:]) == ("READ", one, two)
    assert played[2:] == (two,)
    assert {read[1], played[1]} <= carol
    await box.until(lambda: not box.state.device("alice").pending)
    box.receipt("carol", "alice", group=group)
    await alice.until(lambda: alice.receipts()[-1][-1] == two and alice.receipts()[-1][0] == "READ" and one in alice.receipts()[-1])


@CHATS
async def test_a_phone_that_is_off_gets_everything_when_it_is_on_again(alice: BareCompanion, box: Sandbox, chat: str) -> None:
    box.switch_phone("carol", on=False)
    sent = [await alice.sent(address(box, chat), waE2E.Message(conversation=text)) for text in ("one", "two")]
    assert not [m for m in box.contact("carol").received if m.id in sent]
    before = len(box.contact("carol").delivery_receipts)
    box.switch_phone("carol", on=True)
    assert [m.text for m in box.contact("carol").received[-2:]] == ["one", "two"]
    assert box.contact("carol").delivery_receipts[before:] == sent
    expected = {box.contact("carol").number, box.contact("carol").lid}
    await alice.until(lambda: len([r for r in alice.receipts() if r[0] == "DELIVERED" and r[1] in expected and r[-1] in sent]) == 2)


async def test_a_message_that_is_never_acknowledged_and_one_that_is_late(alice: BareCompanion, box: Sandbox) -> None:
    device, carol = box.state.device("alice"), box.contact("carol")
    for words, text, arrives in ((("no-ack",), "taken", True), (("no-ack", "lost"), "lost", False)):
        box.fault("alice", *words, "count=1")
        before = len(device.sent_ids), len(carol.texts)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(alice.send(carol.jid, waE2E.Message(conversation=text)), 0.3)
        assert (len(device.sent_ids) - before[0], len(carol.texts) - before[1]) == (arrives, arrives)
        box.fault("alice", "rst")  # the library sends the frame again, and goes on
        await box.until(lambda text=text: carol.texts[-1] == text)
    box.fault("alice", "late-ack", "0.3")
    began = time.monotonic()
    await alice.sent(carol.jid, waE2E.Message(conversation="late"))
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("lid_addressed", [False, True])
async def test_another_session_in_the_group_hears_it_too(alice: BareCompanion, box: Sandbox, lid_addressed: bool) -> None:
    bob = BareCompanion(box, box.directory.parent, f"bob-{lid_addressed}".lower())
    await bob.pair()
    group = box.group(f"two sessions {lid_addressed}", "alice", bob.user, "carol", lid_addressed=lid_addressed)
    for text in ("one", "two"):
        message, _ = await bob.message(await alice.sent(group.jid, waE2E.Message(conversation=text)))
        assert (message.text, message.chat, message.is_group, message.from_me) == (text, str(group.jid), True, False)
    message, _ = await alice.message(await bob.sent(group.jid, await attached(bob, "image", caption="look")))
    assert (message.text, message.sender) == ("look", str(box.phone(bob.user).lid_jid if lid_addressed else box.phone(bob.user).jid))
    assert [m.text for m in box.contact("carol").received[-3:]] == ["one", "two", "look"]
    await bob.stop()


async def test_all_that_was_seen_is_told_as_its_schema_says(alice: BareCompanion, box: Sandbox) -> None:
    first, *_ = await talk(alice, box, "carol")
    await things(alice, address(box, "carol"))
    await alice.sent(address(box, "carol"), await attached(alice, "image", mimetype="x/y"))
    place = jid_bytes(address(box, "carol"))
    await alice.call("SendChatPresence", place, len(place), 0, 1)
    await alice.call("MarkRead", first.encode(), int(time.time()), place, len(place), place, len(place), b"read")
    device = box.state.device("alice")
    await box.until(lambda: device.seen and device.seen[-1].id == first and device.typing)
    facts = json.loads(json.dumps(box.state.facts()))
    assert complaints("sandbox-state", success_envelope(Result(facts))) == []
    carol, told = (next(account for account in facts["accounts"] if account["name"] == name) for name in ("carol", "alice"))
    kinds = {"text", "reaction", "edit", "delete", "location", "contact", "poll", "image"}
    assert {message["kind"] for message in carol["received"]} >= kinds
    assert facts["unhandled"] == []
    assert first in {seen["id"] for seen in told["devices"][0]["seen"]}
    assert told["devices"][0]["typing"]
