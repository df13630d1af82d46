"""Bots that answer bots: two sessions of one home, and a contact who answers at once. The real library, with `wasess serve` and its commands."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from homes import ECHO_BOT, House, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

LIMIT = 20
SHOWN = "a machine answers the bot"


@asynccontextmanager
async def answering(house: House, name: str, user: str) -> AsyncIterator[list[int]]:
    """A contact whose telephone answers whatever comes from a user; how many answers came, as the only element."""
    got = [len(house.box.contact(name).received)]

    async def answer() -> None:
        while True:
            if len(house.box.contact(name).received) > got[0]:
                got[0] += 1
                house.box.say(name, user, f"I am away ({got[0]})")
            await asyncio.sleep(0.002)

    task = asyncio.create_task(answer())
    try:
        yield got
    finally:
        task.cancel()


async def told(house: House, *words: str) -> tuple[int, Any]:
    """The exit code and the data of a command."""
    done = await house.run(*words, "--json")
    code = await done.over()
    return code, json.loads("\n".join(done.out))["data"]


async def problems(house: House) -> dict[str, str]:
    """What `verify` says of each session, when it is not healthy; its exit code says as much."""
    code, data = await told(house, "verify")
    found = {row["user"]: row["code"] for row in data["sessions"] if not row["healthy"]}
    assert code == (3 if found else 0)
    return found


async def test_two_sessions_of_one_home_and_a_contact_who_answers_at_once_are_braked_told_and_released(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve(bot=ECHO_BOT)
        await house.online(serve, "alice", "bob")

        number = house.box.phone("bob").number
        assert (await told(house, "send", "alice", number, "hello"))[0] == 0
        await serve.said(SHOWN, 30)
        assert serve.has_said("(the session bob)") or serve.has_said("(the session alice)")
        assert not serve.has_said(number)
        found = await problems(house)
        assert set(found.values()) == {"CHAT_BRAKED"}
        assert 6 <= len(house.bot_got) <= LIMIT, house.bot_got
        status = await house.run("status")
        await status.over()
        assert SHOWN in status.text
        for user in found:
            _, data = await told(house, "diagnose", user)
            [fix] = [one["fix"] for one in data["sessions"][0]["findings"] if one["code"] == "CHAT_BRAKED"]
            code, released = await told(house, *shlex.split(fix)[1:], "--drop", "--yes")
            assert (code, len(released["released"]), released["managed"]) == (0, 1, True)
        assert await problems(house) == {}
        assert len(house.bot_got) <= LIMIT

        async with answering(house, "carol", "alice") as got:
            house.box.say("carol", "alice", "are you there?")
            await until(lambda: serve.has_said("(the other side)"), lambda: f"carol is braked:\n{serve.text}", 40)
            assert LIMIT <= got[0] <= LIMIT + 5
            assert await problems(house) == {"alice": "CHAT_BRAKED"}
            house.box.say("dave", "alice", "and I?")
            await until(lambda: house.answers("dave") == ["and I?"], "another contact is answered")
            before = got[0]
            assert (await told(house, "send", "alice", house.box.contact("carol").number, "by hand"))[0] == 0
            await until(lambda: got[0] == before + 1, "what an operator sends goes out")

            serve.signal(signal.SIGTERM)
            assert await serve.over() == 0
            serve = await house.serve(bot=ECHO_BOT)
            await house.online(serve, "alice", "bob")
            assert await problems(house) == {"alice": "CHAT_BRAKED"}, "a restart changes nothing"
            assert got[0] == before + 1
        code, released = await told(house, "inbox", "release", "alice", "--all")
        assert (code, [one["messages"] for one in released["released"]]) == (0, [2])
        await until(lambda: len(house.answers("carol")) == got[0] + 2, "what has waited is answered")
        assert await problems(house) == {}
