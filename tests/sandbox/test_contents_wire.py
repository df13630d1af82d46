"""Everything that contacts send, as the real library reads it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from bare_companion import UNDECRYPTABLE, BareCompanion

from wasess.sandbox import Sandbox, content
from wasess.sandbox.ballot import option_hash
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.sandbox.content import Content

pytestmark = [pytest.mark.wire, pytest.mark.asyncio(loop_scope="module")]

PICTURE = b"\xff\xd8" + bytes(range(256)) * 40
ADDRESSED = pytest.mark.parametrize("via", ["pn", "lid", "group", "lid group"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BareCompanion]:
    folder = tmp_path_factory.mktemp("contents")
    async with Sandbox(folder / "sandbox", claimed_pre_keys=50) as box:
        companion = BareCompanion(box, folder, "alice")
        await companion.pair()
        for subject in ("group", "lid group"):
            box.group(subject, "carol", "alice", "dave", lid_addressed=subject.startswith("lid"))
        yield companion
        await companion.stop()


@pytest.fixture
def box(alice: BareCompanion) -> Sandbox:
    return alice.box


def post(box: Sandbox, what: Content, via: str = "pn", contact: str = "carol") -> str:
    return box.post(contact, via, what) if "group" in via else box.post(contact, "alice", what, via=via)


def addresses(box: Sandbox, name: str) -> set[str]:
    account = box.phone(name)
    return {str(account.jid), str(account.lid_jid)}


@ADDRESSED
async def test_a_reply_with_a_mention(alice: BareCompanion, box: Sandbox, via: str) -> None:
    first = post(box, content.text("where?"), via)
    sent = post(box, content.text("here @dave", quote=first, mentions=["dave"]), via)
    message, _ = await alice.message(sent)
    assert (message.kind, message.text, message.quote.id, message.quote.text) == ("text", "here @dave", first, "where?")
    assert message.quote.sender in addresses(box, "carol")
    assert set(message.mentions) <= addresses(box, "dave")
    assert len(message.mentions) == 1


@ADDRESSED
async def test_what_is_about_another_message(alice: BareCompanion, box: Sandbox, via: str) -> None:
    first = post(box, content.text("Hello Wrold"), via)
    sent = {
        "edit": post(box, content.edit("Hello World", first), via),
        "reaction": post(box, content.reaction("👍", first), via),
        "delete": post(box, content.deletion(first), via),
    }
    read = {kind: (await alice.message(message_id))[0] for kind, message_id in sent.items()}
    assert {kind: (message.kind, message.about) for kind, message in read.items()} == {kind: (kind, first) for kind in sent}
    assert [read[kind].text for kind in sent] == ["Hello World", "👍", ""]


async def test_an_edit_in_a_wrapping_and_a_reaction_taken_back(alice: BareCompanion, box: Sandbox) -> None:
    first = box.say("carol", "alice", "one")
    wrapped, back = post(box, content.edit("two", first, wrapped=True)), post(box, content.reaction("", first))
    message, _ = await alice.message(wrapped)
    assert (message.kind, message.about, message.text) == ("edit", first, "two")
    message, event = await alice.message(back)
    assert (message.kind, message.text, event.Info.Edit) == ("reaction", "", "7")


async def test_a_deletion_by_an_admin(alice: BareCompanion, box: Sandbox) -> None:
    first = post(box, content.text("rude"), "group", "dave")
    message, event = await alice.message(post(box, content.deletion(first), "group"))
    assert (message.kind, message.about, event.Info.Edit) == ("delete", first, "8")


async def test_places_and_cards(alice: BareCompanion, box: Sandbox) -> None:
    sent = [
        post(box, content.location(52.5, 13.4, name="Berlin", address="Mitte")),
        post(box, content.live_location(52.6, 13.5, caption="on my way", number=3)),
        post(box, content.cards(Erin="4915112345678")),
        post(box, content.cards(Erin="4915112345678", Frank="4915187654321")),
    ]
    place, live, card, cards = [(await alice.message(message_id))[0] for message_id in sent]
    assert (place.location.latitude, place.location.longitude, place.location.name, place.location.live) == (52.5, 13.4, "Berlin", False)
    assert (live.location.latitude, live.location.live, live.text) == (52.6, True, "on my way")
    assert [contact.name for contact in card.contacts] == ["Erin"]
    assert [contact.name for contact in cards.contacts] == ["Erin", "Frank"]
    assert "waid=4915112345678" in card.contacts[0].vcard


@pytest.mark.parametrize("choices", [0, 1, 2])
async def test_a_poll(alice: BareCompanion, box: Sandbox, choices: int) -> None:
    message, event = await alice.message(post(box, content.poll("Lunch?", "yes", "no", "later", choices=choices)))
    assert (message.kind, message.text) == ("poll", "Lunch?")
    assert (message.poll.options, message.poll.selectable) == (("yes", "no", "later"), choices)
    assert event.Info.Type == "poll"


@ADDRESSED
async def test_votes_in_a_contact_s_poll(alice: BareCompanion, box: Sandbox, via: str) -> None:
    poll = post(box, content.poll("Lunch?", "yes", "no", choices=0), via)
    _, event = await alice.message(post(box, content.vote(poll, "yes", "no"), via))
    assert list((await alice.vote(event)).PollVoteMessage.selectedOptions) == [option_hash("yes"), option_hash("no")]
    if "group" in via:
        message, event = await alice.message(post(box, content.vote(poll, "no"), via, "dave"))
        assert (message.kind, message.about) == ("vote", poll)
        assert list((await alice.vote(event)).PollVoteMessage.selectedOptions) == [option_hash("no")]


@ADDRESSED
async def test_votes_in_a_poll_of_the_companion_s(alice: BareCompanion, box: Sandbox, via: str) -> None:
    carol = box.contact("carol")
    chat = box.group(via).jid if "group" in via else carol.jid if via == "pn" else carol.lid_jid
    asked = waE2E.PollCreationMessage(name="Tea?", options=[{"optionName": "green"}, {"optionName": "black"}], selectableOptionsCount=1)
    poll = await alice.sent(chat, waE2E.Message(pollCreationMessage=asked, messageContextInfo={"messageSecret": bytes(range(32))}))
    _, event = await alice.message(post(box, content.vote(poll, "black"), via))
    answer = await alice.vote(event)
    assert not answer.Error
    assert list(answer.PollVoteMessage.selectedOptions) == [option_hash("black")]
    assert box.phone("alice").received[-1].votes == ("black",)


@pytest.mark.parametrize("kind", content.MIMES)
async def test_a_file(alice: BareCompanion, box: Sandbox, kind: str) -> None:
    caption = f"a {kind}" if kind in {"image", "video", "document"} else ""
    sent = post(box, content.file(kind, PICTURE, caption=caption, name="report.pdf"))
    message, event = await alice.message(sent)
    assert (message.kind, message.text, message.media.mime, message.media.size) == (kind, caption, content.MIMES[kind], len(PICTURE))
    assert message.media.name == ("report.pdf" if kind == "document" else "")
    assert event.Info.Type == "media"
    found = await alice.download(event.Message)
    assert (found.Error, hashlib.sha256(found.Binary).digest()) == ("", hashlib.sha256(PICTURE).digest())


async def test_a_picture_in_a_group_that_answers_a_voice_message(alice: BareCompanion, box: Sandbox) -> None:
    first = post(box, content.file("voice", b"OggS"), "group", "dave")
    message, event = await alice.message(post(box, content.file("image", PICTURE, caption="see", quote=first), "group"))
    assert (message.text, message.quote.id) == ("see", first)
    assert (await alice.download(event.Message)).Binary == PICTURE


@ADDRESSED
async def test_whatever_could_not_be_read_is_sent_again(alice: BareCompanion, box: Sandbox, via: str) -> None:
    device, carol = box.state.device("alice"), box.contact("carol")
    post(box, content.text("before"), via)
    carol.party.forget(device.address)
    if "group" in via:
        box.group(via).has_sender_key.discard((carol.number, device.address))
    right = device.signed_prekey
    device.signed_prekey = (right[0] + 7, *right[1:])
    undecryptable = sum(code == UNDECRYPTABLE for code, _ in alice.events)
    sent = post(box, content.file("image", PICTURE, caption="look"), via)  # encrypted for a key that the session does not have
    device.signed_prekey = right
    message, event = await alice.message(sent)
    assert (message.text, (await alice.download(event.Message)).Binary) == ("look", PICTURE)
    assert undecryptable < sum(code == UNDECRYPTABLE for code, _ in alice.events)


def outside(box: Sandbox, what: Content, via: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the server can read of a message: the attributes of its stanza and of its last `<enc>`."""
    sent = post(box, what, via)
    node = box.state.device("alice").pending["message", sent]
    return node.attrs, node.children("enc")[-1].attrs


