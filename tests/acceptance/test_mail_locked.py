"""A session's mail that can't be written: its connection, the other sessions and the commands do not wait for it, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from homes import ECHO_BOT, House, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

LOCKED_FOR = 8.0
EVERY = 0.1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As another process does that writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


async def codes(house: House, command: str) -> tuple[float, dict[str, str], int]:
    """How long a command took, what it says of each session, and its exit code."""
    began = time.monotonic()
    done = await house.run(command, "--json")
    code = await done.over()
    rows = json.loads("\n".join(done.out))["data"]["sessions"]
    return time.monotonic() - began, {row["user"]: row["code"] for row in rows}, code


async def test_a_lock_on_one_sessions_mail_holds_nobody_else_up(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve("--brake", "0", bot=ECHO_BOT)  # dora writes as soon as she is answered
        await house.online(serve, "alice", "bob")
        workers = serve.workers
        said: list[str] = []
        waits: list[float] = []
        with locked(house.home.path / "alice" / "inbox.db"):
            began = time.monotonic()
            while time.monotonic() - began < LOCKED_FOR:
                text = str(len(said))
                said.append(text)
                house.box.say("carol", "alice", text)
                house.box.say("dora", "bob", text)
                waits.append(await until(lambda text=text: text in house.answers("dora"), f"{text} was answered"))
                await asyncio.sleep(EVERY)
            assert house.answers("carol") == []
            took, status, _ = await codes(house, "status")
            assert status == {"alice": "ONLINE", "bob": "ONLINE"}
            _, verified, code = await codes(house, "verify")
            assert (verified, code) == ({"alice": "MAIL_NOT_TAKEN", "bob": "ONLINE"}, 3)
        assert max(waits) < 1.0, waits
        assert took < 2.0
        await until(lambda: house.answers("carol") == said, lambda: f"all answered: {house.answers('carol')}", 20)
        assert serve.workers == workers
        assert not serve.has_said("stood still")
        assert not serve.has_said("does not keep")
        await serve.said("alice: its messages are taken in again")


@pytest.mark.parametrize("fault", ["failure 401", "stream-error replaced"])
async def test_what_becomes_of_a_session_is_seen_while_its_mail_is_locked(tmp_path: Path, fault: str):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        with locked(house.home.path / "alice" / "inbox.db"):
            house.box.say("carol", "alice", "hello")
            await serve.said("are being written right now", 20)  # whatever else wants to write to it waits 5 s before
            began = time.monotonic()
            house.box.fault("alice", *fault.split())
            if fault == "failure 401":
                house.box.fault("alice", "rst")
                await serve.said("logged")
            else:
                await serve.said("another")
            assert time.monotonic() - began < 3.0
        await until(lambda: house.home.session("alice").lock_holder() is None, "the worker has ended")
