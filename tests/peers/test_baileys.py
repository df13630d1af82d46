"""The sandbox satisfies Baileys too, a client that shares no code with whatsmeow (PROTOCOL.md §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from baileys_client import Baileys, baileys

from wasess.sandbox.usecases import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.peers

# What Baileys logs as a warning or an error although all is well: the ends that the tests bring about, and that a companion
# that is no business has no name before its history arrives.
EXPECTED_COMPLAINTS = {"stream errored out", "no name present, ignoring presence update request..."}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "box") as box:
        yield box
        assert box.state.unhandled == []


@pytest.fixture
async def unlinked(box: Sandbox, tmp_path: Path, baileys_folder: Path) -> AsyncIterator[Baileys]:
    async with baileys(box, "alice", tmp_path / "session", baileys_folder) as client:
        yield client
        assert set(client.complaints) <= EXPECTED_COMPLAINTS


@pytest.fixture
async def linked(box: Sandbox, unlinked: Baileys) -> Baileys:
    await unlinked.link(box, "alice")
    return unlinked


async def test_a_qr_code_links_it_and_it_comes_back_as_the_linked_device(box, linked):
    device = box.state.device("alice")
    await box.until(lambda: device.active)
    assert (device.logins, len(device.prekeys)) == (1, 812)


async def test_a_typed_code_links_it(box, unlinked):
    unlinked.do("connect")
    await unlinked.next("qr")
    unlinked.do("ask_code", number=box.contact("alice").number)
    code = await unlinked.next("code")
    await box.until(lambda: box.service.pairings["alice"].waits_for_code)
    await box.enter_code("alice", code["text"])
    await unlinked.next("close", code=515)
    await unlinked.connect()
    box.say("carol", "alice", "welcome")
    await unlinked.next("message", text="welcome")


async def test_it_reads_what_contacts_write_to_either_address(box, linked):
    for text, address in (("hello", "pn"), ("hello again", "pn"), ("from the hidden address", "lid")):
        message_id = box.say("carol", "alice", text, via=address)
        sender = box.contact("carol").jid if address == "pn" else box.contact("carol").lid_jid
        await linked.next("message", id=message_id, text=text, chat=str(sender), offline=False)
    await box.until(lambda: not box.state.device("alice").pending)
    assert box.state.device("alice").nacked == []


async def test_contacts_and_the_own_phone_read_what_it_writes(box, linked):
    carol, dave = box.contact("carol"), box.contact("dave")
    box.say("carol", "alice", "hello")
    await linked.next("message", text="hello")

    for contact, address, text in (
        (carol, carol.jid, "hello yourself"),
        (carol, carol.lid_jid, "once more"),
        (dave, dave.jid, "new here?"),
    ):
        message_id = await linked.send(address, text)
        await box.until(lambda contact=contact, text=text: text in contact.texts)
        await linked.next("delivered", id=message_id)

    assert (carol.texts, dave.texts) == (["hello yourself", "once more"], ["new here?"])
    assert box.phone("alice").copies == ["hello yourself", "once more", "new here?"]
    assert [account.undecryptable for account in box.state.accounts] == [[]] * 3


@pytest.mark.parametrize("lid_addressed", [False, True])
async def test_it_reads_and_writes_in_a_group(box, linked, lid_addressed):
    group = box.group("club", "carol", "alice", "dave", lid_addressed=lid_addressed)
    for speaker, text in (("carol", "a new sender key"), ("carol", "the same key"), ("dave", "another member's")):
        box.say_in_group(speaker, "club", text)
        member = box.contact(speaker)
        sender = member.lid_jid if lid_addressed else member.jid
        await linked.next("message", chat=str(group.jid), sender=str(sender), text=text)

    await linked.send(group.jid, "hello all")
    await box.until(lambda: all("hello all" in (*m.texts, *m.copies) for m in group.members))
    assert [member.undecryptable for member in group.members] == [[], [], []]


async def test_after_a_reset_it_comes_back_and_gets_what_was_said_meanwhile(box, linked):
    box.say("carol", "alice", "before")
    await linked.next("message", text="before")
    box.fault("alice", "rst")
    await linked.next("close", code=428)
    box.say("carol", "alice", "while you were away")
    box.say("dave", "alice", "and I")

    await linked.connect()
    for text in ("while you were away", "and I"):
        await linked.next("message", text=text, offline=True)
    await box.until(lambda: not box.state.device("alice").pending)
    assert box.state.device("alice").logins == 2
    assert [fact.detail for fact in box.state.history if fact.what == "pre-keys-uploaded"] == ["812"]

    await linked.send(box.contact("carol").jid, "back again")
    await box.until(lambda: box.contact("carol").texts == ["back again"])


async def test_another_process_goes_on_with_the_credentials_of_a_killed_one(box, linked, tmp_path, baileys_folder):
    box.say("carol", "alice", "before")
    await linked.next("message", text="before")
    await box.until(lambda: not box.state.device("alice").pending)
    await linked.kill()
    await box.until(lambda: not box.state.device("alice").online)
    box.say("carol", "alice", "while you were dead")

    async with baileys(box, "alice", tmp_path / "session", baileys_folder) as successor:
        await successor.connect()
        await successor.next("message", text="while you were dead")


async def test_unlinked_on_the_phone_it_is_logged_out_for_good(box, linked):
    box.unlink("alice")
    await linked.next("close", code=401, reason="Stream Errored (conflict)")
    linked.do("connect")
    await linked.next("close", code=401, reason="Connection Failure")
    assert box.state.device("alice") is None
