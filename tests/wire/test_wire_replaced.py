"""Files of a living session that are replaced, deleted or cut, under the real library: no message is lost, and it is told."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from test_manager_wire import Manager, managing

from wasess.core import reasons
from wasess.store.gaps import Gaps
from wasess.store.inbox import Inbox
from wasess.store.mail import MailFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.wire

REPLACED = reasons.FILES_REPLACED.code


def spool_of(manager: Manager) -> Path:
    return manager.it.session("alice").folder / "spool.log"


def unlinked(path: Path) -> None:
    path.unlink()


def renamed_over(path: Path) -> None:
    """As rsync and cp --remove-destination do."""
    fresh = path.with_name(".spool.log.rsync")
    fresh.write_bytes(b"")
    fresh.chmod(0o600)
    fresh.replace(path)


def older_copy(path: Path) -> None:
    """A backup of some seconds ago is put back."""
    copy = path.with_name(".spool.log.backup")
    copy.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    copy.chmod(0o600)
    copy.replace(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def gaps(manager: Manager) -> int:
    with closing(MailFile(manager.it.session("alice").folder, read_only=True)) as mail:
        return sum(gap.count for gap in Gaps(mail).entries())


def texts(manager: Manager) -> list[str]:
    with closing(MailFile(manager.it.session("alice").folder, read_only=True)) as mail:
        return [item.message.text for item in Inbox(mail).items() if item.message]


def problem(manager: Manager) -> str:
    return next((keeper.live().problem for keeper in manager.supervisor._running()), "")


@pytest.mark.parametrize("damage", [unlinked, renamed_over, older_copy, emptied, cut])
async def test_a_spool_that_is_replaced_under_the_worker_loses_nothing(tmp_path: Path, damage: Callable[[Path], None]):
    async with managing(tmp_path, "alice") as manager:
        pid = manager.pid("alice")
        await manager.receives("alice", "before")
        damage(spool_of(manager))
        written = [manager.it.box.say("carol", "alice", f"number {number}") for number in range(50)]
        await manager.until(lambda: manager.told("alice", REPLACED), 5)
        await manager.until(lambda: set(written) <= set(manager.bot.got), 20)
        await manager.until(lambda: manager.online("alice") and manager.pid("alice") not in {0, pid})
        await manager.until(lambda: set(written) <= set(manager.device("alice").receipted))
        assert problem(manager) == REPLACED
        assert spool_of(manager).exists()


async def test_a_spool_that_is_deleted_in_traffic_loses_nothing(tmp_path: Path):
    """What was acknowledged before the deletion is read from the open file; what comes after it is not acknowledged there."""
    async with managing(tmp_path, "alice") as manager:
        written: list[str] = []

        async def write() -> None:
            for number in range(300):
                written.append(manager.it.box.say("carol", "alice", f"number {number}"))
                if number % 10 == 0:
                    await asyncio.sleep(0.01)

        writing = asyncio.create_task(write())
        for _ in range(2):
            await manager.until(lambda: spool_of(manager).exists() and manager.online("alice"))
            told = len(manager.told("alice", REPLACED))
            spool_of(manager).unlink()
            await manager.until(lambda told=told: len(manager.told("alice", REPLACED)) > told)
        await writing
        await manager.until(lambda: set(written) <= set(manager.bot.got), 20)
        await manager.until(lambda: set(written) <= set(manager.device("alice").receipted))
        assert gaps(manager) == 0


@pytest.mark.parametrize("damage", [unlinked, renamed_over])
async def test_an_inbox_that_is_replaced_under_the_manager_comes_back_whole(tmp_path: Path, damage: Callable[[Path], None]):
    async with managing(tmp_path, "alice") as manager:
        await manager.receives("alice", "before")
        inbox = manager.it.session("alice").folder / "inbox.db"
        damage(inbox)
        await manager.until(lambda: any("put back" in notice.reason for notice in manager.told("alice", REPLACED)), 10)
        await manager.until(lambda: manager.online("alice") and problem(manager) == REPLACED)
        await manager.receives("alice", "after")
        await manager.until(lambda: texts(manager) == ["before", "after"])
        assert inbox.stat().st_size
        assert gaps(manager) == 0


@pytest.mark.parametrize("damage", [emptied, cut])
async def test_an_inbox_that_is_cut_is_told_and_the_session_goes_on(tmp_path: Path, damage: Callable[[Path], None]):
    async with managing(tmp_path, "alice") as manager:
        for number in range(30):
            await manager.receives("alice", f"before {number} " + "x" * 1000)
        (keeper,) = manager.supervisor._running()
        await keeper.mail.mail.do(lambda mailbox: mailbox.settle())
        damage(manager.it.session("alice").folder / "inbox.db")
        await manager.until(lambda: manager.told("alice", REPLACED), 5)
        await manager.until(lambda: manager.told("alice", "MAIL_DAMAGED") or "put back" in manager.told("alice", REPLACED)[-1].reason)
        await manager.until(lambda: manager.online("alice") and problem(manager))
        await manager.receives("alice", "after")
        await manager.until(lambda: texts(manager)[-1:] == ["after"])
        assert len(texts(manager)) == 31 or gaps(manager)


@pytest.mark.parametrize("name", ["lock", "running"])
async def test_a_lock_or_mark_that_is_deleted_comes_back(tmp_path: Path, name: str):
    async with managing(tmp_path, "alice") as manager:
        path = manager.it.session("alice").folder / name
        path.unlink()
        await manager.until(path.exists, 5)
        await manager.until(lambda: manager.online("alice") and manager.pid("alice"))
        await manager.receives("alice", "after")


async def test_a_folder_that_is_deleted_as_a_whole_is_let_go(tmp_path: Path):
    async with managing(tmp_path, "alice", "bob") as manager:
        shutil.rmtree(manager.it.session("alice").folder)
        await manager.until(lambda: [keeper.user for keeper in manager.supervisor._running()] == ["bob"])
        await manager.receives("bob", "after")
