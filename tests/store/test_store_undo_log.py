"""The triggers that note what the library writes over: each change once, no more than fit, and none that could stop the library."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from signal_rows import OUR_JID, PUT_SENDER_KEY, PUT_SESSION, Companion

from wasess.sandbox.signal.party import Party
from wasess.store import graveyard
from wasess.store.device import is_protected, protect_device, roll_back
from wasess.store.undo import RolledBack
from wasess.store.undo_log import KEPT_CHANGES, LARGE_ROW, TRIMMED_AT

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.sessions import Session

CAROL = "carol_1:0"

# Rolls back; may write no file longer than $2 bytes (0: any); is killed when the database is about to be written if $3 is "kill".
ROLL_BACK = """
import os, pathlib, resource, signal, sys
from wasess.store import device, undo_log
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if sys.argv[3] == "kill":
    undo_log.forget = lambda connection: os.kill(os.getpid(), signal.SIGKILL)
try:
    print(device.roll_back(pathlib.Path(sys.argv[1])).keys)
except Exception as error:
    print(type(error).__name__, error)
"""

FULL_THEN_NOT = """
mount -t tmpfs -o size=256k,mode=700 none "$1" || exit 9
cp -p "$2" "$1"; disk="$1"; shift 2; dd if=/dev/zero of="$disk"/filler 2>&-; "$@"; rm "$disk"/filler; "$@"
"""


class Contact:
    """Writes to alice, whose session is in a file."""

    def __init__(self, path: Path) -> None:
        self.party = Party.create()
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA synchronous = off")
        self.alice = Companion(self.database)

    def write(self) -> tuple[Any, bytes]:
        bundle = None if self.party.has_session("alice") else self.alice.bundles.pop()
        return self.party.encrypt("alice", b"text", bundle)


@pytest.fixture
def path(home) -> Path:
    session: Session = home.session("alice")
    session.create()
    found = session.folder / "device.db"
    found.touch(0o600)
    return found


@pytest.fixture
def carol(path):
    contact = Contact(path)
    protect_device(path)
    yield contact
    contact.database.close()


def log(database: sqlite3.Connection) -> list[Any]:
    return database.execute("SELECT kind, our, chat, name, old FROM wasess_undo ORDER BY n").fetchall()


def test_each_change_is_noted_once_with_what_was_there_before(carol):
    put = carol.database.execute
    before = time.time()
    put(PUT_SESSION, (OUR_JID, CAROL, b"one"))
    put(PUT_SESSION, (OUR_JID, CAROL, b"two"))
    put("DELETE FROM whatsmeow_sessions WHERE their_id LIKE 'carol_1:%'")
    put(PUT_SENDER_KEY, (OUR_JID, "club", CAROL, b"three"))
    put(PUT_SENDER_KEY, (OUR_JID, "club", CAROL, b"four"))
    put("DELETE FROM whatsmeow_pre_keys WHERE jid = ? AND key_id = 7", (OUR_JID,))
    key = carol.alice.party._prekeys[7].private
    assert log(carol.database) == [
        ("session", OUR_JID, "", CAROL, None),
        ("session", OUR_JID, "", CAROL, b"one"),
        ("session", OUR_JID, "", CAROL, b"two"),
        ("sender", OUR_JID, "club", CAROL, None),
        ("sender", OUR_JID, "club", CAROL, b"three"),
        ("prekey", OUR_JID, "", "7", key),
    ]
    ((first, last),) = put("SELECT min(at), max(at) FROM wasess_undo").fetchall()
    assert before - 0.01 <= first <= last <= time.time() + 0.01


def test_what_is_no_use_of_a_key_is_not_noted(carol):
    carol.database.execute("UPDATE whatsmeow_pre_keys SET uploaded = false")
    carol.database.execute("INSERT INTO whatsmeow_pre_keys VALUES (?, 99, ?, false)", (OUR_JID, bytes(32)))
    carol.database.execute("PRAGMA foreign_keys = on")
    carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, b"one"))
    carol.database.execute("UPDATE whatsmeow_device SET jid = 'other'")
    assert [kind for kind, *_ in log(carol.database)] == ["session"]


def test_what_goes_with_its_device_is_noted_too(carol):
    carol.database.execute("PRAGMA foreign_keys = on")
    carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, b"one"))
    carol.database.execute(f"DROP TRIGGER {graveyard.TRIGGER}")
    carol.database.execute("DELETE FROM whatsmeow_device")
    assert [(kind, old) for kind, *_, old in log(carol.database) if kind != "prekey"] == [("session", None), ("session", b"one")]


def test_the_log_keeps_the_last_changes(carol):
    carol.database.execute("BEGIN")
    for number in range(KEPT_CHANGES + 3 * TRIMMED_AT):
        carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, b"%d" % number))
        ((count,),) = carol.database.execute("SELECT count(*) FROM wasess_undo").fetchall()
        assert count == number + 1 or KEPT_CHANGES <= count < KEPT_CHANGES + TRIMMED_AT
    assert log(carol.database)[-1][-1] == b"%d" % (number - 1)


@pytest.mark.parametrize("times", [1, 7, 40])
def test_large_rows_take_older_ones_away_sooner(carol, times):
    size = LARGE_ROW * times + 5
    carol.database.execute("BEGIN")
    for number in range(KEPT_CHANGES // times):
        carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, number.to_bytes(size)))
    ((count, total),) = carol.database.execute("SELECT count(*), sum(length(old)) FROM wasess_undo").fetchall()
    assert KEPT_CHANGES // (times + 1) <= count <= (KEPT_CHANGES + TRIMMED_AT) // (times + 1) + 1
    assert total <= 18 * 2**20


def test_a_database_with_only_the_graveyard_gets_the_rest(path, home):
    with closing(Contact(path).database) as database:
        graveyard.install(database)
    session = home.session("alice")
    assert (is_protected(path), session.device().jid) == (False, OUR_JID)
    session.protected_credentials()
    assert is_protected(path)
    before = path.read_bytes()
    session.protected_credentials()
    assert path.read_bytes() == before


def test_a_trigger_of_another_wasess_is_replaced(carol, path, home):
    carol.database.execute("DROP TRIGGER wasess_undo_session_update")
    carol.database.execute("CREATE TRIGGER wasess_undo_session_update AFTER UPDATE ON whatsmeow_sessions BEGIN SELECT 1; END")
    carol.database.execute("CREATE TRIGGER wasess_undo_other AFTER UPDATE ON whatsmeow_sessions BEGIN SELECT 1; END")
    carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, b"one"))
    assert not is_protected(path)
    protect_device(path)
    assert is_protected(path)
    carol.database.execute(PUT_SESSION, (OUR_JID, CAROL, b"two"))
    assert [old for *_, old in log(carol.database)] == [None, b"one"]


def test_tables_of_another_shape_get_no_trigger_that_would_stop_the_library(carol, path, home):
    carol.database.executescript("DROP TABLE whatsmeow_sender_keys; DROP TABLE whatsmeow_pre_keys; CREATE TABLE whatsmeow_pre_keys (other)")
    carol.database.execute("ALTER TABLE whatsmeow_sessions RENAME COLUMN session TO record")
    carol.database.execute("UPDATE whatsmeow_sessions SET record = 'one'")
    assert not is_protected(path)
    protect_device(path)
    assert is_protected(path)
    carol.database.execute("INSERT INTO whatsmeow_sessions VALUES (?, ?, 'two')", (OUR_JID, CAROL))
    carol.database.execute("DELETE FROM whatsmeow_pre_keys")
    assert log(carol.database) == []


def test_where_there_is_no_database_there_is_nothing_to_do(path):
    path.unlink()
    assert roll_back(path) == RolledBack()
    assert not path.exists()


def rolled_back_elsewhere(path: Path, *, most: int = 0, kill: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ROLL_BACK, str(path), str(most), "kill" if kill else ""]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_roll_back_that_is_killed_is_done_by_the_next(carol, path):
    sealed = carol.write()
    carol.alice.receive(CAROL, *sealed)
    before = carol.database.execute("SELECT session FROM whatsmeow_sessions").fetchall(), log(carol.database)
    assert rolled_back_elsewhere(path, kill=True).returncode == -9
    assert (carol.database.execute("SELECT session FROM whatsmeow_sessions").fetchall(), log(carol.database)) == before
    assert roll_back(path).keys == 1
    assert carol.alice.receive(CAROL, *sealed) == b"text"


def test_a_roll_back_that_can_not_be_written_changes_nothing(carol, path):
    carol.alice.receive(CAROL, *carol.write())
    before = path.read_bytes()
    assert rolled_back_elsewhere(path, most=1024).stdout.startswith(
        "StoreError The credentials of 'alice' can't be read now: disk I/O error"
    )
    assert path.read_bytes() == before
    assert roll_back(path).keys == 1


def test_a_roll_back_on_a_full_disk_has_a_name_and_changes_nothing(carol, path, tmp_path):
    disk = tmp_path / "small" / "alice"
    disk.mkdir(parents=True)
    for _ in range(3):
        carol.alice.receive(CAROL, *carol.write())
    carol.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    carol.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    program = [sys.executable, "-c", ROLL_BACK, disk / "device.db", "0", ""]
    command = ["unshare", "-Urm", "sh", "-c", FULL_THEN_NOT, "sh", disk, path, *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 9 or not done.stdout:
        pytest.skip(f"no small file system can be mounted here: {done.stderr}")
    full, then = done.stdout.splitlines()
    assert full.startswith("NoRoom There is no room left to keep the credentials of 'alice'")
    assert then == "3"
