"""A contact's phone that can't decrypt what the real library sends asks for it again, and the library answers from its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from bare_companion import BareCompanion

from wasess.sandbox import Sandbox
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.sandbox.state import Device

pytestmark = [pytest.mark.wire, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BareCompanion]:
    folder = tmp_path_factory.mktemp("unreadable")
    async with Sandbox(folder / "sandbox", claimed_pre_keys=50) as box:
        companion = BareCompanion(box, folder, "alice")
        await companion.pair()
        box.group("group", "carol", "alice", "dave")
        yield companion
        await companion.stop()


def device_of(alice: BareCompanion) -> Device:
    device = alice.box.state.device("alice")
    assert device is not None
    return device


async def test_what_a_phone_can_not_decrypt_is_asked_for_and_comes_with_the_same_id(alice: BareCompanion) -> None:
    box, carol = alice.box, alice.box.contact("carol")
    box.fault("alice", "unreadable", "count=1")
    sent = await alice.sent(carol.jid, waE2E.Message(conversation="once more"))
    await box.until(lambda: carol.texts == ["once more"])
    assert (carol.undecryptable, carol.asked_again) == ([sent], {sent: 1})
    assert [message.id for message in carol.received] == carol.delivery_receipts == [sent]


async def test_a_phone_that_has_lost_its_session_begins_a_new_one(alice: BareCompanion) -> None:
    box, erin = alice.box, alice.box.contact("erin")
    await alice.sent(erin.jid, waE2E.Message(conversation="first"))
    box.say("erin", "alice", "an answer, so that the library sends no pre-keys any more")
    await box.until(lambda: not device_of(alice).pending)
    erin.party.forget(device_of(alice).address)
    sent = await alice.sent(erin.jid, waE2E.Message(conversation="second"))
    await box.until(lambda: erin.texts == ["first", "second"])
    assert erin.asked_again == {sent: 2}


async def test_a_member_of_a_group_asks_and_the_others_get_it_once(alice: BareCompanion) -> None:
    box, group = alice.box, alice.box.group("group")
    box.fault("alice", "unreadable", "count=1")
    sent = await alice.sent(group.jid, waE2E.Message(conversation="to all"))
    members = [box.contact(name) for name in ("carol", "dave")]
    await box.until(lambda: all([message.id for message in member.received].count(sent) == 1 for member in members))
    assert sum(member.asked_again.get(sent, 0) for member in members) == 1


async def test_a_message_that_nobody_knows_is_asked_for_in_vain(alice: BareCompanion) -> None:
    box, carol = alice.box, alice.box.contact("carol")
    box.ask_again("carol", "alice", "3EB0UNKNOWN", device=7)
    await box.until(lambda: not device_of(alice).pending)
    assert "3EB0UNKNOWN" not in {message.id for message in carol.received}
