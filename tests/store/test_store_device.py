from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest

from wasess.errors import DeviceDamaged, Locked, StoreError, UnsafeHome
from wasess.store.device import Device
from wasess.store.integrity import faults
from wasess.supervisor.survey import look_at

# The columns that matter of whatsmeow's schema (version 15), without its CHECKs: a damaged file keeps no promises.
TABLE = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, noise_key BLOB NOT NULL, identity_key BLOB NOT NULL,
    platform TEXT NOT NULL DEFAULT '', push_name TEXT NOT NULL DEFAULT ''
)
"""
ROW = "INSERT INTO whatsmeow_device VALUES (?, ?, ?, ?, 'android', 'Alice')"
ALICE = Device("491701234567:3@s.whatsapp.net", "100200300:3@lid", "491701234567", "android", "Alice")

# Changes so much that SQLite must write pages back before the commit: the journal is on disk, and hot once the writer is dead.
IN_A_TRANSACTION = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 2")
db.execute("PRAGMA cache_spill = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE whatsmeow_device SET push_name = 'Mallory'")
db.execute("CREATE TABLE filler (x)")
db.executemany("INSERT INTO filler VALUES (?)", [(bytes(4000),)] * 200)
print("in the middle", flush=True)
sys.stdin.read()
"""

EXECUTE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement)
print("done", flush=True)
sys.stdin.read()
"""

HOLD = """
import sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], "worker")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def alice(home):
    session = home.session("alice")
    session.create()
    return session


@pytest.fixture
def path(alice):
    return alice.folder / "device.db"


def build(path, *rows: tuple[str, str | None, bytes, bytes], journal: str = "DELETE") -> None:
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute(TABLE)
        database.executemany(ROW, rows)


def row(jid: str = ALICE.jid, lid: str | None = ALICE.lid, noise: int = 32, identity: int = 32) -> tuple[str, str | None, bytes, bytes]:
    return jid, lid, b"n" * noise, b"i" * identity


def test_no_folder_no_file_and_an_empty_file_are_not_linked(home, alice, path):
    assert home.session("bob").device() is None
    assert alice.device() is None
    path.touch(0o600)
    assert alice.device() is None
    journal = path.with_name("device.db-journal")
    journal.write_bytes(b"of a first transaction that was never finished")
    assert not alice.linked
    assert path.stat().st_size == 0
    assert journal.exists()


def test_no_table_is_not_linked(alice, path):
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE other (x)")
    assert alice.device() is None


def test_a_file_without_the_row_is_not_linked(alice, path):
    build(path)
    assert alice.device() is None


def test_one_good_row_is_linked(alice, path):
    build(path, row())
    assert alice.device() == ALICE
    assert alice.linked


def test_a_row_without_a_lid(alice, path):
    build(path, row("4917.1:3@s.whatsapp.net", None))
    device = alice.device()
    assert device is not None
    assert (device.lid, device.phone) == ("", "4917")


def test_a_database_from_before_lids(alice, path):
    build(path, row())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE whatsmeow_device DROP COLUMN lid")
    device = alice.device()
    assert device is not None
    assert device.lid == ""


@pytest.mark.parametrize("lengths", [{"noise": 31}, {"identity": 0}, {"noise": 64}])
def test_keys_of_another_length_are_damage(alice, path, lengths):
    build(path, row(**lengths))
    with pytest.raises(DeviceDamaged, match="32 bytes"):
        alice.device()


@pytest.mark.parametrize("jid", ["NULL", "''", "x'00ff'"])
def test_a_device_without_a_name_is_damage(alice, path, jid):
    build(path, row())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE whatsmeow_device SET jid = {jid}")  # noqa: S608 - constants of this test
    with pytest.raises(DeviceDamaged, match=r"does not say which device|can't be read"):
        alice.device()


def test_names_of_another_type_are_read_as_text(alice, path):
    build(path, row())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE whatsmeow_device SET lid = 7, platform = x'41', push_name = 8")
    device = alice.device()
    assert (device.lid, device.platform, device.push_name) == ("7", "A", "8")


def test_two_devices_are_damage(alice, path):
    build(path, row(), row("4930:1@s.whatsapp.net"))
    with pytest.raises(DeviceDamaged, match="more than one device"):
        alice.device()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000, b"x"])
