"""`wasess verify` beside a real `wasess serve`: it tells the truth, tells it to a dead man's switch, and never goes near WhatsApp."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import pytest
from homes import House, until
from unit_file import Unit
from watchman import watching

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

SECRET = "b7e1c0de-5ec2"


async def verified(house: House, *arguments: str, **environment: str) -> tuple[int, list[str], list[str]]:
    """Run it; its exit code and its lines on stdout and stderr."""
    done = await house.run("verify", *arguments, environment=environment)
    return await done.over(30), done.out, done.log


def seen_by_whatsapp(house: House, *users: str) -> tuple[dict[str, int], list[int]]:
    """How often whoever has dialled, and how often each session has logged in, as the server has counted."""
    return dict(house.box.state.dials), [house.device(user).logins for user in users]


def variables(file: Path) -> dict[str, str]:
    """What systemd makes of an ``EnvironmentFile=``."""
    return dict(word.split("=", 1) for word in shlex.split(file.read_text()))


async def test_it_never_opens_a_connection_of_its_own(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        before = seen_by_whatsapp(house, "alice", "bob")
        assert (await verified(house))[0] == 8, "nobody keeps them, and verify does not begin to"
        assert seen_by_whatsapp(house, "alice", "bob") == before
        serve = await house.serve()
        await house.online(serve, "alice", "bob")
        before = seen_by_whatsapp(house, "alice", "bob")
        many = [(), ("--all",), ("alice",), ("bob", "--json"), ("--nagios",), ("--quiet",), ("--max-age", "1h", "--grace", "0")]
        for found in await asyncio.gather(*(verified(house, *arguments) for arguments in many)):
            assert (found[0], found[2]) == (0, [])
        assert seen_by_whatsapp(house, "alice", "bob") == before
        assert (await verified(house, "--max-age", "0"))[0] == 3, "not even to find out more"
        assert seen_by_whatsapp(house, "alice", "bob") == before
        assert house.device("alice").online
        assert house.device("bob").online


async def test_it_follows_a_session_down_and_up_again(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve()
        await house.online(serve, "alice", "bob")
        assert await verified(house, "--grace", "0") == (0, [], [])
        house.box.fault("bob", "refuse", "connect")
        house.box.fault("bob", "rst")
        await until(lambda: not house.device("bob").online, "bob is gone")
        await serve.said("bob: the connection was lost")
        code, out, (line,) = await verified(house, "--grace", "0")
        assert (code, out) == (3, [])
        assert line.startswith("bob: ")
        assert await verified(house, "alice", "--grace", "0") == (0, [], [])
        house.box.clear("bob")
        await serve.said("bob is online again", 30)
        assert await verified(house, "--grace", "0") == (0, [], [])
        document = json.loads((await verified(house, "--json"))[1][0])
        assert all(0 <= row["age"] < 60 for row in document["data"]["sessions"])
        house.box.unlink("alice")
        await serve.said("logged out")
        code, _, (line,) = await verified(house)
        assert (code, line) == (4, "alice: logged out by WhatsApp or on the phone (reason 401); wasess connect alice")


async def test_the_installed_unit_tells_the_dead_mans_switch(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        with watching() as watchman:
            units = house.folder / "units"
            wanted = ("--install", "--directory", str(units), "--home", str(house.home.path))
            installing = await house.run("service", *wanted, environment={"WASESS_PING": f"{watchman.url}/{SECRET}"})
            assert await installing.over() == 0, installing.text
            unit = Unit((units / "wasess-verify.service").read_text())
            file = Path(unit.one("EnvironmentFile").removeprefix("-"))
            environment = variables(file) | {"no_proxy": "*"}
            assert set(environment) == {"WASESS_PING", "no_proxy"}
            checking = await house.run(*unit.command[unit.command.index("verify") :], environment=environment)
            assert await checking.over(30) == 8
            assert watchman.heard == [f"/{SECRET}/fail"]
            serve = await house.serve()
            await house.online(serve, "alice")
            checking = await house.run(*unit.command[unit.command.index("verify") :], environment=environment)
            assert (await checking.over(30), checking.text) == (0, "")
            assert watchman.heard == [f"/{SECRET}/fail", f"/{SECRET}"]
            everything = [path for path in house.folder.rglob("*") if path.is_file() and path != file]
            assert [path for path in everything if SECRET.encode() in path.read_bytes()] == []
