from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from wasess.store.disk import Identity, changed, identity, room, sqlite_at_work

# Makes the database longer in one transaction after another, as fast as it can, each of which it gives up or keeps.
GROW = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA synchronous = OFF")
print("growing", flush=True)
for number in range(10 ** 9):
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 20)
    database.execute("ROLLBACK" if number % 3 == 0 else "COMMIT")
    if number % 50 == 49:
        database.execute("DELETE FROM t")
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "device.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 50)
    return path


@pytest.fixture
def before(path) -> Identity:
    found = identity(path)
    assert found is not None
    return found


def test_room_is_what_this_user_may_write(tmp_path):
    found = os.statvfs(tmp_path)
    assert abs(room(tmp_path) - found.f_bavail * found.f_frsize) < 2**30
    assert room(tmp_path) > 0


def test_no_file_has_no_identity(tmp_path):
    assert identity(tmp_path / "nothing") is None
    assert identity(tmp_path / "nothing" / "below") is None


def test_the_same_database_is_the_same(path, before):
    assert changed(before, path) == ""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM t")
    assert changed(before, path) == ""


def test_what_can_happen_to_it_has_words(path, before, tmp_path):
    good = path.read_bytes()
    path.rename(tmp_path / "aside")
    assert changed(before, path) == "was removed"
    shutil.copy(tmp_path / "aside", path)
    assert changed(before, path) == "was replaced by another file"
    path.unlink()
    path.symlink_to(tmp_path / "aside")
    assert changed(before, path).startswith("can't be opened any more")
    path.unlink()
    (tmp_path / "aside").rename(path)
    assert changed(before, path) == ""
    for length in (1, 50, 99, 4096, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        assert changed(before, path) in {"was truncated", "is no SQLite database any more"}, length
    path.write_bytes(b"")
    assert changed(before, path) == "was truncated"
    path.write_bytes(b"garbage" * 3000)
    assert changed(before, path) == "is no SQLite database any more"
    path.write_bytes(good)
    assert changed(before, path) == ""


def test_a_writer_that_lengthens_it_is_no_accident(path, before, another):
    with another(GROW, path):
        deadline = time.monotonic() + 2
        looks = 0
        while time.monotonic() < deadline:
            assert changed(before, path) == ""
            looks += 1
    assert looks > 1000


def test_a_database_in_wal_mode_may_be_shorter_than_its_header_says(path, before):
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 500)
        assert changed(before, path) == ""


def test_this_process_looks_at_nothing_while_its_own_sqlite_works(path, before):
    """Closing a descriptor would drop the locks of our own connection."""
    path.write_bytes(b"")
    with sqlite_at_work(path), sqlite_at_work(path):
        assert changed(before, path) == ""
    assert changed(before, path) == "was truncated"


TRY = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute("BEGIN EXCLUSIVE")
    print("taken", flush=True)
except sqlite3.OperationalError as error:
    print(error, flush=True)
"""


def test_locks_of_our_own_sqlite_survive_a_look(path, before):
    with sqlite_at_work(path), closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        changed(before, path)
        done = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "database is locked\n"


def test_a_look_is_cheap(path, before):
    started = time.process_time()
    for _ in range(1000):
        changed(before, path)
    spent = time.process_time() - started
    print(f"a look at a database: {spent * 1000:.1f} us of CPU")  # noqa: T201 - a measurement
    assert spent < 1
