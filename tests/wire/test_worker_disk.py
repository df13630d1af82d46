"""The disk and device.db under the real library: full, locked, and everything that can happen to a file."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import full_disk
import pytest
from worker_rig import figure, rig

from wasess.core import events
from wasess.core.states import State
from wasess.store.records import SessionRecord

pytestmark = pytest.mark.wire

MIB = 2**20

LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
database.execute("ROLLBACK")
"""


def database_of(session) -> Path:
    return session.folder / "device.db"


def pre_keys(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM whatsmeow_pre_keys").fetchone()[0])


def remember(session) -> None:
    session.record.save(SessionRecord(session.user, 1.0, State.ONLINE, "ONLINE", 1.0, paired_at=1.0, jid=session.device().jid))


# --- credentials that the library deletes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("failure", "401"), ("failure", "403"), ("failure", "406"), ("stream-error", "device_removed")])
async def test_the_library_deletes_the_device_and_the_row_stays(tmp_path, words):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        session, path = follower.session, database_of(follower.session)
        device, keys = session.device(), pre_keys(path)
        assert device is not None
        it.box.fault("alice", *words)
        if words[0] == "failure":
            it.box.fault("alice", "rst")
        assert await follower.event(events.LoggedOut)
        await follower.link.stop()
        await follower.ended()
        assert (session.device(), session.credentials().unlinked) == (None, True)
        assert pre_keys(path) == keys > 0
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            assert database.execute("SELECT jid FROM whatsmeow_device").fetchall() == [(device.jid,)]
        again = await it.start("alice")
        assert (await again.ended()).value == "no-device"


async def test_a_first_start_protects_the_credentials_and_the_next_writes_nothing(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        await follower.link.stop()
        await follower.ended()
        path = database_of(follower.session)
        before = path.read_bytes(), path.stat().st_mtime_ns
        started = time.perf_counter()
        for _ in range(100):
            assert follower.session.protected_credentials().device
        figure(f"a look at protected credentials: {(time.perf_counter() - started) * 10:.2f} ms")
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before


async def test_a_start_right_after_a_pairing_waits_for_the_lock_and_protects(tmp_path):
    async with rig(tmp_path) as it:
        pairing = await it.pair("alice")
        stopping = asyncio.create_task(pairing.link.stop())
        follower = await it.start("alice")
        await follower.event(events.Connected)
        await stopping
        it.box.fault("alice", "stream-error", "device_removed")
        await follower.event(events.LoggedOut)
        await follower.link.stop()
        assert follower.session.credentials().unlinked


# --- device.db ---------------------------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"this was a database once. " * 2000)


def half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def nothing(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def another_database(path: Path) -> None:
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE other (x)")
    other.chmod(0o600)
    other.replace(path)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE whatsmeow_version SET version = 99, compat = 99")


FAULTS = [
    (garbage, "file is not a database"),
    (half, "malformed"),
    (nothing, "device.db is empty"),
    (Path.unlink, "device.db is missing"),
    (another_database, "device.db has no tables"),
    (newer, "unsupported database schema version: currently on v99"),
]


@pytest.mark.parametrize(("damage", "words"), FAULTS, ids=[damage.__name__ for damage, _ in FAULTS])
async def test_a_start_with_a_bad_database_ends_named_and_changes_nothing(tmp_path, damage, words):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        session = it.session("alice")
        path, aside = database_of(session), tmp_path / "aside"
        remember(session)
        session.protected_credentials()
        shutil.copy2(path, aside)
        damage(path)
        left = path.read_bytes() if path.exists() else None
        follower = await it.start("alice")
        end = await follower.ended()
        assert (end.value, {signal.kind for signal in follower.signals} & {"qr"}) == ("database", set())
        assert words in end.detail
        assert (path.read_bytes() if path.exists() else None) == left
        assert it.box.state.device("alice").logins == 1
        path.unlink(missing_ok=True)
        shutil.copy2(aside, path)
        again = await it.start("alice")
        await again.event(events.Connected)


@pytest.mark.parametrize(("damage", "words"), FAULTS[:5], ids=[damage.__name__ for damage, _ in FAULTS[:5]])
async def test_a_message_that_meets_a_bad_database_is_not_lost(tmp_path, damage, words):
    del words
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        path, aside = database_of(follower.session), tmp_path / "aside"
        it.box.say("bob", "alice", "all is well")
        await follower.event(events.MessageReceived)
        shutil.copy2(path, aside)
        damage(path)
        sent = it.box.say("bob", "alice", "into the void")
        device = it.box.state.device("alice")
        ended = lambda: follower.signals[-1].kind == "ended"  # noqa: E731 - a condition among others
        with suppress(TimeoutError):
            await it.box.until(lambda: ended() or ("message", sent) not in device.pending, 10)
        figure(f"{damage.__name__}: {follower.signals[-1]}, {'' if ('message', sent) in device.pending else 'not '}kept by WhatsApp")
        await follower.link.stop()
        await follower.ended()
        path.unlink(missing_ok=True)
        shutil.copy2(aside, path)
        again = await it.start("alice")
        await again.event(events.Connected)
        await again.until(lambda: sent in {message.id for message in [*follower.messages(), *again.messages()]})


async def test_a_message_waits_for_a_database_that_is_locked_for_8_seconds(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.say("bob", "alice", "before")
        await follower.event(events.MessageReceived)
        command = [sys.executable, "-c", LOCK, str(database_of(follower.session)), "8"]
        locker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert locker.stdout is not None
        await locker.stdout.readline()
        sent = it.box.say("bob", "alice", "meanwhile")
        assert (await follower.event(events.MessageReceived, 25)).message.id == sent
        await locker.wait()


# --- a full disk ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size"), [(3, 20), (700, 3000), (120, 60000)])
async def test_nothing_is_lost_on_a_file_system_that_is_full(tmp_path, count, size):
    under = full_disk.mounting()
    if not under:
        pytest.skip("no file system can be mounted here; the test below fills the same room in another way")
    command = (*under, *full_disk.MOUNTED, str(tmp_path), sys.executable, full_disk.__file__, str(tmp_path), str(count), str(size))
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    figure(f"{count} messages of {size} letters on a full disk: {found}")
    assert (found["cause"], found["lost"], found["missing"]) == ("disk-full", 0, 0)


async def test_nothing_is_lost_when_the_spool_may_not_grow(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.say("bob", "alice", "there is room")
        await follower.event(events.MessageReceived)
        limit = 8 * MIB  # the library's journal of 1000 pages is a file of the same process

        def fill() -> None:
            resource.prlimit(follower.pid, resource.RLIMIT_FSIZE, (limit, limit))

        found = await full_disk.burst(it, follower, [f"{n} ".ljust(12_000, "x") for n in range(700)], fill, lambda: None)
        figure(f"700 messages of 12,000 letters into a spool that may grow to 8 MiB: {found}")
        assert (found["cause"], found["lost"], found["missing"]) == ("disk-full", 0, 0)
        assert found["at once"] > 100
