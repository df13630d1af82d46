"""`wasess pause`, `resume`, `logout`, `rename` and `remove`, with a manager and without one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from homes import ECHO_BOT, House, Running, until
from terminal import Terminal, wasess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]


@asynccontextmanager
async def house_with(folder: Path, *users: str, managed: bool) -> AsyncIterator[tuple[House, Running | None]]:
    async with House(folder) as house:
        await house.link(*users)
        serve = await house.serve(bot=ECHO_BOT) if managed else None
        if serve:
            await house.online(serve, *users)
        yield house, serve


async def typed(house: House, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run a command with --json; return its exit code, its document and all that it has said."""
    done = await house.run(*arguments, "--json")
    code = await done.over(30)
    return code, json.loads("\n".join(done.out)), done.text


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "unmanaged"])
async def test_pause_keeps_a_session_down_and_resume_brings_its_messages(tmp_path: Path, managed: bool):
    async with house_with(tmp_path, "alice", "bob", managed=managed) as (house, serve):
        code, document, _ = await typed(house, "pause", "alice")
        assert (code, document["data"]) == (0, {"user": "alice", "paused": True})
        assert not house.device("alice").online
        house.box.say("carol", "alice", "are you there")
        manager = serve or await house.serve(bot=ECHO_BOT)
        await house.online(manager, "bob")
        assert house.device("bob").online
        assert any("alice" in line and "paused by an operator" in line for line in manager.log)
        assert not house.device("alice").online
        code, document, _ = await typed(house, "resume", "alice")
        assert (code, document["data"]["was_paused"]) == (0, True)
        await until(lambda: house.answers("carol") == ["are you there"], lambda: f"answered:\n{manager.text}")
        assert (await typed(house, "resume", "alice"))[1]["data"]["was_paused"] is False


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "unmanaged"])
async def test_logout_unlinks_at_whatsapp_and_keeps_the_credentials_aside(tmp_path: Path, managed: bool):
    async with house_with(tmp_path, "alice", "bob", managed=managed) as (house, serve):
        code, document, said = await typed(house, "logout", "alice", "--yes")
        assert code == 0, said
        kept = house.home.path / "alice" / "kept"
        assert document["data"]["kept"].startswith(str(kept))
        assert [path.name for path in kept.glob("*/device.db")] == ["device.db"]
        assert house.box.state.device("alice") is None, "the phone still lists it"
        assert house.box.state.device("bob")
        code, document, _ = await typed(house, "logout", "alice", "--yes")
        assert (code, document["error"]["code"], document["error"]["hint"]) == (4, "NOT_LINKED", "wasess connect alice")
        if serve:
            assert not serve.has_said("unexpectedly")
            assert not serve.has_said("on the phone")
            await house.connect("alice")
            await house.online(serve, "alice", "bob")


async def test_logout_of_a_session_that_can_not_get_through_changes_nothing(tmp_path: Path):
    async with house_with(tmp_path, "alice", managed=True) as (house, serve):
        assert serve
        house.box.fault("alice", "refuse", "connect")
        house.box.fault("alice", "rst")
        await serve.said("the connection was lost")
        code, document, _ = await typed(house, "logout", "alice", "--yes")
        assert (code, document["error"]["code"]) == (3, "DEGRADED")
        assert "on the phone" in document["error"]["hint"]
        assert house.home.session("alice").linked
        house.box.clear("alice")
        await until(lambda: house.device("alice").online, "it is back", 20)


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "unmanaged"])
async def test_rename_keeps_the_link(tmp_path: Path, managed: bool):
    async with house_with(tmp_path, "alice", "bob", managed=managed) as (house, serve):
        code, document, _ = await typed(house, "rename", "alice", "bob")
        assert (code, document["error"]["code"]) == (2, "USAGE")
        code, document, _ = await typed(house, "rename", "alice", "shop")
        assert (code, document["data"]) == (0, {"user": "shop", "before": "alice"})
        assert [session.user for session in house.home.sessions()] == ["bob", "shop"]
        assert house.home.session("shop").linked
        record = house.home.session("shop").record.load()
        assert record
        assert record.user == "shop"
        if serve:
            await serve.said("restoring shop")


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "unmanaged"])
async def test_remove_leaves_nothing(tmp_path: Path, managed: bool):
    async with house_with(tmp_path, "alice", "bob", managed=managed) as (house, serve):
        code, document, _ = await typed(house, "remove", "alice")
        assert (code, document["error"]["code"]) == (2, "USAGE"), "nobody was asked"
        assert house.home.session("alice").linked
        code, document, _ = await typed(house, "remove", "alice", "--yes")
        assert (code, document["data"]["removed"], document["data"]["still_linked"]) == (0, True, True)
        assert not (house.home.path / "alice").exists()
        if serve:
            assert house.device("bob").online
            assert serve.has_said("alice was removed")


@pytest.mark.parametrize(
    ("command", "answer", "happens"), [("remove", "y", True), ("remove", "", False), ("remove", "nein", False), ("logout", "yes", True)]
)
async def test_a_person_is_asked_first(tmp_path: Path, command: str, answer: str, happens: bool):
    async with house_with(tmp_path, "alice", managed=False) as (house, _):
        environment = {
            "WASESS_HOME": str(house.home.path),
            "WASESS_SANDBOX": str(house.box.contract_path),
            "TERM": "xterm",
            "PATH": "/usr/bin",
        }
        terminal = Terminal(wasess(command, "alice"), environment, 20, 80)
        try:
            await asyncio.to_thread(terminal.until_text, "[y/N]")
            terminal.type(f"{answer}\n")
            code = await asyncio.to_thread(terminal.until_over)
        finally:
            terminal.close()
        assert code == (0 if happens else 2), terminal.text()
        assert "nothing was changed" in terminal.text() or happens
        gone = not house.home.session("alice").exists() or not house.home.session("alice").linked
        assert gone == happens


@pytest.mark.parametrize("command", [("pause",), ("resume",), ("logout", "--yes"), ("remove", "--yes"), ("rename", "other")])
async def test_a_session_that_is_not_there_is_named(tmp_path: Path, command: tuple[str, ...]):
    async with House(tmp_path) as house:
        code, document, _ = await typed(house, command[0], "nobody", *command[1:])
        assert (code, document["error"]["hint"]) == (4, "wasess connect nobody")
