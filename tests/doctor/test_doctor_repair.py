"""``--fix``: what is safe is repaired, each thing says what came of it, and a second look finds it well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from damages import DAMAGES, GARBAGE, dead_socket, old_temporary_file
from linked_homes import codes, link

from wasess.cli.app import run
from wasess.doctor.repair import repair_files, repair_stuck
from wasess.store.lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.doctor.examination import Diagnosis
    from wasess.doctor.repair import Repair
    from wasess.store.sessions import Home

HOLD = """
import sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], "worker")
print("held", flush=True)
sys.stdin.read()
"""
BY_NAME = {damage.name: damage for damage in DAMAGES}


def outcomes(repairs: list[Repair]) -> set[tuple[str, str]]:
    return {(repair.outcome, repair.code) for repair in repairs}


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("home-open", "FOLDER_OPEN"),
        ("session-open", "FOLDER_OPEN"),
        ("session-closed", "FOLDER_OPEN"),
        ("database-readable", "FILE_READABLE"),
        ("database-writable", "FILE_READABLE"),
        ("record-garbage", "RECORD_DAMAGED"),
        ("lock-garbage", "LOCK_STALE"),
        ("session-lock-garbage", "LOCK_STALE"),
        ("dead-socket", "STALE_SOCKET"),
        ("left-behind", "LEFT_BEHIND"),
    ],
)
def test_what_is_safe_is_repaired(home: Home, looked: Callable[..., Diagnosis], name: str, code: str):
    session = link(home)
    credentials = (session.folder / "device.db").read_bytes()
    well = codes(looked(home))
    BY_NAME[name].strike(home.path)
    assert BY_NAME[name].code in codes(looked(home))
    assert outcomes(repair_files(home)) == {("repaired", code)}
    assert codes(looked(home)) == well
    assert (session.folder / "device.db").read_bytes() == credentials
    assert repair_files(home) == []


def test_a_home_that_is_well_is_left_alone(home: Home):
    link(home)
    before = {path: path.lstat().st_mtime_ns for path in home.path.rglob("*")}
    assert repair_files(home) == []
    assert {path: path.lstat().st_mtime_ns for path in home.path.rglob("*")} == before


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage.name.startswith("database-")], ids=lambda damage: damage.name)
def test_credentials_are_never_touched(home: Home, damage: object):
    session = link(home)
    damage.strike(home.path)  # type: ignore[attr-defined] # a damage
    path = session.folder / "device.db"
    before = (path.lstat().st_ino, path.lstat().st_size)
    repair_files(home)
    assert (path.lstat().st_ino, path.lstat().st_size) == before


def test_only_the_session_that_is_named_is_repaired(home: Home):
    for user in ("alice", "bob"):
        (link(home, user).folder / "device.db").chmod(0o644)
    repair_files(home, "alice")
    assert [(home.path / user / "device.db").stat().st_mode & 0o777 for user in ("alice", "bob")] == [0o600, 0o644]


def test_what_was_set_aside_is_tightened_and_a_strange_file_is_not(home: Home):
    session = link(home)
    kept = session.folder / "kept" / "20260101T000000.000000Z-relink"
    kept.mkdir(parents=True)
    (kept / "device.db").write_bytes(b"old")
    (session.folder / "own-notes.txt").write_bytes(b"mine")
    for path in (kept.parent, kept, kept / "device.db", session.folder / "own-notes.txt"):
        path.chmod(0o777)
    repair_files(home)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (kept.parent, kept, kept / "device.db", session.folder / "own-notes.txt")}
    assert modes == {"kept": 0o700, kept.name: 0o700, "device.db": 0o600, "own-notes.txt": 0o777}
    assert (kept / "device.db").read_bytes() == b"old"


def test_a_hard_link_keeps_its_mode(home: Home):
    session = link(home)
    (session.folder / "device.db").chmod(0o666)
    os.link(session.folder / "device.db", home.path.parent / "second")
    assert outcomes(repair_files(home)) == {("skipped", "FILE_READABLE")}
    assert (home.path.parent / "second").stat().st_mode & 0o777 == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_left(home: Home):
    session = link(home)
    os.chown(session.folder / "device.db", 65534, 65534)
    (session.folder / "device.db").chmod(0o666)
    assert outcomes(repair_files(home)) == {("skipped", "FILE_READABLE")}
    assert (session.folder / "device.db").stat().st_mode & 0o777 == 0o666


def test_a_link_is_not_followed(home: Home, tmp_path: Path):
    session = link(home)
    outside = tmp_path / "outside"
    outside.write_bytes(b"of somebody else")
    outside.chmod(0o644)
    (session.folder / "inbox.db").symlink_to(outside)
    repair_files(home)
    assert outside.stat().st_mode & 0o777 == 0o644


def test_locks_that_are_held_are_left(home: Home):
    session = link(home)
    (home.path / ".lock").touch(0o600)
    processes = [hold(home.path / ".lock"), hold(session.folder / "lock")]
    texts = [(home.path / ".lock").read_bytes(), (session.folder / "lock").read_bytes()]
    dead_socket(home.path)
    (session.folder / "session.json").write_bytes(GARBAGE)
    assert outcomes(repair_files(home)) == {("skipped", "RECORD_DAMAGED")}
    assert (home.path / ".control.sock").exists()
    assert (session.folder / "session.json").read_bytes() == GARBAGE
    for process in processes:
        let_go(process)
    assert outcomes(repair_files(home)) == {("repaired", "LOCK_STALE"), ("repaired", "STALE_SOCKET"), ("repaired", "RECORD_DAMAGED")}
    assert json.loads((session.folder / "session.json").read_bytes())["record"]["1"]["user"] == "alice"
    assert not any((home.path / ".lock").read_bytes() == text for text in texts)
    FileLock.acquire(home.path / ".lock", "serve").release()


def test_a_lock_that_tells_of_another_machine_is_kept(home: Home):
    session = link(home)
    text = {"pid": 7, "host": "elsewhere", "boot_id": "x", "purpose": "serve", "since": 1.0}
    (session.folder / "lock").write_text(json.dumps(text) + "\n")
    (session.folder / "lock").chmod(0o600)
    assert outcomes(repair_files(home)) == {("skipped", "LOCK_STALE")}
    assert json.loads((session.folder / "lock").read_text()) == text


def test_young_temporary_files_and_those_of_others_are_left(home: Home):
    session = link(home)
    old_temporary_file(home.path)
    young = session.folder / ".session.json.4712.tmp"
    young.write_bytes(b"{")
    strange = session.folder / ".my.tmp"
    strange.write_bytes(b"mine")
    os.utime(strange, (1, 1))
    for path in (young, strange):
        path.chmod(0o600)
    assert outcomes(repair_files(home)) == {("repaired", "LEFT_BEHIND")}
    assert young.exists()
    assert strange.exists()


def test_without_a_manager_nobody_replaces_a_process(home: Home):
    assert repair_stuck(home, []) == []
    assert outcomes(repair_stuck(home, ["alice"])) == {("failed", "WORKER_STOPPED")}


def test_the_command_says_what_it_did_and_looks_again(home: Home, capsys: pytest.CaptureFixture[str]):
    session = link(home)
    (session.folder / "device.db").chmod(0o666)
    assert run(["diagnose", "--home", str(home.path), "--offline"]) == 1
    assert "chmod 600" in capsys.readouterr().out
    assert run(["diagnose", "--home", str(home.path), "--offline", "--fix"]) == 8
    shown = capsys.readouterr().out
    assert shown.startswith("repairs\n  repaired  ")
    assert "mode 666 is 600 now" in shown
    assert "chmod 600" not in shown
    assert run(["diagnose", "--home", str(home.path), "--offline", "--fix", "--json"]) == 8
    assert json.loads(capsys.readouterr().out)["data"]["repairs"] == []
