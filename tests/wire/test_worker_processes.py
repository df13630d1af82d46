"""How workers begin and end: lost hosts, lost fork servers, held locks, stuck dials, floods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest
from worker_rig import Follower, figure, rig

from wasess.core import events
from wasess.core.message import Reply
from wasess.errors import WorkerFailed
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec
from wasess.store.preflight import obstacle
from wasess.store.sessions import Home

pytestmark = pytest.mark.wire

SUPERVISOR = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from wasess.link.contract import Contract
    from wasess.link.host import WorkerHost
    from wasess.link.port import LinkSpec

    async def main(contract, home, *users):
        host = WorkerHost(Contract.load(Path(contract)))
        for user in users:
            link = await host.start(LinkSpec(user, Path(home, user), "run"))
            async for signal in link.signals():
                if signal.kind == "started":
                    print(signal.value, flush=True)
                    break
        await asyncio.Event().wait()

    asyncio.run(main(*sys.argv[1:]))
""")


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def gone(pids, seconds: float) -> float:
    """Wait until no process of ``pids`` is left; return how long it took."""
    start = time.monotonic()
    async with asyncio.timeout(seconds):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - processes give no event to a stranger
            await asyncio.sleep(0.01)
    return time.monotonic() - start


@contextlib.asynccontextmanager
async def host_at(answer: bytes | None, folder: Path):
    """A host whose stand-in answers every dial with these bytes, or never (None)."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is not None:
                writer.write(answer)
            else:
                await reader.read()
        writer.close()

    (folder / "ca.pem").write_text("")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        host = WorkerHost(Contract(f"http://127.0.0.1:{port}", folder / "ca.pem", bytes(32)))
        try:
            yield host
        finally:
            await host.close()


@pytest.fixture
def session(tmp_path):
    found = Home(tmp_path / "home").open(create=True).session("alice")
    found.create()
    return found


async def test_a_refused_dial_is_told_with_the_librarys_words(tmp_path, session):
    async with host_at(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", tmp_path) as host:
        ended = await Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session).ended()
        assert ended.value == "dial-failed"
        assert "Bad Gateway" in ended.detail


async def test_a_dial_that_never_ends_does_not_hold_up_a_stop(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
        await follower.until(lambda: follower.signals)
        start = time.monotonic()
        await follower.link.stop()
        assert time.monotonic() - start < 5
        assert (await follower.ended()).value == "stopped"


async def test_files_are_private_whatever_the_umask_of_the_host(tmp_path, session):
    before = os.umask(0)
    try:
        async with host_at(b"", tmp_path) as host:
            await Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session).ended()
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in session.folder.iterdir()} == {
        "device.db": "0o600",
        "spool.log": "0o600",
        "spool.ends": "0o600",
        "lock": "0o600",
        "running": "0o600",
    }


async def test_the_process_dumps_no_core_and_is_named_in_the_lock(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
        await follower.until(lambda: follower.signals)
        assert _core_limits(follower.pid) == ["0", "0"]
        assert session.lock_holder().pid == follower.pid
        assert session.lock_holder().purpose == "pairing"


async def test_a_session_held_by_another_process_is_not_touched(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        with session.lock("test"):
            follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
            ended = await follower.ended(10)
            assert ended.value == "locked"
            assert str(os.getpid()) in ended.detail
        assert not (session.folder / "device.db").exists()


async def test_workers_that_end_at_once_are_all_heard_of(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        for _ in range(100):
            link = await host.start(LinkSpec("alice", session.folder, "run", obstacle(session)))
            assert (await Follower(link, session).ended(5)).value == "no-device"


async def test_a_worker_waits_for_its_predecessor(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        lock = session.lock("test")
        follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
        asyncio.get_running_loop().call_later(0.3, lock.release)
        await follower.until(lambda: follower.signals)
        assert follower.signals[0].kind == "started"


async def test_a_worker_that_waits_for_the_lock_can_be_stopped(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        with session.lock("test"):
            follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
            start = time.monotonic()
            await follower.link.stop()
            assert time.monotonic() - start < 1
        assert (await follower.ended()).value == "stopped"


async def test_a_killed_worker_is_a_crash_and_its_signal_is_named(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
        await follower.until(lambda: follower.signals)
        os.kill(follower.pid, signal.SIGKILL)
        ended = await follower.ended()
        assert (ended.value, ended.detail) == ("crashed", "signal SIGKILL")
        with pytest.raises(WorkerFailed, match="not running"):
            await follower.link.pairing_code("4917012345667")


async def test_kill_is_at_once(tmp_path, session):
    async with host_at(None, tmp_path) as host:
        follower = Follower(await host.start(LinkSpec("alice", session.folder, "pair")), session)
        await follower.until(lambda: follower.signals)
        follower.link.kill()
        assert (await follower.ended(1)).value == "stopped"


async def test_a_worker_ended_from_outside_drains_and_is_missed(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        os.kill(follower.pid, signal.SIGTERM)
        ended = await follower.ended()
        assert (ended.value, ended.detail) == ("crashed", "ended by SIGTERM")


async def test_a_question_to_a_dying_worker_is_answered(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "mute", "all")
        sending = asyncio.create_task(follower.link.send(f"{it.box.contact('bob').number}@s.whatsapp.net", Reply("hello")))
        await asyncio.sleep(0)
        os.kill(follower.pid, signal.SIGKILL)
        with pytest.raises(WorkerFailed, match="ended before it could answer"):
            await sending


async def test_a_dead_fork_server_takes_its_workers_down_gently_and_is_replaced(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        (fork_server,) = [pid for pid in children(os.getpid()) if follower.pid in children(pid)]
        os.kill(fork_server, signal.SIGKILL)
        ended = await follower.ended(6)
        assert ended.value == "crashed"
        follower = await it.start("alice")
        await follower.event(events.Connected)


async def test_a_stuck_fork_server_does_not_keep_a_worker_alive(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        (fork_server,) = [pid for pid in children(os.getpid()) if follower.pid in children(pid)]
        os.kill(fork_server, signal.SIGSTOP)
        try:
            os.kill(follower.pid, signal.SIGSTOP)
            await follower.link.stop()
            assert (await follower.ended()).value == "stopped"
        finally:
            os.kill(fork_server, signal.SIGCONT)


async def test_no_worker_outlives_a_supervisor_that_is_killed(tmp_path):
    async with rig(tmp_path) as it:
        users = ["alice", "bob", "carol"]
        for user in users:
            await it.linked(user)
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, it.box.contract_path, it.home.path, *users, stdout=asyncio.subprocess.PIPE
        )
        workers = [int(await supervisor.stdout.readline()) for _ in users]
        await it.box.until(lambda: all(it.box.state.device(user).online for user in users))
        (fork_server,) = children(supervisor.pid)
        supervisor.kill()
        await supervisor.wait()
        took = await gone([*workers, fork_server], 5)
        figure(f"workers gone {took:.2f} s after kill -9 of the supervisor")
        for user in users:  # and nothing is held any more
            follower = await it.start(user)
            await follower.event(events.Connected)


async def test_no_worker_outlives_it_even_while_its_dial_hangs(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        it.box.fault("alice", "stall", "upgrade")
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, it.box.contract_path, it.home.path, "alice", stdout=asyncio.subprocess.PIPE
        )
        worker = int(await supervisor.stdout.readline())
        (fork_server,) = children(supervisor.pid)
        supervisor.kill()
        await supervisor.wait()
        await gone([worker, fork_server], 5)


async def test_a_stop_in_the_middle_of_a_flood_loses_nothing_that_was_acknowledged(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        for number in range(300):
            it.box.say("bob", "alice", f"message {number}")
        device = it.box.state.device("alice")
        await it.box.until(lambda: len(device.receipted) > 100)
        await follower.link.stop()
        await follower.ended()
        spooled = {message.id for message in follower.messages()}
        assert set(device.receipted) <= spooled
        figure(f"{len(device.receipted)} of 300 acknowledged when it stopped, {len(spooled)} spooled")
        rest = await it.start("alice")
        await rest.until(lambda: len(spooled | {message.id for message in rest.messages()}) == 300)


async def test_a_kill_in_the_middle_of_a_flood_loses_next_to_nothing(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        sent = [it.box.say("bob", "alice", f"message {number}") for number in range(300)]
        device = it.box.state.device("alice")
        await it.box.until(lambda: len(device.receipted) > 50)
        os.kill(follower.pid, signal.SIGKILL)
        await follower.ended()
        rest = await it.start("alice")
        await rest.event(events.Connected)
        await it.box.until(lambda: set(device.receipted) >= set(sent))
        await rest.link.stop()
        await rest.ended()
        found = {message.id for message in follower.messages() + rest.messages()}
        figure(f"{300 - len(found)} of 300 lost to kill -9")
        assert len(found) >= 295


async def test_workers_cost_little(tmp_path):
    count = 10
    async with rig(tmp_path) as it:
        for number in range(count):
            await it.linked(f"user{number}")
        start = time.monotonic()
        followers = await asyncio.gather(*(it.start(f"user{number}") for number in range(count)))
        await asyncio.gather(*(follower.event(events.Connected) for follower in followers))
        took = time.monotonic() - start
        try:
            sizes = [_pss(follower.pid) for follower in followers]
        except PermissionError:
            pytest.skip("only root may look: a worker gives up its /proc/PID")
        figure(f"{count} workers online in {took:.2f} s, PSS {sum(sizes) / count / 1024:.1f} MB each")
        assert sum(sizes) / count < 15 * 1024


def _core_limits(pid: int) -> list[str]:
    return next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core" in line).split()[4:6]


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
