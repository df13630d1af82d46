"""What can be seen of a worker from outside, and what WhatsApp's silence looks like: the real library against the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from dead_route import deafen
from worker_rig import Follower, figure, rig

from wasess.core import events
from wasess.core.message import Reply
from wasess.errors import WorkerFailed
from wasess.link.contract import Contract
from wasess.link.hints import hint_of
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec
from wasess.store.lock import FileLock

pytestmark = pytest.mark.wire

NOBODY = "65534"


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not (found := condition()):  # noqa: ASYNC110 - a process says nothing when it changes
            await asyncio.sleep(0.02)
    return found


async def timed(call):
    began = time.monotonic()
    await call
    return time.monotonic() - began


def connections_to(port):
    """This process's ends of the connections to a port of its own, which is the sandbox's."""
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as one:
            if one.family == socket.AF_INET and one.getsockname()[1] == port and one.getpeername():
                yield one


# --- probes ---------------------------------------------------------------------------------------------------------


async def test_a_healthy_session_answers_at_once(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        took = [await timed(follower.link.probe()) for _ in range(5)]
        figure(f"a probe takes {max(took) * 1000:.1f} ms")
        assert max(took) < 1


async def test_a_black_hole_does_not_answer_and_nothing_stays_behind(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "freeze")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await follower.link.probe()
        with pytest.raises(WorkerFailed, match="3 requests are still without an answer"):
            await follower.link.probe()
        assert follower.link.vitals().beat_age < 3
        it.box.fault("alice", "thaw")
        async with asyncio.timeout(20):
            while not await _answers(follower):  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.05)  # the old ones are answered one by one
        sent = await follower.link.send(f"{it.box.contact('bob').number}@s.whatsapp.net", Reply("hello"))
        await it.box.until(lambda: [message.id for message in it.box.contact("bob").received] == [sent])
        await follower.link.stop()


async def _answers(follower):
    with contextlib.suppress(WorkerFailed):
        await follower.link.probe()
        return True
    return False


async def test_a_muted_server_keeps_a_probe_waiting(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "mute", "iq")
        probing = asyncio.create_task(follower.link.probe())
        done, _ = await asyncio.wait([probing], timeout=3)
        assert not done
        it.box.clear("alice")
        await follower.link.probe()
        follower.link.kill()
        with pytest.raises(WorkerFailed, match="ended"):
            await probing


async def test_a_slow_answer_is_an_answer(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "slow", "8")
        took = await timed(follower.link.probe())
        figure(f"a probe of a server that is 8 s late takes {took:.2f} s")
        assert 7.9 < took < 14


async def test_before_the_session_is_up_a_probe_is_refused(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        it.box.fault("alice", "stall", "connect")
        follower = await it.start("alice")
        await follower.until(lambda: follower.signals)
        with pytest.raises(WorkerFailed, match="not up yet"):
            await follower.link.probe()
        with pytest.raises(WorkerFailed, match="not up yet"):
            await follower.link.presence(available=True)
        follower.link.kill()


async def test_a_device_with_a_name_shows_whether_it_is_in_use(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        with contextlib.closing(sqlite3.connect(it.session("alice").folder / "device.db")) as database, database:
            database.execute("UPDATE whatsmeow_device SET push_name = 'Alice'")
        follower = await it.start("alice")
        await follower.event(events.Connected)
        device = it.box.state.device("alice")
        await follower.link.presence(available=True)
        await it.box.until(lambda: device.available)
        await follower.link.presence(available=False)
        await it.box.until(lambda: not device.available)


# --- the line -------------------------------------------------------------------------------------------------------


async def test_the_line_is_seen_to_be_gone_while_the_library_sleeps_between_dials(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        await until(lambda: follower.link.vitals().beat_age)
        assert follower.link.vitals().line_age == 0
        it.box.fault("alice", "refuse")
        it.box.fault("alice", "rst")
        await until(lambda: follower.link.vitals().line_age > 3)
        assert follower.link.vitals().unacked_age == 0
        it.box.clear("alice")
        await follower.event(events.Connected)
        await until(lambda: follower.link.vitals().line_age == 0)


async def test_a_dead_route_is_seen_by_what_nobody_acknowledges(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        await follower.link.probe()
        port = int(Contract.load(it.box.contract_path).proxy_for("").rpartition(":")[2])
        assert [deafen(one) for one in connections_to(port)] == [None]
        probing = asyncio.create_task(follower.link.probe())
        await until(lambda: follower.link.vitals().unacked_age > 3)
        assert follower.link.vitals().line_age == 0
        follower.link.kill()
        with pytest.raises(WorkerFailed):
            await probing


# --- the process ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become nobody")
async def test_a_worker_can_be_looked_at_by_somebody_who_is_not_root(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        files = [f"/proc/{follower.pid}/{name}" for name in ("stat", "statm")]
        as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "cat"]
        found = await asyncio.to_thread(subprocess.run, [*as_nobody, *files], capture_output=True, check=True)
        assert int(found.stdout.split()[-6]) > 1000  # resident pages
        hidden = await asyncio.to_thread(subprocess.run, [*as_nobody, f"/proc/{follower.pid}/maps"], capture_output=True, check=False)
        assert hidden.returncode


async def test_a_worker_may_open_so_many_files(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        host = WorkerHost(Contract.load(it.box.contract_path), files=48)
        follower = Follower(await host.start(LinkSpec("alice", it.session("alice").folder, "run")), it.session("alice"))
        await follower.event(events.Connected)
        assert _most_files(follower.pid) == ["48", "48"]
        await follower.link.probe()
        await host.close()


def _most_files(pid):
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max open files")).split()[3:5]


async def test_a_worker_lives_while_it_waits_for_the_lock(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        lock = FileLock.acquire(it.session("alice").folder / "lock", "test")
        follower = await it.start("alice")
        await until(lambda: follower.link.vitals().beat_age)
        assert not [signal for signal in follower.signals if signal.kind == "started"]
        lock.release()
        await follower.event(events.Connected)


# --- what only the log says -------------------------------------------------------------------------------------------


async def hinted(follower, wanted):
    """Wait for this event, made from what the library logs; return all that came."""

    def found():
        return [event for kind, text in follower.hints if (event := hint_of(kind, text))]

    await follower.until(lambda: any(isinstance(event, wanted) for event in found()))
    return found()


@pytest.mark.parametrize(("fault", "status"), [("upgrade 429", 429), ("upgrade 503", 503), ("connect 403", 403)])
async def test_a_redial_that_is_refused(tmp_path, fault, status):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "http_status", *fault.split())
        it.box.fault("alice", "rst")
        assert set(await hinted(follower, events.DialRefused)) == {events.DialRefused(status)}


async def test_a_redial_that_is_not_answered_means_nothing_yet(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "refuse", "count=1")
        it.box.fault("alice", "rst")
        await follower.event(events.Connected)
        await follower.until(lambda: any("Error reconnecting after autoreconnect sleep" in line for line in follower.logs))
        assert not [event for kind, text in follower.hints if (event := hint_of(kind, text))]


@pytest.mark.parametrize("fault", ["refuse count=1", "http_status upgrade 429 count=1"])
async def test_a_515_that_fails_is_the_end(tmp_path, fault):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", *fault.split())
        it.box.fault("alice", "stream-error", "515")
        (found,) = await hinted(follower, events.LibraryGaveUp)
        assert "515" in found.detail


async def test_a_database_that_somebody_holds(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        with contextlib.closing(sqlite3.connect(follower.session.folder / "device.db", isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            it.box.say("bob", "alice", "hello")
            assert set(await hinted(follower, events.DatabaseBusy)) == {events.DatabaseBusy()}
            holder.execute("ROLLBACK")
        await follower.event(events.MessageReceived)


def _overwrite(database, start):
    with database.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(database.stat().st_size - start))


# One that is unlinked or replaced the library does not notice: `supervisor.watch` does (test_manager_wire.py).
LOSSES = {
    "garbage": lambda database: _overwrite(database, 0),
    "garbage-behind-the-header": lambda database: _overwrite(database, 4096),
    "empty": lambda database: os.truncate(database, 0),
    "cut": lambda database: os.truncate(database, 8192),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_database_that_is_lost(tmp_path, loss):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        LOSSES[loss](follower.session.folder / "device.db")
        it.box.say("bob", "alice", "hello")
        found = await hinted(follower, events.DatabaseLost)
        figure(f"{loss}: {sorted({event.detail for event in found if isinstance(event, events.DatabaseLost)})}")
        follower.link.kill()
