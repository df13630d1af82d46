"""WhatsApp calls the client version outdated (405): one session, and the commands that bring it back beside others that nobody touches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from homes import House, Running, until

from wasess.core import client_version
from wasess.sandbox.versions import parse_version

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

WANTED = "2.3000.1053000000"
NEWER = "2.3000.1054000000"
BUILT_IN = client_version.spell(client_version.BUILT_IN)
OTHERS = ("bob", "carol")


async def document(house: House, *words: str) -> dict[str, Any]:
    done = await house.run(*words, "--json")
    await done.over(30)
    found: dict[str, Any] = json.loads("\n".join(done.out))
    return found


async def rows(house: House) -> dict[str, dict[str, Any]]:
    return {row["user"]: row for row in (await document(house, "status"))["data"]["sessions"]}


async def refused(house: House, serve: Running, user: str, below: str) -> None:
    """From now on WhatsApp wants at least this version of a session, whose connection breaks."""
    house.box.fault(user, "outdated", f"below={below}")
    seen = len(serve.log)
    house.box.fault(user, "rst")
    await until(lambda: any("refuses this version" in line for line in serve.log[seen:]), lambda: serve.text, 20)


async def test_one_session_comes_back_with_a_newer_version_and_no_other_is_touched(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", *OTHERS)
        serve = await house.serve()
        await house.online(serve, "alice", *OTHERS)
        before = await rows(house)
        await refused(house, serve, "alice", WANTED)
        verify = await house.run("verify", "alice", "--grace", "0")
        assert await verify.over(20) == 6, verify.text
        assert "wasess reconnect alice --wa-version auto" in verify.text
        assert (await rows(house))["alice"]["action"].index("--wa-version") < (await rows(house))["alice"]["action"].index("pip install")

        in_vain = await house.run("reconnect", "alice")
        assert await in_vain.over(70) == 6, in_vain.text
        repaired = await house.run("reconnect", "alice", "--wa-version", WANTED)
        assert await repaired.over(70) == 0, repaired.text
        assert house.box.state.versions == {"alice": parse_version(WANTED)} | dict.fromkeys(OTHERS, parse_version(BUILT_IN))

        after = await rows(house)
        assert [(after[user]["pid"], after[user]["restarts"]) for user in OTHERS] == [(before[user]["pid"], 0) for user in OTHERS]
        assert [house.device(user).logins for user in OTHERS] == [2, 2]

        logins = house.device("alice").logins
        await (await house.run("reconnect", "alice")).over(70)
        assert house.device("alice").logins > logins
        assert house.box.state.versions["alice"] == parse_version(WANTED), "until the manager ends"

        await refused(house, serve, "alice", NEWER)
        asked = await house.run("reconnect", "alice", "--wa-version", "auto")
        assert await asked.over(70) == 0, asked.text
        assert house.box.state.versions["alice"] == parse_version(NEWER)
        assert (house.home.path / ".client-version").stat().st_mode & 0o777 == 0o600


async def test_a_manager_and_a_pairing_announce_what_the_settings_say(tmp_path: Path):
    async with House(tmp_path) as house:
        house.box.fault("*", "outdated", f"below={WANTED}")
        refusal = await house.run("connect", "alice")
        assert await refusal.over(30) == 6, refusal.text
        assert "wasess connect alice --wa-version auto" in refusal.text
        await house.connect("alice", "--wa-version", WANTED)
        assert house.box.state.versions["alice"] == parse_version(WANTED)

        (tmp_path / "wasess.toml").write_text(f'wa-version = "{WANTED}"\n')
        serve = await house.serve()
        await house.online(serve, "alice")
        await house.connect("bob")
        await house.online(serve, "bob")
        assert house.box.state.versions == dict.fromkeys(("alice", "bob"), parse_version(WANTED))
        assert (await document(house, "status"))["data"]["manager"]["client_version"] == WANTED
        assert not any(line.startswith("the client version is over 60 days old") for line in (await finished(house, "status")).out)


async def test_auto_is_asked_once_for_all_and_a_page_that_is_none_stops_nobody(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        house.box.start_page = b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n"
        serve = await house.serve("--wa-version", "auto")
        await house.online(serve, "alice", "bob")
        assert house.box.state.versions == dict.fromkeys(("alice", "bob"), parse_version(BUILT_IN))
        assert [fact.what for fact in house.box.state.history].count("start-page") == 1
        (old,) = [line for line in (await finished(house, "status")).out if line.startswith("the client version is over 60 days old")]
        assert "--wa-version auto" in old


async def finished(house: House, *words: str) -> Running:
    done = await house.run(*words)
    await done.over(60)
    return done
