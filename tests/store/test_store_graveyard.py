"""Credentials that the library deletes. The library itself does it in tests/wire/test_worker_disk.py."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from wasess.core.states import State
from wasess.errors import Locked
from wasess.store.device import protect_device
from wasess.store.records import SessionRecord

# What matters of whatsmeow's schema (version 15): one table, and one that hangs on it.
SCHEMA = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, noise_key BLOB NOT NULL, identity_key BLOB NOT NULL,
    platform TEXT NOT NULL DEFAULT '', push_name TEXT NOT NULL DEFAULT ''
);
CREATE TABLE whatsmeow_pre_keys (
    jid TEXT, key_id INTEGER, PRIMARY KEY (jid, key_id),
    FOREIGN KEY (jid) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE ON UPDATE CASCADE
);
"""
JID = "491701234567:3@s.whatsapp.net"

HOLD = """
import sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], "worker")
print("held", flush=True)
sys.stdin.readline()
"""

# May write no file longer than $2 bytes (0: any).
PROTECT = """
import pathlib, resource, sys
from wasess.store.device import protect_device
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    protect_device(pathlib.Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""
SMALL_DISK = (
    'mount -t tmpfs -o size=128k,mode=700 none "$1" || exit 9; cp -p "$2" "$1"; dd if=/dev/zero of="$1"/filler 2>&-; shift 2; exec "$@"'
)


@pytest.fixture
def alice(home):
    session = home.session("alice")
    session.create()
    path = session.folder / "device.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', ?, ?, 'android', 'Alice')", (JID, bytes(32), bytes(32)))
        database.executemany("INSERT INTO whatsmeow_pre_keys VALUES (?, ?)", [(JID, number) for number in range(50)])
    return session


def ask(session, query):
    with closing(sqlite3.connect(f"file:{session.folder / 'device.db'}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def delete(session) -> None:
    """As whatsmeow does, with foreign keys on."""
    with closing(sqlite3.connect(session.folder / "device.db")) as database, database:
        database.execute("PRAGMA foreign_keys = on")
        database.execute("DELETE FROM whatsmeow_device WHERE jid = ?", (JID,))


def test_without_protection_everything_is_deleted(alice):
    delete(alice)
    assert (alice.device(), alice.credentials().unlinked) == (None, False)
    assert ask(alice, "SELECT count(*) FROM whatsmeow_pre_keys") == [(0,)]


def test_what_the_library_deletes_is_kept_and_no_longer_linked(alice):
    before = int(time.time())
    assert alice.protected_credentials().device.jid == JID
    delete(alice)
    delete(alice)
    assert (alice.device(), alice.linked, alice.credentials().unlinked) == (None, False, True)
    assert ask(alice, "SELECT jid FROM whatsmeow_device") == [(JID,)]
    assert ask(alice, "SELECT count(*) FROM whatsmeow_pre_keys") == [(50,)]
    ((jid, deleted_at),) = ask(alice, "SELECT jid, deleted_at FROM wasess_graveyard")
    assert jid == JID
    assert before <= deleted_at <= time.time()
    assert alice.protected_credentials().device is None


def test_protection_is_set_once(alice):
    path = alice.folder / "device.db"
    alice.protected_credentials()
    before = path.read_bytes(), path.stat().st_mtime_ns
    alice.protected_credentials()
    with alice.lock("somebody else's"):
        alice.protected_credentials()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    protect_device(path)
    assert alice.device().jid == JID


def test_nothing_is_written_while_a_worker_holds_the_session(alice, another):
    path = alice.folder / "device.db"
    before = path.read_bytes()
    with another(HOLD, alice.folder / "lock"), pytest.raises(Locked, match="'alice' is in use"):
        alice.protected_credentials()
    assert path.read_bytes() == before


def test_a_worker_on_its_way_out_is_waited_for(alice, another):
    with another(HOLD, alice.folder / "lock") as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        assert alice.protected_credentials().device.jid == JID
    assert ask(alice, "SELECT name FROM sqlite_master WHERE type = 'trigger'") == [("wasess_keep_device",)]


def test_what_can_not_be_written_changes_nothing(alice):
    path = alice.folder / "device.db"
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", PROTECT, str(path), "1024"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("StoreError The credentials of 'alice' can't be read now: disk I/O error")
    assert path.read_bytes() == before
    assert alice.protected_credentials().device.jid == JID


def test_a_full_disk_has_a_name(alice, tmp_path):
    disk = tmp_path / "alice"
    disk.mkdir()
    command = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", disk, alice.folder / "device.db"]
    command += [sys.executable, "-c", PROTECT, disk / "device.db", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 9 or not done.stdout:
        pytest.skip(f"no small file system can be mounted here: {done.stderr}")
    assert done.stdout.startswith("NoRoom There is no room left to keep the credentials of 'alice'")


def lost(session) -> str:
    return session.lost_credentials(session.credentials(), session.record.load())


def test_credentials_that_are_gone_are_told_from_a_session_that_never_had_any(alice, home):
    path, good = alice.folder / "device.db", (alice.folder / "device.db").read_bytes()
    path.unlink()
    assert lost(alice) == ""
    alice.record.save(SessionRecord("alice", 1.0, State.ONLINE, "ONLINE", 1.0, paired_at=1.0, jid=JID))
    assert lost(alice) == "device.db is missing"
    path.touch(0o600)
    assert lost(alice) == "device.db is empty"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE other (x)")
    assert lost(alice) == "device.db has no tables"
    path.write_bytes(good)
    assert lost(alice) == ""
    assert lost(home.session("bob")) == ""


def test_who_else_may_use_a_session(alice, another):
    assert alice.rival(()) == ""
    with another(HOLD, alice.folder / "lock") as process:
        assert alice.rival({os.getpid()}) == f"process {process.pid} on this machine"
        assert alice.rival({process.pid}) == ""


def test_signs_of_life(home):
    assert home.last_alive() == 0.0
    before = time.time()
    home.note_alive()
    assert before - 1 < home.last_alive() < time.time() + 1
    assert (home.path / ".alive").stat().st_mode & 0o777 == 0o600
