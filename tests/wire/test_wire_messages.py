from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Reply
from wasess.errors import SendRefused, WorkerFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Companion

    from wasess.sandbox import Sandbox
    from wasess.sandbox.state import Device

pytestmark = pytest.mark.wire


def device_of(box: Sandbox, user: str = "alice") -> Device:
    device = box.state.device(user)
    assert device is not None
    return device


@pytest.mark.parametrize("via", ["pn", "lid"])
async def test_a_contact_writes(alice: Companion, box: Sandbox, via: str) -> None:
    carol = box.contact("carol")
    sent = [box.say("carol", "alice", f"number {number}", via="lid" if via == "lid" else "pn") for number in range(3)]
    await alice.text("number 2")
    assert alice.texts == ["number 0", "number 1", "number 2"]
    message = (await alice.text("number 0")).message
    address, other = (str(carol.lid_jid), str(carol.jid)) if via == "lid" else (str(carol.jid), str(carol.lid_jid))
    assert (message.id, message.chat, message.sender, message.sender_alt) == (sent[0], address, address, other)
    assert (message.push_name, message.is_group, message.from_me) == ("carol", False, False)
    await box.until(lambda: device_of(box).receipted == sent)
    assert device_of(box).pending == {}


async def test_a_reply_reaches_the_contact_and_the_own_phone(alice: Companion, box: Sandbox) -> None:
    carol = box.contact("carol")
    box.say("carol", "alice", "hello")
    message = (await alice.text("hello")).message
    sent = await alice.link.send(message.chat, Reply("hi carol"))
    assert [(m.id, m.text, m.sender) for m in carol.received] == [(sent, "hi carol", device_of(box).account.number)]
    assert box.phone("alice").copies == ["hi carol"]
    await box.until(lambda: ("receipt", sent) not in device_of(box).pending)


async def test_a_first_message_to_a_contact_fetches_keys(alice: Companion, box: Sandbox) -> None:
    erin = box.contact("erin")
    for number in range(3):
        await alice.link.send(f"{erin.number}@s.whatsapp.net", Reply(f"text {number}"))
    assert erin.texts == ["text 0", "text 1", "text 2"]
    assert erin.undecryptable == []


async def test_a_contact_that_does_not_exist(alice: Companion) -> None:
    with pytest.raises(WorkerFailed):
        await alice.link.send("4915199999999@s.whatsapp.net", Reply("anybody?"))


@pytest.mark.parametrize("lid_addressed", [False, True])
async def test_a_group(alice: Companion, box: Sandbox, *, lid_addressed: bool) -> None:
    group = box.group("club", "carol", "alice", "dave", lid_addressed=lid_addressed)
    box.say_in_group("carol", "club", "first")
    box.say_in_group("carol", "club", "second")
    box.say_in_group("dave", "club", "third")
    await alice.text("third")
    assert alice.texts == ["first", "second", "third"]
    message = (await alice.text("second")).message
    assert (message.chat, message.is_group) == (str(group.jid), True)
    assert {message.sender, message.sender_alt} == {str(box.contact("carol").jid), str(box.contact("carol").lid_jid)}
    await alice.link.send(str(group.jid), Reply("to all"))
    for member in ("carol", "dave"):
        assert box.contact(member).texts[-1] == "to all"
        assert box.contact(member).undecryptable == []
    assert box.phone("alice").copies == ["to all"]


async def test_what_is_written_while_it_is_away_arrives_in_order_after_a_restart(alice: Companion, box: Sandbox) -> None:
    await alice.stop()
    await box.until(lambda: not device_of(box).online)
    expected = [f"offline {number}" for number in range(20)]
    for text in expected:
        box.say("carol", "alice", text)
    box.group("club", "carol", "alice")
    box.say_in_group("carol", "club", "in the group")
    await alice.start()
    done = await alice.event(events.OfflineSyncCompleted, count=2)
    assert done == events.OfflineSyncCompleted(count=21)
    preview = await alice.event(events.OfflineSyncPreview, count=2)
    assert preview == events.OfflineSyncPreview(total=21, messages=21)
    assert alice.texts == [*expected, "in the group"]
    await box.until(lambda: not device_of(box).pending)


