"""Fewer open files than the sessions of a home need: the manager stays, keeps as many as fit, says what is short, and takes the others when it can."""

from __future__ import annotations

import json
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from homes import House, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

FEW, ENOUGH = 100, 1000
USERS = [f"u{number:02}" for number in range(14)]
WHY = "14 sessions need 180 open files, 100 are allowed"
PRINTS_ITS_LIMIT = """
import resource
import signal

def reply(text):
    return "/".join(map(str, resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


async def asked(house: House, *command: str) -> tuple[int, dict[str, dict[str, object]], str]:
    """The exit code, what is said of each session, and all that is said."""
    done = await house.run(*command, "--json")
    code = await done.over(20)
    said = "\n".join(done.out)
    return code, {row["user"]: row for row in json.loads(said)["data"]["sessions"]}, said


def may_raise(pid: int, most: int) -> bool:
    """Raise the limit of a process from outside; False where this user may not (CAP_SYS_RESOURCE)."""
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, most))
    except PermissionError:
        return False
    return True


async def test_a_home_that_needs_more_files_than_allowed(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link(*USERS)
        serve = await house.serve(bot=PRINTS_ITS_LIMIT, limits={resource.RLIMIT_NOFILE: (FEW, ENOUGH)})
        await house.online(serve, *USERS, seconds=30)
        house.box.say("carol", "u13", "how many?")
        await until(lambda: house.answers("carol") == [f"{FEW}/{ENOUGH}"], lambda: f"the bot's limit: {house.answers('carol')}")
        assert resource.prlimit(serve.fork_server, resource.RLIMIT_NOFILE) == (FEW, ENOUGH)
        serve.signal(signal.SIGTERM)
        assert await serve.over() == 0

        serve = await house.serve(limits={resource.RLIMIT_NOFILE: (FEW, FEW)})
        await house.online(serve, *USERS[:6], seconds=30)
        await serve.said(f"u13: {WHY}; trying again in 5 s")
        code, rows, _said = await asked(house, "verify")
        assert code == 3
        assert [row["code"] for row in rows.values()] == ["ONLINE"] * 6 + ["KEEPER_FAILED"] * 8
        assert {row["detail"] for row in rows.values() if row["code"] == "KEEPER_FAILED"} == {WHY}
        assert WHY in (await asked(house, "diagnose", "--offline"))[2]
        workers = serve.workers
        pausing = await house.run("pause", "u00")
        assert await pausing.over() == 0
        await house.online(serve, "u06", seconds=20)
        assert len(serve.workers & workers) == 5
        if may_raise(serve.process.pid, ENOUGH):
            await house.online(serve, *USERS[1:], seconds=30)
        for sign in ("Traceback", "does not keep", "Too many open files"):
            assert not serve.has_said(sign)
