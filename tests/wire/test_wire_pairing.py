from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.errors import WorkerFailed
from wasess.sandbox import PairingRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Companion

    from wasess.sandbox import Sandbox

pytestmark = pytest.mark.wire


async def test_a_scanned_code_links_the_session(companion: Callable[[str], Companion], box: Sandbox) -> None:
    alice = companion("alice")
    device = await alice.pair()
    assert await alice.event(events.Paired) == events.Paired(jid=str(device.jid))  # neonize leaves the LID out
    assert (device.logins, device.active, len(device.prekeys)) == (1, True, 50)
    stored = alice.session.device()
    assert stored is not None
    assert (stored.jid, stored.lid) == (str(device.jid), str(device.lid))
    assert [fact.what for fact in box.state.history if fact.what in ("paired", "logged-in")] == ["paired", "logged-in"]


async def test_a_typed_code_links_the_session(companion: Callable[[str], Companion], box: Sandbox) -> None:
    number = box.contact("the phone").number
    alice = companion("alice")
    await alice.start("pair")
    await alice.signal("qr")
    code = await alice.link.pairing_code(number)
    assert len(code.replace("-", "")) == 8
    device = await box.enter_code("alice", code)
    assert device.account.number == number
    await alice.event(events.Connected)
    assert alice.session.linked


async def test_a_wrong_typed_code_is_refused(companion: Callable[[str], Companion], box: Sandbox) -> None:
    alice = companion("alice")
    await alice.start("pair")
    await alice.signal("qr")
    await alice.link.pairing_code(box.contact("the phone").number)
    with pytest.raises(PairingRefused, match="not the code"):
        await box.enter_code("alice", "AAAA-AAAA")
    assert not alice.session.linked
    assert box.state.device("alice") is None


async def test_the_server_may_refuse_to_give_a_code(companion: Callable[[str], Companion], box: Sandbox) -> None:
    box.fault("alice", "pair-code-error", "400")
    alice = companion("alice")
    await alice.start("pair")
    await alice.signal("qr")
    with pytest.raises(WorkerFailed, match="400"):
        await alice.link.pairing_code("4915112345678")


async def test_a_code_of_another_session_is_not_accepted(companion: Callable[[str], Companion], box: Sandbox) -> None:
    alice, bob = companion("alice"), companion("bob")
    await alice.start("pair")
    await bob.start("pair")
    code = await alice.signal("qr")
    await bob.signal("qr")
    with pytest.raises(PairingRefused, match="no such code"):
        await box.scan("bob", code.value)


@pytest.mark.parametrize(("fault", "words"), [("bad-hmac", "hmac-mismatch"), ("bad-signature", "signature-mismatch")])
async def test_a_forged_confirmation_is_refused_by_the_companion(
    companion: Callable[[str], Companion], box: Sandbox, fault: str, words: str
) -> None:
    box.fault("alice", fault)
    alice = companion("alice")
    await alice.start("pair")
    code = await alice.signal("qr")
    with pytest.raises(PairingRefused, match=words):
        await box.scan("alice", code.value)
    assert not alice.session.linked


async def test_a_phone_takes_four_linked_devices_and_no_fifth(companion: Callable[[str], Companion], box: Sandbox) -> None:
    for number in range(1, 5):
        device = await companion(f"bot{number}").pair(phone="4915100000001")
        assert device.number == number
    fifth = companion("bot5")
    await fifth.start("pair")
    code = await fifth.signal("qr")
    with pytest.raises(PairingRefused, match="already has 4 linked devices"):
        await box.scan("bot5", code.value, phone="4915100000001")


async def test_whatsapp_asks_for_a_passkey(companion: Callable[[str], Companion], box: Sandbox) -> None:
    alice = companion("alice")
    await alice.start("pair")
    await alice.signal("qr")
    box.ask_passkey("alice")
    await alice.signal("passkey")


async def test_a_restart_needs_no_code(alice: Companion, box: Sandbox) -> None:
    codes = sum(signal.kind == "qr" for signal in alice.signals)
    await alice.stop()
    await alice.start()
    await alice.event(events.Connected, count=2)
    assert sum(signal.kind == "qr" for signal in alice.signals) == codes
    device = box.state.device("alice")
    assert device is not None
    assert device.logins == 2
