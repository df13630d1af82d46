"""`wasess serve` brings up what can be brought up, says in plain words what can't, and stands alone on its home."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest
from homes import ECHO_BOT, House, measured, until

from wasess.store.device import DEVICE_NAME

pytestmark = pytest.mark.acceptance

GOOD = ("m-one", "n-two", "o-three")
BAD = ("a-garbage", "b-stalled", "c-unlinked")  # first in the alphabet, and so the first that are brought up
GARBAGE = b"this is no database " * 500
CODE = re.compile(r"[█▀▄]|2@|[A-Za-z0-9+/]{43}=")


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


@pytest.mark.alone
async def test_a_bad_session_never_delays_a_good_one(house):
    await house.link(*GOOD, *BAD)
    usual = await house.serve(*(option for user in GOOD for option in ("--only", user)))
    usual_time = await house.online(usual, *GOOD)
    usual.signal(signal.SIGTERM)
    assert await usual.over() == 0

    damaged = house.home.session("a-garbage").folder / DEVICE_NAME
    damaged.write_bytes(GARBAGE)
    house.box.fault("b-stalled", "stall", "upgrade")
    house.box.unlink("c-unlinked")
    serve = await house.serve()
    time = await house.online(serve, *GOOD)
    measured(f"3 good ones alone: {usual_time:.2f} s; with 3 bad ones: {time:.2f} s")
    assert time < 1.5 * usual_time + 0.5

    await serve.said("c-unlinked: logged out by WhatsApp or on the phone")
    await serve.said("manager ready", seconds=15)
    assert serve.log[:2] == ["manager starting", "6 sessions found"]
    for user in (*GOOD, "b-stalled", "c-unlinked"):
        assert f"restoring {user}" in serve.log
    for user in GOOD:
        assert re.search(rf"^{user} restored \(\d+\.\d s\)$", serve.text, re.MULTILINE)
        assert f"automatic reconnect on for {user}" in serve.log
    assert "manager ready: 3 of 6 online" in serve.log
    assert any(line.startswith("a-garbage: The credentials of 'a-garbage' are damaged") for line in serve.log)
    assert any("`wasess connect c-unlinked`" in line for line in serve.log)
    assert not CODE.search(serve.text)
    assert serve.out == []
    assert damaged.read_bytes() == GARBAGE
    assert not (damaged.parent / "kept").exists()
    assert house.home.session("c-unlinked").folder.joinpath(DEVICE_NAME).stat().st_size
    assert all(house.pairings(user) == 1 for user in (*GOOD, *BAD))
    assert not house.box.service.pairings

    house.box.clear("b-stalled")


async def test_the_second_manager_of_a_home_names_the_first_and_leaves(house):
    await house.link("alice")
    first = await house.serve()
    await house.online(first, "alice")
    second = await house.serve(bot=ECHO_BOT)
    assert await second.over() == 9
    assert f"process {first.process.pid} " in second.text
    assert "manager starting" not in second.text
    assert house.device("alice").online
    assert house.device("alice").logins == 2
    await first.kill()
    third = await house.serve()
    await house.online(third, "alice")


async def test_two_managers_at_the_same_instant_are_one(house):
    await house.link("alice")
    both = [await house.serve(), await house.serve()]
    await until(lambda: any(serve.process.returncode is not None for serve in both), "one gave way")
    (loser,) = (serve for serve in both if serve.process.returncode is not None)
    (winner,) = (serve for serve in both if serve is not loser)
    assert await loser.over() == 9
    assert f"process {winner.process.pid} " in loser.text
    await house.online(winner, "alice")


async def test_an_empty_home_is_said_to_be_empty_and_a_session_linked_later_is_taken_over(house):
    serve = await house.serve(bot=ECHO_BOT)
    await serve.said("manager ready: 0 of 0 online")
    assert "0 sessions found" in serve.text
    connect = await house.connect("alice")
    await house.online(serve, "alice")
    assert away(house, "alice") <= 2
    assert f"the running manager (process {serve.process.pid}) has taken it over" in connect.text
    assert "restoring alice" in serve.log
    house.box.say("carol", "alice", "hello")
    await until(lambda: house.answers("carol") == ["hello"], "an answer")


@pytest.mark.alone
async def test_a_session_linked_beside_others_is_taken_over_at_once_and_disturbs_none(house):
    await house.link("alice")
    serve = await house.serve(bot=ECHO_BOT)
    await house.online(serve, "alice")
    await house.connect("bob")
    await house.online(serve, "bob")
    assert away(house, "bob") <= 2
    assert house.device("alice").logins == 2
    assert house.pairings("bob") == 1
    house.box.say("carol", "bob", "hello")
    await until(lambda: house.answers("carol") == ["hello"], "an answer")


async def test_a_session_unlinked_on_the_phone_comes_back_when_it_is_paired_again(house):
    await house.link("alice", "bob")
    serve = await house.serve()
    await house.online(serve, "alice", "bob")
    house.box.unlink("alice")
    await serve.said("alice: logged out by WhatsApp or on the phone")
    await until(lambda: house.home.session("alice").lock_holder() is None, "its worker let go")
    connect = await house.connect("alice", "--force")
    await until(lambda: house.device("alice").online and serve.has_said("alice restored", 2), lambda: serve.text + connect.text)
    assert house.device("bob").online
    assert house.device("bob").logins == 2


async def test_a_home_of_the_sandbox_refuses_the_real_whatsapp(house):
    await house.link("alice")
    dialled: list[str] = []
    ear = await asyncio.start_server(lambda _, writer: (dialled.append("dialled"), writer.close()), "127.0.0.1")
    port = ear.sockets[0].getsockname()[1]
    serve = await house.serve(environment={"WASESS_SANDBOX": "", "HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert await serve.over() == 2
    assert "was used with a stand-in for WhatsApp (sandbox)" in serve.text
    assert "Nothing was changed" in serve.text
    assert "manager starting" not in serve.text
    assert not dialled
    ear.close()
    await ear.wait_closed()


async def test_a_home_of_the_real_whatsapp_refuses_the_sandbox(house):
    house.home.open(create=True).claim_realm("whatsapp")
    serve = await house.serve()
    assert await serve.over() == 2
    assert "was used with the real WhatsApp" in serve.text
    assert not house.box.state.history
    assert not house.box.state.dials


def away(house: House, user: str) -> float:
    """How long a session was away between `connect` and the manager, as the server saw it."""
    facts = [fact for fact in house.box.state.history if fact.user == user and fact.what in {"disconnected", "logged-in"}]
    left, came = facts[-2:]
    assert (left.what, came.what) == ("disconnected", "logged-in")
    measured(f"{user} was away for {came.at - left.at:.2f} s")
    return came.at - left.at