async def test_what_was_not_receipted_comes_again_after_a_kill(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "before")
    await alice.text("before")
    await box.until(lambda: not device_of(box).pending)
    await alice.kill()
    box.say("carol", "alice", "after")
    await alice.start()
    await alice.text("after")
    assert alice.texts == ["before", "after"]


async def test_a_message_delivered_twice_is_an_event_once(alice: Companion, box: Sandbox) -> None:
    box.fault("alice", "duplicate", "count=1")
    sent = box.say("carol", "alice", "twice")
    box.say("carol", "alice", "then")
    await alice.text("then")
    assert alice.texts == ["twice", "then"]
    await box.until(lambda: device_of(box).receipted.count(sent) == 2)


async def test_messages_out_of_order_are_all_decrypted(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "zero")
    await alice.text("zero")
    box.fault("alice", "reorder", "count=1")
    box.say("carol", "alice", "one")
    box.say("carol", "alice", "two")
    await alice.text("one")
    assert alice.texts == ["zero", "two", "one"]


async def test_a_frame_sent_again_after_a_cut_is_taken_once(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "hello")
    chat = (await alice.text("hello")).message.chat
    box.fault("alice", "mute", "ack", "count=1")
    sending = asyncio.create_task(alice.link.send(chat, Reply("once")))
    await box.until(lambda: "once" in box.contact("carol").texts)
    box.fault("alice", "rst")
    sent = await sending
    assert box.contact("carol").texts == ["once"]
    assert device_of(box).sent_ids[sent] == 2


async def test_the_server_refuses_a_message(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "hello")
    chat = (await alice.text("hello")).message.chat
    for status in (479, 463, 429, 503):
        box.fault("alice", "ack-error", str(status), "count=1")
        with pytest.raises(SendRefused, match=str(status)) as refused:
            await alice.link.send(chat, Reply("no"))
        assert refused.value.status == status


async def test_what_can_not_be_decrypted_is_sent_again(alice: Companion, box: Sandbox) -> None:
    box.say("carol", "alice", "one")
    await alice.text("one")
    device, carol = device_of(box), box.contact("carol")
    carol.party.forget(f"{device.account.number}:1")
    right = device.signed_prekey
    device.signed_prekey = (right[0] + 7, *right[1:])
    box.say("carol", "alice", "two")  # encrypted for a key that the session does not have
    device.signed_prekey = right
    await alice.event(events.Undecryptable)
    await alice.text("two")
    assert "retry-asked" in [fact.what for fact in box.state.history]
    await box.until(lambda: not device.pending)


async def test_one_time_keys_are_used_once_and_uploaded_again(alice: Companion, box: Sandbox) -> None:
    device = device_of(box)
    for number in range(46):
        box.say(f"contact {number}", "alice", f"text {number}")
    await alice.text("text 45")
    assert len(device.prekeys_used) == 46
    await box.until(lambda: len(device.prekeys) > 5)
    assert not device.prekeys_used & {key_id for key_id, _ in device.prekeys}


async def test_a_burst_arrives_whole_and_in_order(alice: Companion, box: Sandbox) -> None:
    expected = [f"text {number}" for number in range(300)]
    for text in expected:
        box.say("carol", "alice", text)
    await alice.text("text 299", seconds=30)
    assert alice.texts == expected


async def test_two_sessions_on_one_phone_hear_each_other(companion: Callable[[str], Companion], box: Sandbox) -> None:
    one, two = companion("one"), companion("two")
    await one.pair(phone="4915100000002")
    await two.pair(phone="4915100000002")
    box.say("carol", "one", "for both")
    message = (await one.text("for both")).message
    await two.text("for both")
    await one.link.send(message.chat, Reply("from one"))
    copy = (await two.text("from one")).message
    assert copy.from_me
    assert box.contact("carol").texts == ["from one"]
