"""`wasess reconnect`: heals what can be healed, and says why for the rest."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest
from homes import ECHO_BOT, House, until
from situations import SITUATIONS, Street, cured

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

WITHIN = "8"


@pytest.mark.timeout(180)
async def test_all_heals_each_that_can_heal_and_says_why_for_each_that_can_not(tmp_path: Path):
    async with House(tmp_path) as house:
        street = Street(house)
        serve = await street.prepare()
        pairings = {found.name: house.pairings(found.name) for found in SITUATIONS}
        await cured(street)
        done = await house.run("reconnect", "--all", "--timeout", WITHIN, "--json")
        code = await done.over(60)
        rows = {row["user"]: row for row in json.loads("\n".join(done.out))["data"]["sessions"]}
        assert {user: row["code"] if not row["ok"] else "" for user, row in rows.items()} == {
            found.name: found.stays for found in SITUATIONS
        }
        for found in SITUATIONS:
            row = rows[found.name]
            assert row["ok"] == (not found.stays), row
            assert street.truly_online(found.name) == row["ok"], found.name
            assert row["ok"] or row["sentence"], row
            assert house.pairings(found.name) == pairings[found.name], "a code was shown"
            if row["code"] in {"LOGGED_OUT", "ACCOUNT_LOCKED", "ACCOUNT_BANNED", "UNLINKED_HERE", "DATABASE_DAMAGED"}:
                assert f"wasess connect {found.name}" in row["action"]
        assert code == max(row["exit_code"] for row in rows.values()) == 6
        assert serve.process.returncode is None


async def test_with_a_manager_only_the_named_session_is_touched_and_its_messages_arrive(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve(bot=ECHO_BOT)
        await house.online(serve, "alice", "bob")
        logins = house.device("bob").logins
        house.box.say("carol", "alice", "before")
        done = await house.run("reconnect", "alice")
        house.box.say("carol", "alice", "meanwhile")
        assert await done.over(30) == 0
        assert len(done.log) == 0
        (line,) = done.out
        assert line.startswith("alice: online, and WhatsApp has answered (")
        house.box.say("carol", "alice", "after")
        await until(lambda: house.answers("carol") == ["before", "meanwhile", "after"], lambda: f"all answered: {house.answers('carol')}")
        assert house.device("bob").logins == logins


async def test_without_a_manager_it_is_tested_and_goes_down_again_and_no_message_is_lost(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        house.box.say("carol", "alice", "waiting")
        done = await house.run("reconnect", "alice")
        assert await done.over(30) == 0, done.text
        assert done.log == ["  next: wasess serve"]
        assert done.out[0].startswith("alice: online, and WhatsApp has answered (")
        assert not house.device("alice").online
        assert house.device("bob").logins == 1, "bob was touched"
        serve = await house.serve(bot=ECHO_BOT)
        await until(lambda: house.answers("carol") == ["waiting"], lambda: f"answered: {house.answers('carol')}\n{serve.text}")


async def test_an_interrupted_one_leaves_nothing_behind(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        house.box.fault("alice", "stall", "upgrade")
        done = await house.run("reconnect", "alice", "--timeout", "60")
        await until(lambda: house.home.session("alice").lock_holder(), "the session was taken")
        done.signal(signal.SIGINT)
        assert await done.over(15) == 130, done.text
        await until(lambda: house.home.lock_holder() is None, "the home is free")
        assert not (house.home.path / ".control.sock").exists()


async def test_two_at_once_do_not_fight(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        one, two = await house.run("reconnect", "alice"), await house.run("reconnect", "alice")
        codes = await asyncio.gather(one.over(30), two.over(30))
        assert 0 in codes, (one.text, two.text)
        assert set(codes) <= {0, 9}, (one.text, two.text)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "--all"),
        (("alice", "--all"), 2, "--all"),
        (("nobody",), 4, "wasess connect nobody"),
        (("Not An Id",), 2, "can't be a user id"),
        (("--all",), 0, "no sessions"),
    ],
)
async def test_what_is_asked_for_must_make_sense(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str):
    async with House(tmp_path) as house:
        done = await house.run("reconnect", *arguments)
        assert await done.over(20) == code
        assert says in done.text
