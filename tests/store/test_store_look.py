"""device.db is looked at before it counts as lost: every damage is found, and one that is well stays."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing

import pytest

from wasess.link.suspicion import Suspicion
from wasess.store.disk import identity, writable
from wasess.store.look import trouble

LOST = "file is not a database"


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "device.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE whatsmeow_sessions (x)")
        made.executemany("INSERT INTO whatsmeow_sessions VALUES (?)", [(os.urandom(500),) for _ in range(50)])
    return path


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def middle(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "replaced": replaced,
    "empty": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, 8192),
    "garbage": lambda path: path.write_bytes(b"no database" * 9000),
    "garbage in the middle": middle,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found(database, damage, monkeypatch):
    monkeypatch.chdir(database.parent)
    before, suspicion = identity(database), Suspicion("device.db")
    assert trouble(database, before, LOST) == ""
    assert suspicion.confirm(LOST) == ""
    DAMAGES[damage](database)
    assert trouble(database, before, LOST)
    assert suspicion.confirm(LOST) == "database"


def test_a_table_that_is_missing_is_found(database, monkeypatch):
    monkeypatch.chdir(database.parent)
    before, suspicion = identity(database), Suspicion("device.db")
    for table, well in (("whatsmeow_sessions", True), ("whatsmeow_contacts", False)):
        assert (trouble(database, before, f"no such table: {table}") == "") is well
        assert (suspicion.confirm(f"no such table: {table}") == "") is well


def test_what_cannot_be_told_is_a_trouble(database):
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        assert "locked" in trouble(database, identity(database), LOST)


def test_a_database_that_may_not_be_written_is_found(database, monkeypatch):
    before = identity(database)
    assert writable(database)
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).endswith("device.db"))
    assert trouble(database, before, "attempt to write a readonly database")


def test_a_look_that_cannot_be_made_or_takes_too_long_is_believed(database, monkeypatch):
    monkeypatch.chdir(database.parent)
    suspicion = Suspicion("device.db")
    monkeypatch.setattr("wasess.link.suspicion.LOOKS_WITHIN", 0.0)
    assert suspicion.confirm(LOST) == "database"
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert suspicion.confirm(LOST) == "database"


@pytest.mark.parametrize("words", ["unable to open database file", "disk I/O error"])
def test_what_only_the_kernel_says_is_believed(database, monkeypatch, words):
    monkeypatch.chdir(database.parent)
    assert Suspicion("device.db").confirm(words) == "database"


def test_a_disk_counts_as_full_while_it_has_no_room(database, monkeypatch):
    monkeypatch.chdir(database.parent)
    suspicion = Suspicion("device.db")
    assert suspicion.confirm("database or disk is full") == ""
    monkeypatch.setattr("wasess.link.suspicion.ROOM", 1 << 62)
    assert suspicion.confirm("database or disk is full") == "disk-full"
