"""What the sandbox breaks, as the real library sees it (PROTOCOL.md §6, NEONIZE.md §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Companion

    from wasess.sandbox import Sandbox

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("strike", ["rst", "fin", "close 1000", "close 1011", "stream-error 503", "stream-error 515"])
async def test_a_cut_heals_by_the_library_alone(alice: Companion, box: Sandbox, strike: str) -> None:
    box.fault("alice", *strike.split())
    await alice.event(events.Connected, count=2)
    box.say("carol", "alice", "still there")
    await alice.text("still there")


@pytest.mark.parametrize(
    ("strike", "seen"),
    [
        ("stream-error 500", events.StreamError("500")),
        ("stream-error 516", events.StreamError("516")),
        ("stream-error xml-not-well-formed", events.StreamError("")),
    ],
)
async def test_an_unknown_stream_error_is_told_and_heals(alice: Companion, box: Sandbox, strike: str, seen: events.Event) -> None:
    box.fault("alice", *strike.split())
    await alice.event(events.Connected, count=2)
    assert seen in alice.events


async def test_another_client_takes_over(alice: Companion, box: Sandbox) -> None:
    box.fault("alice", "stream-error", "replaced")
    await alice.event(events.StreamReplaced)
    assert len(alice.of(events.Connected)) == 1


async def test_the_phone_unlinks_it(alice: Companion, box: Sandbox) -> None:
    box.unlink("alice")
    await alice.event(events.LoggedOut)
    assert box.state.device("alice") is None


async def test_the_phone_unlinks_it_while_it_is_away(alice: Companion, box: Sandbox) -> None:
    await alice.stop()
    box.unlink("alice")
    await alice.start()
    assert await alice.event(events.LoggedOut) == events.LoggedOut(reason=401, on_connect=True)


async def test_it_logs_itself_out(alice: Companion, box: Sandbox) -> None:
    await alice.link.logout()
    await box.until(lambda: box.state.device("alice") is None)
    assert not alice.session.linked


@pytest.mark.parametrize(
    ("reason", "seen"),
    [
        ("400", events.ConnectFailure(400)),
        ("401", events.LoggedOut(401, on_connect=True)),
        ("402:101:60", events.TemporaryBan(101, 60)),
        ("403", events.LoggedOut(403, on_connect=True)),
        ("405", events.ClientOutdated()),
        ("406", events.LoggedOut(406, on_connect=True)),
        ("409", events.ConnectFailure(409)),
        ("501", events.ConnectFailure(501)),
    ],
)
@pytest.mark.parametrize("kind", ["failure", "failure-open"])
async def test_the_login_is_refused(alice: Companion, box: Sandbox, kind: str, reason: str, seen: events.Event) -> None:
    await alice.stop()
    box.fault("alice", kind, reason)
    await alice.start()
    assert await alice.event(type(seen)) == seen


@pytest.mark.parametrize("reason", ["500", "503"])
async def test_a_login_that_fails_for_now_is_tried_again(alice: Companion, box: Sandbox, reason: str) -> None:
    await alice.stop()
    box.fault("alice", "failure", reason, "count=1")
    await alice.start()
    await alice.event(events.Connected, count=2)


@pytest.mark.parametrize("reason", ["418", "499", "402:999:60"])
async def test_an_unknown_refusal_ends_the_worker(alice: Companion, box: Sandbox, reason: str) -> None:
    await alice.stop()
    box.fault("alice", "failure", reason)
    await alice.start()
    ended = await alice.over()
    assert ended.value == "library-returned"


async def test_no_answer_to_the_login(alice: Companion, box: Sandbox) -> None:
    await alice.stop()
    box.fault("alice", "login-hang", "count=1")
    await alice.start()
    await box.until(lambda: (device := box.state.device("alice")) is not None and device.logins == 2)
    assert len(alice.of(events.Connected)) == 1


# In the Noise phase the library takes a close for silence and gives up after 20 s (PROTOCOL.md §6); only garbage is noticed at once.
REFUSALS = [(kind, phase) for kind in ("reset", "fin", "garbage") for phase in ("connect", "tls", "upgrade")]


@pytest.mark.parametrize(("kind", "phase"), [*REFUSALS, ("garbage", "noise")])
async def test_the_first_dial_is_refused(companion: Callable[[str], Companion], box: Sandbox, phase: str, kind: str) -> None:
    box.fault("alice", kind, phase)
    alice = companion("alice")
    await alice.start("pair")
    assert (await alice.over()).value == "dial-failed"


@pytest.mark.parametrize(("phase", "status"), [("connect", "429"), ("connect", "502"), ("upgrade", "403"), ("upgrade", "503")])
async def test_the_first_dial_gets_an_http_error(companion: Callable[[str], Companion], box: Sandbox, phase: str, status: str) -> None:
    box.fault("alice", "http_status", phase, status)
    alice = companion("alice")
    await alice.start("pair")
    assert (await alice.over()).value == "dial-failed"


async def test_the_server_is_away_for_a_while(alice: Companion, box: Sandbox) -> None:
    box.fault("alice", "refuse", "seconds=1")
    box.fault("alice", "rst")
    await alice.event(events.Disconnected)
    box.say("carol", "alice", "meanwhile")
    await alice.event(events.Connected, count=2)
    await alice.text("meanwhile")


async def test_a_black_hole_and_back(alice: Companion, box: Sandbox) -> None:
    box.fault("alice", "freeze")
    box.say("carol", "alice", "into the hole")
    box.fault("alice", "thaw")
    await alice.text("into the hole")
    assert len(alice.of(events.Connected)) == 1


async def test_a_black_hole_for_the_live_connection_alone_lets_new_ones_through(alice: Companion, box: Sandbox) -> None:
    box.fault("alice", "freeze", "live")
    box.say("carol", "alice", "into the hole")
    await alice.kill()
    await alice.start()
    await alice.text("into the hole")


async def test_what_no_client_would_send_harms_nobody(alice: Companion, box: Sandbox) -> None:
    for plaintext in (b"", b"\x04" * 4, b"hi\xff", b"\x0a\x02\xff\xfe\x01"):
        box.send_plaintext("carol", "alice", plaintext)
    box.say("carol", "alice", "well")
    await alice.text("well")


async def test_answers_may_be_slow(alice: Companion, box: Sandbox) -> None:
    await alice.stop()
    box.fault("alice", "slow", "0.3")
    await alice.start()
    await alice.event(events.Connected, count=2)
    box.say("carol", "alice", "slow but sure")
    chat = (await alice.text("slow but sure")).message.chat
    await alice.link.send(chat, Reply("answer"))
    assert box.contact("carol").texts == ["answer"]


async def test_a_515_whose_redial_fails_is_repaired_by_a_restart(companion: Callable[[str], Companion], box: Sandbox) -> None:
    box.fault("alice", "failing-515", "count=1")
    alice = companion("alice")
    await alice.start("pair")
    await box.scan("alice", (await alice.signal("qr")).value)
    await box.until(lambda: alice.session.linked and not box.faults.active("alice"))
    await alice.kill()
    await alice.start()
    await alice.event(events.Connected)


async def test_a_pairing_without_the_515(companion: Callable[[str], Companion], box: Sandbox) -> None:
    box.fault("alice", "no-515")
    alice = companion("alice")
    await alice.start("pair")
    await box.scan("alice", (await alice.signal("qr")).value)
    await box.until(lambda: alice.session.linked)
    await alice.stop()
    await alice.start()
    await alice.event(events.Connected)


@pytest.mark.parametrize("poison", ["receipt-server-error", "receipt-rekey", "receipt-view", "receipt-unknown", "chatstate-unknown"])
async def test_poison_that_is_not_subscribed_to_does_nothing(alice: Companion, box: Sandbox, poison: str) -> None:
    box.fault("alice", "poison", poison)
    box.say("carol", "alice", "after the poison")
    await alice.text("after the poison")


@pytest.mark.parametrize("poison", ["failure-418", "failure-499", "failure-none", "ban-unknown"])
async def test_poison_that_ends_the_pump_ends_the_worker_and_loses_nothing(alice: Companion, box: Sandbox, poison: str) -> None:
    box.fault("alice", "poison", poison)
    assert (await alice.over()).value == "library-returned"
    box.say("carol", "alice", "after the poison")
    await alice.start()
    await alice.text("after the poison")