def test_garbage_is_damage_and_stays(alice, path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(DeviceDamaged, match="The credentials of 'alice' are damaged") as caught:
        alice.device()
    assert "wasess diagnose alice" in caught.value.hint
    assert "wasess connect alice" in caught.value.hint
    with pytest.raises(DeviceDamaged):
        _ = alice.linked
    assert path.read_bytes() == content


def test_a_truncated_database_is_damage(alice, path):
    build(path, *(row(f"{n}@s.whatsapp.net") for n in range(200)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DeviceDamaged):
        alice.device()


def test_a_table_without_the_keys_is_damage(alice, path):
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE whatsmeow_device (jid TEXT)")
    with pytest.raises(DeviceDamaged, match="no such column"):
        alice.device()


def test_a_path_with_signs_that_mean_something_in_a_uri(tmp_path):
    from wasess.store.sessions import Home  # noqa: PLC0415 - the fixture's home has a tame path

    home = Home(tmp_path / "a%41 b#c?mode=memory&é").open(create=True)
    session = home.session("alice")
    session.create()
    build(session.folder / "device.db", row())
    assert session.device() == ALICE


def test_reading_changes_nothing(alice, path):
    build(path, row())
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(alice.folder.iterdir()))
    alice.device()
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(alice.folder.iterdir())) == before


def test_a_transaction_under_way_is_not_seen(alice, path, another):
    build(path, row())
    with another(EXECUTE, path, "BEGIN IMMEDIATE", "UPDATE whatsmeow_device SET push_name = 'Mallory'"):
        assert alice.device() == ALICE


def test_a_busy_writer_is_waited_for_and_then_named(alice, path, another):
    build(path, row())
    with another(EXECUTE, path, "BEGIN EXCLUSIVE", "UPDATE whatsmeow_device SET push_name = 'Mallory'"):
        started = time.monotonic()
        with pytest.raises(Locked, match="'alice' are being written right now"):
            alice.device()
        assert 0.9 < time.monotonic() - started < 10


def test_rolls_the_transaction_of_a_killed_writer_back(alice, path, another):
    build(path, row())
    with another(IN_A_TRANSACTION, path):
        pass
    journal = path.with_name("device.db-journal")
    assert journal.read_bytes()[:8] == bytes.fromhex("d9d505f920a163d7"), "the journal should be hot"
    assert b"Mallory" in path.read_bytes()
    journal.chmod(0o600)
    assert alice.device() == ALICE
    assert not journal.exists()
    assert b"Mallory" not in path.read_bytes()
    assert alice.lock_holder() is None


def test_leaves_the_rollback_to_whoever_holds_the_session(alice, path, another):
    build(path, row())
    with another(IN_A_TRANSACTION, path):
        pass
    journal = path.with_name("device.db-journal")
    journal.chmod(0o600)
    before = path.read_bytes(), journal.read_bytes()
    with another(HOLD, alice.folder / "lock"), pytest.raises(Locked, match="'alice' is in use"):
        alice.device()
    assert (path.read_bytes(), journal.read_bytes()) == before
    with alice.lock("connect"):
        assert alice.device() == ALICE


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_its_owner_may_not_read_is_no_transaction_to_roll_back(alice, path):
    build(path, row())
    path.chmod(0)
    with pytest.raises(StoreError, match="can't be read now") as caught:
        alice.device()
    assert caught.value.hint == f"chmod 600 {path}"
    assert not (alice.folder / "lock").exists()


def test_reads_a_wal_database_in_every_state(alice, path, another):
    build(path, row(), journal="WAL")
    assert alice.device() == ALICE
    with another(EXECUTE, path, "PRAGMA wal_autocheckpoint = 0", "UPDATE whatsmeow_device SET push_name = 'Bob'"):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).chmod(0o600)
        device = alice.device()
        assert device is not None
        assert device.push_name == "Bob"
    device = alice.device()
    assert device is not None
    assert device.push_name == "Bob"


@pytest.mark.parametrize("name", ["device.db", "device.db-journal", "device.db-wal"])
def test_refuses_links(alice, path, tmp_path, name):
    build(path, row())
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere) if name == "device.db" else elsewhere.touch()
    (alice.folder / name).symlink_to(elsewhere)
    with pytest.raises(UnsafeHome, match="symbolic link"):
        alice.device()
    (alice.folder / name).unlink()
    (alice.folder / name).hardlink_to(elsewhere)
    with pytest.raises(UnsafeHome, match="hard link"):
        alice.device()


def test_a_folder_in_its_place_is_refused(alice, path):
    path.mkdir()
    with pytest.raises(StoreError, match="is not a file"):
        alice.device()


def test_a_name_in_the_database_that_is_no_text_any_more_is_damage(alice, path):
    """SQLite quotes it in its error, and Python can't decode that."""
    build(path, row())
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE INDEX platforms ON whatsmeow_device (platform)")
    path.write_bytes(path.read_bytes().replace(b"CREATE INDEX", b"\xc3REATE INDEX"))
    with pytest.raises(DeviceDamaged):
        alice.credentials()
    assert faults(path)
    assert look_at(alice).problem
