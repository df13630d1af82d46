"""The whole manager, in this process, over real workers on the sandbox: what breaks one session leaves the others alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from worker_rig import Rig, figure, rig

from wasess.delivery.bot import Outcome, Verdict
from wasess.link.contract import Contract
from wasess.link.hints import hint_of
from wasess.link.host import WorkerHost
from wasess.link.translate import translate
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from wasess.core.message import Message
    from wasess.sandbox.state import Device
    from wasess.supervisor.report import Notice

pytestmark = pytest.mark.wire

MIB = 2**20


class Listener:
    """A bot that only takes down the ids of messages."""

    at_once = 8
    pauses = (1.0, 2.0)

    def __init__(self) -> None:
        self.got: list[str] = []

    async def ask(self, message: Message) -> Outcome:
        self.got.append(message.id)
        return Outcome(Verdict.ANSWERED)

    async def close(self) -> None:
        pass


class Manager:
    """A supervisor that runs, what it has told, what the bot got, and what the server knows."""

    def __init__(self, it: Rig, settings: Settings) -> None:
        self.it = it
        self.notices: list[Notice] = []
        self.bot = Listener()
        host = WorkerHost(Contract.load(it.box.contract_path))
        self.supervisor = Supervisor(it.home, host, translate, self, hint=hint_of, bot=self.bot, settings=settings)

    def report(self, notice: Notice) -> None:
        self.notices.append(notice)

    def device(self, user: str) -> Device:
        device = self.it.box.state.device(user)
        assert device
        return device

    def pid(self, user: str) -> int:
        """Of the worker; 0 when there is none."""
        holder = self.it.home.session(user).lock_holder()
        return holder.pid or 0 if holder else 0

    def online(self, user: str) -> bool:
        return any(keeper.online for keeper in self.supervisor._running() if keeper.user == user) and self.device(user).active

    def told(self, user: str, code: str) -> list[Notice]:
        return [notice for notice in self.notices if (notice.session, notice.code) == (user, code)]

    def gave_up(self, user: str) -> list[Notice]:
        return [notice for notice in self.told(user, "GAVE_UP") if notice.level == "warning"]

    async def until(self, condition: Callable[[], Any], seconds: float = 15) -> float:
        """Wait for it; return how many seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, "\n".join(str(notice) for notice in self.notices[-20:])
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def receives(self, user: str, words: str) -> None:
        """A contact writes, and the session confirms it."""
        written = self.it.box.say("carol", user, words)
        await self.until(lambda: written in self.device(user).receipted)


@asynccontextmanager
async def managing(folder: Path, *users: str, settings: Settings | None = None, push_name: str = "") -> AsyncIterator[Manager]:
    """Sessions that were linked before, and a manager that has brought them up."""
    async with rig(folder) as it:
        await asyncio.gather(*(it.linked(user) for user in users))
        for user in users if push_name else ():
            with closing(sqlite3.connect(it.session(user).folder / "device.db")) as database, database:
                database.execute("UPDATE whatsmeow_device SET push_name = ?", (push_name,))
        manager = Manager(it, settings or Settings())
        running = asyncio.create_task(manager.supervisor.run())
        try:
            await manager.until(lambda: all(manager.online(user) for user in users))
            yield manager
            manager.supervisor.stop()
            assert await asyncio.wait_for(running, 15) == 0
        finally:
            manager.supervisor.leave()
            await asyncio.wait({running}, timeout=15)


async def test_a_stopped_worker_is_replaced_and_the_other_session_does_not_notice(tmp_path: Path):
    async with managing(tmp_path, "alice", "bob") as manager:
        hung, other = manager.pid("alice"), manager.pid("bob")
        logins = manager.device("alice").logins
        os.kill(hung, signal.SIGSTOP)
        began = time.monotonic()
        written = manager.it.box.say("carol", "alice", "while it hung")
        await manager.receives("bob", "meanwhile")
        detected = await manager.until(lambda: manager.told("alice", "WORKER_STUCK"), 6)
        await manager.until(lambda: manager.device("alice").logins > logins and manager.online("alice"), 6)
        back = time.monotonic() - began
        figure(f"a stopped worker: told in {detected:.1f} s, back in {back:.1f} s")
        assert back < 6
        await manager.until(lambda: written in manager.device("alice").receipted)
        assert manager.pid("alice") not in {0, hung}
        assert manager.pid("bob") == other
        assert manager.device("bob").logins == 2  # the pairing's, and the manager's
        assert len(manager.told("bob", "ONLINE")) == 1


