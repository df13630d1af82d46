"""Sessions that are logged out cost nothing while nothing happens to them, and are noticed all the same when they are paired again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from homes import PAIRED_AGO, House, measured, until

from wasess.core.reasons import LOGGED_OUT
from wasess.core.states import State
from wasess.store.records import SessionRecord

pytestmark = pytest.mark.acceptance

LOGGED_OUT_SESSIONS = 298
WATCHED_FOR = 10.0
MOST_OF_A_CORE = 0.02
NOTICED_WITHIN = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


def log_out(house: House, like: str, *users: str) -> None:
    """Sessions as WhatsApp leaves them after it has unlinked their devices."""
    now = time.time()
    for user in users:
        session = house.home.session(user)
        session.create()
        shutil.copy(house.home.session(like).folder / "device.db", session.folder)
        with closing(sqlite3.connect(session.folder / "device.db")) as database, database:
            database.execute("DELETE FROM whatsmeow_device")
        session.record.save(
            SessionRecord(
                user, now - PAIRED_AGO, State.LOGGED_OUT, LOGGED_OUT.code, now, paired_at=now - PAIRED_AGO, jid=f"{user}:1@s.whatsapp.net"
            )
        )


def busy(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def share_of_a_core(pid: int) -> float:
    began, before = time.monotonic(), busy(pid)
    await asyncio.sleep(WATCHED_FOR)  # a measurement, of what happens when nothing does
    return (busy(pid) - before) / (time.monotonic() - began)


@pytest.mark.alone
async def test_logged_out_sessions_cost_nothing_and_come_back_at_once(house):
    await house.link("alice", "bob")
    serve = await house.serve()
    await house.online(serve, "alice", "bob")
    await asyncio.sleep(3)  # what comes up costs something
    without = await share_of_a_core(serve.process.pid)
    users = [f"gone{number:03}" for number in range(LOGGED_OUT_SESSIONS)]
    log_out(house, "alice", *users)
    await until(lambda: serve.has_said(f"{users[-1]}: "), lambda: f"all were seen:\n{serve.text}", 30)
    await asyncio.sleep(3)
    with_them = await share_of_a_core(serve.process.pid)
    measured(f"{with_them:.1%} of a core with {len(users)} sessions that are logged out, {without:.1%} without")
    assert with_them - without < MOST_OF_A_CORE

    await house.connect(users[7])
    took = await until(lambda: house.device(users[7]).online and serve.has_said(f"{users[7]} restored"), lambda: serve.text, NOTICED_WITHIN)
    measured(f"the one that was paired again was online {took:.1f} s later")