@pytest.mark.parametrize("via", ["pn", "group"])
async def test_what_stands_on_the_outside(box: Sandbox, alice: BareCompanion, via: str) -> None:
    first = post(box, content.text("hi"), via)
    poll = post(box, content.poll("?", "a", "b"), via)
    seen = {
        "text": (content.text("hi", quote=first), ("text", None, None, None)),
        "reaction": (content.reaction("x", first), ("reaction", None, None, "hide")),
        "edit": (content.edit("x", first), ("text", "1", None, "hide")),
        "delete": (content.deletion(first), ("text", "7", None, "hide")),
        "vote": (content.vote(poll, "a"), ("poll", None, None, "hide")),
        "voice": (content.file("voice", b"a"), ("media", None, "ptt", None)),
        "document": (content.file("document", b"a", caption="b"), ("media", None, "document", None)),
        "cards": (content.cards(Erin="1", Frank="2"), ("media", None, "contact_array", None)),
        "live": (content.live_location(1, 2), ("media", None, "livelocation", None)),
    }
    for name, (what, expected) in seen.items():
        stanza, inside = outside(box, what, via)
        assert (stanza["type"], stanza.get("edit"), inside.get("mediatype"), inside.get("decrypt-fail")) == expected, name
    await box.until(lambda: not box.state.device("alice").pending)
    assert not box.state.device("alice").nacked
