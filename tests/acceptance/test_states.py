"""State by command: what `list`, `status`, `verify` and `diagnose` say of every state, and that they agree with each other and the server.

The states are brought about for real (situations.py). What no manager keeps is at the end: no manager at all, one that hangs, a session
that another process holds, a pairing under way, one that is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from homes import House, Running, until
from situations import SITUATIONS, Street

from wasess.core import reasons
from wasess.core.states import State

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire, pytest.mark.timeout(180)]

HANGS_FOR = 25.0


@dataclass(frozen=True)
class Said:
    """What a command says of a session."""

    state: str
    code: str
    exit_code: int


async def asked(house: House, *arguments: str) -> tuple[int, dict[str, Any], Running]:
    """Run a command with --json; return its exit code and the document's data."""
    done = await house.run(*arguments, "--json")
    code = await done.over(HANGS_FOR)
    return code, json.loads("\n".join(done.out))["data"], done


async def all_say(house: House) -> dict[str, dict[str, Said]]:
    """What each command says of each session, by user."""
    commands = {"list": ("list",), "status": ("status",), "verify": ("verify", "--grace", "0"), "diagnose": ("diagnose", "--offline")}
    found: dict[str, dict[str, Said]] = {}
    for name, arguments in commands.items():
        _, data, _ = await asked(house, *arguments)
        for row in data["sessions"]:
            found.setdefault(row["user"], {})[name] = Said(row["state"], row["code"], row["exit_code"])
    return found


async def require_agreement(house: House, expected: dict[str, Said], retrying: tuple[str, ...] = ()) -> None:
    """Every command says of every session what is expected; and asked for that one alone, ends with its exit code.

    ``retrying``: these are tried again every second, so that their state may be another one by the next command, for the same reason.
    The first of ``expected`` are asked first: what passes by itself must stand there.
    """
    said = await all_say(house)
    for user in retrying:
        said[user] = {name: replace(row, state=expected[user].state) for name, row in said[user].items()}
    assert {user: set(rows.values()) for user, rows in said.items()} == {user: {what} for user, what in expected.items()}
    assert all(len(rows) == 4 for rows in said.values())
    places = asyncio.Semaphore(4)

    async def alone(user: str) -> tuple[str, int, int]:
        async with places:
            verify, _, _ = await asked(house, "verify", user, "--grace", "0")
            diagnose, _, _ = await asked(house, "diagnose", user, "--offline")
            return user, verify, diagnose

    ended = await asyncio.gather(*(alone(user) for user in expected))
    assert {user: (verify, diagnose) for user, verify, diagnose in ended} == {
        user: (what.exit_code, what.exit_code) for user, what in expected.items()
    }


async def test_every_state_that_a_manager_keeps(tmp_path: Path):
    async with House(tmp_path) as house:
        street = Street(house)
        serve = await street.prepare()
        for found in SITUATIONS:
            assert street.truly_online(found.name) == (found.state == "online"), f"{found.name}: the server sees it otherwise"
            assert bool(house.box.state.device(found.name)) == (found.name not in {"logged-out-here", "unlinked"})
        passing_first = sorted(SITUATIONS, key=lambda found: not found.late)
        expected = {found.name: Said(found.state, found.code, found.exit_code) for found in passing_first}
        quiet = await house.run("verify", "online", "black-hole")
        assert (await quiet.over(), quiet.text) == (0, "")
        loud = await house.run("verify", "--all", "--grace", "0")
        assert await loud.over() == max(what.exit_code for what in expected.values())
        assert not loud.out
        assert [line.split(":")[0] for line in loud.log] == sorted(user for user, what in expected.items() if what.exit_code)
        await require_agreement(house, expected, retrying=("unreachable", "reachable-again"))
        assert serve.process.returncode is None


async def test_what_nobody_keeps(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob", "carol")
        down = {user: Said("stopped", "NO_MANAGER", 8) for user in ("alice", "bob", "carol")}
        await require_agreement(house, down)
        serve = await house.serve()
        await house.online(serve, "alice", "bob", "carol")
        await require_agreement(house, {user: Said("online", "ONLINE", 0) for user in down})
        await serve.kill()
        sessions = [house.home.session(user) for user in down]
        await until(lambda: not any(session.lock_holder() for session in sessions), "the workers have drained")
        assert not any(house.device(user).online for user in down)
        await require_agreement(house, down)


async def test_a_manager_that_hangs_is_named_and_waited_for_within_bounds(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        os.kill(serve.process.pid, signal.SIGSTOP)
        try:
            said = await all_say(house)
        finally:
            os.kill(serve.process.pid, signal.SIGCONT)
        assert set(said["alice"].values()) == {Said("stopped", "MANAGER_SILENT", 8)}


async def test_sessions_that_the_manager_leaves_alone(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob", "carol")
        with house.home.session("carol").lock("somebody else"):
            serve = await house.serve("--only", "alice", "--only", "carol")
            await house.online(serve, "alice")
            connecting = await house.run("connect", "dora")
            await until((house.box.directory / "camera" / "dora").exists, lambda: f"a code:\n{connecting.text}")
            expected = {
                "alice": Said("online", "ONLINE", 0),
                "bob": Said("stopped", "NOT_KEPT", 8),
                "carol": Said("waiting", "SESSION_LOCKED", 9),
                "dora": Said("pairing", "PAIRING", 4),
            }
            await until(lambda: serve.has_said("another process holds this session"), "it waits")
            await require_agreement(house, expected, retrying=("carol",))


def test_every_state_is_in_the_table():
    """NEW lasts for the moment between a keeper's birth and its first event; no command can be told when to look."""
    seen = {found.state for found in SITUATIONS} | {"stopped", "pairing"}
    assert set(State) - seen == {State.NEW}


def test_every_exit_code_of_a_state_is_in_the_table():
    seen = {found.exit_code for found in SITUATIONS} | {8, 9}
    assert seen == {0, 3, 4, 5, 6, 7, 8, 9}
    assert {found.code for found in SITUATIONS} <= set(reasons.BY_CODE)