async def test_a_worker_that_is_too_large_is_replaced_and_loses_nothing(tmp_path: Path):
    async with managing(tmp_path, "alice", settings=Settings(worker_memory=MIB)) as manager:
        large = manager.pid("alice")
        await manager.until(lambda: manager.told("alice", "WORKER_TOO_LARGE"), 6)
        written = manager.it.box.say("carol", "alice", "in between")
        await manager.until(lambda: manager.online("alice") and manager.pid("alice") not in {0, large})
        await manager.until(lambda: written in manager.device("alice").receipted)
        (first, *_) = manager.told("alice", "WORKER_TOO_LARGE")
        assert "MiB of 1)" in first.reason


async def test_what_came_right_behind_the_515_is_not_lost_when_the_redial_fails(tmp_path: Path):
    """The library gives up while the message is between its decryption and the spool: killed there, one in thirteen was lost."""
    users = tuple(f"user-{number}" for number in range(10))
    async with managing(tmp_path, *users) as manager:
        written: list[str] = []

        async def falls(user: str) -> None:
            logins = manager.device(user).logins
            manager.it.box.fault(user, "refuse", "count=1")
            manager.it.box.fault(user, "stream-error", "515")
            written.append(manager.it.box.say("carol", user, "right behind it"))
            await manager.until(lambda: manager.device(user).logins > logins and manager.online(user))

        for _ in range(3):
            await asyncio.gather(*map(falls, users))
            await manager.until(lambda: set(written) <= set(manager.bot.got))
        assert all(len(manager.gave_up(user)) == 3 for user in users)
        assert len(manager.bot.got) == len(written)


async def test_a_worker_within_its_limit_stays(tmp_path: Path):
    async with managing(tmp_path, "alice", settings=Settings(worker_memory=256 * MIB)) as manager:
        pid = manager.pid("alice")
        began = time.monotonic()
        while time.monotonic() - began < 3:  # three looks
            await manager.receives("alice", f"at {time.monotonic() - began}")
        assert manager.pid("alice") == pid
        assert not manager.told("alice", "WORKER_TOO_LARGE")


async def test_a_database_that_is_removed_is_named_and_none_is_made_in_its_place(tmp_path: Path):
    async with managing(tmp_path, "alice", "bob") as manager:
        other = manager.pid("bob")
        database = manager.it.session("alice").folder / "device.db"
        database.unlink()
        detected = await manager.until(lambda: manager.told("alice", "DATABASE_LOST"), 3)
        figure(f"a removed database: told in {detected:.1f} s")
        assert "device.db was removed" in manager.told("alice", "DATABASE_LOST")[0].reason
        await manager.until(lambda: manager.told("alice", "DATABASE_DAMAGED"))
        assert not database.exists()
        await manager.receives("bob", "meanwhile")
        assert manager.pid("bob") == other


async def test_a_database_that_was_put_back_is_used(tmp_path: Path):
    """Somebody restores a backup under the worker: the next worker looks at the file, and finds it good."""
    async with managing(tmp_path, "alice") as manager:
        pid = manager.pid("alice")
        database = manager.it.session("alice").folder / "device.db"
        shutil.copy(database, database.with_name("backup"))
        database.with_name("backup").chmod(0o600)
        database.with_name("backup").replace(database)
        await manager.until(lambda: manager.told("alice", "DATABASE_LOST"), 3)
        await manager.until(lambda: manager.online("alice") and manager.pid("alice") not in {0, pid})
        assert [notice.level for notice in manager.told("alice", "DATABASE_LOST")] == ["warning", "debug"]


@pytest.mark.parametrize(("seen", "shown"), [(True, ["available", "unavailable"]), (False, ["unavailable"])])
async def test_the_server_sees_the_device_in_use_for_a_moment_or_never(tmp_path: Path, seen: bool, shown: list[str]):
    async with managing(tmp_path, "alice", settings=Settings(seen=seen), push_name="Alice") as manager:

        def presences() -> list[str]:
            return [fact.detail for fact in manager.it.box.state.history if fact.what == "presence"]

        await manager.until(lambda: presences()[-1:] == ["unavailable"])
        assert presences() == shown
        assert not manager.device("alice").available


async def test_a_black_hole_is_found_and_left_in_fifty_seconds(tmp_path: Path):
    async with managing(tmp_path, "alice", "bob") as manager:
        other, logins = manager.pid("bob"), manager.device("alice").logins
        manager.it.box.fault("alice", "freeze", "live")
        began = time.monotonic()
        written = manager.it.box.say("carol", "alice", "into the hole")
        detected = await manager.until(lambda: manager.told("alice", "ZOMBIE"), 50)
        await manager.until(lambda: manager.device("alice").logins > logins and manager.online("alice"), 50)
        back = time.monotonic() - began
        figure(f"a black hole: told in {detected:.1f} s, back in {back:.1f} s")
        assert back < 50
        await manager.until(lambda: written in manager.device("alice").receipted)
        assert manager.pid("bob") == other
