from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TextIO

import pytest

from wasess.store.manager_log import OLD_LOGS, log_path, read_log
from wasess.store.sessions import Home
from wasess.supervisor import log_file
from wasess.supervisor.log_file import LINES_WAITING, LogFile, open_log
from wasess.supervisor.report import Notice


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home").open(create=True).path


def told(number: int, **fields: str) -> Notice:
    return Notice(float(number), "trouble", f"line {number}", **fields)  # type: ignore[arg-type] # only texts are asked for


def lines(home: Path) -> list[str]:
    return [entry["line"] for entry in read_log(home)]


def test_what_is_told_is_in_the_file(home):
    with LogFile(home) as log:
        log.report(Notice(1000.0, "restored", "alice restored (0.3 s)", "alice", state="online", code="ONLINE"))
        log.report(Notice(1001.0, "state", "alice: again", "alice", level="debug"))
    (entry,) = map(json.loads, log_path(home).read_text().splitlines())
    assert entry == {
        "ts": "1970-01-01T00:16:40.000Z",
        "event": "restored",
        "session": "alice",
        "state": "online",
        "code": "ONLINE",
        "reason": "alice restored (0.3 s)",
        "action": "",
        "level": "info",
        "attempt": 0,
        "next_retry_at": None,
        "line": "alice restored (0.3 s)",
    }


def test_a_folder_of_the_log_is_no_session_and_nobody_else_can_read_it(home):
    with LogFile(home) as log:
        log.report(told(1))
    assert Home(home).sessions() == []
    assert log_path(home).stat().st_mode & 0o777 == 0o600
    assert log_path(home).parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_lost_at_a_normal_end(home):
    with LogFile(home) as log:
        for number in range(LINES_WAITING):
            log.report(told(number))
    assert lines(home) == [f"line {number}" for number in range(LINES_WAITING)]


def test_the_log_is_bounded_and_keeps_the_latest(home):
    with LogFile(home, size=4096) as log:
        for number in range(500):
            log.report(told(number))
    files = list(log_path(home).parent.iterdir())
    assert len(files) == 1 + OLD_LOGS
    assert all(path.stat().st_size <= 4096 and path.stat().st_mode & 0o777 == 0o600 for path in files)
    kept = lines(home)
    assert kept == [f"line {number}" for number in range(500 - len(kept), 500)]
    assert len(kept) > 40


def test_a_second_run_goes_on_in_the_same_file_behind_half_a_line(home):
    with LogFile(home) as log:
        log.report(told(1))
    with log_path(home).open("a") as file:
        file.write('{"ts": "19')
    with LogFile(home) as log:
        log.report(told(2))
    assert lines(home) == ["line 1", "line 2"]


class Disk:
    """Opens the log as `open_log` does. ``hangs``: until it is cleared, whoever opens it waits; ``full``: nobody can."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.works.set()
        self.full = False

    def __call__(self, path: Path):
        assert self.works.wait(20)
        if self.full:
            raise OSError(28, "No space left on device")
        return open_log(path)


def test_a_disk_that_hangs_holds_nobody_up_and_the_log_says_how_much_is_missing(home):
    disk = Disk()
    disk.works.clear()
    with LogFile(home, opener=disk) as log:
        began = time.monotonic()
        for number in range(LINES_WAITING + 101):
            log.report(told(number))
        assert time.monotonic() - began < 5
        disk.works.set()
        deadline = time.monotonic() + 10
        while len(lines(home)) < LINES_WAITING:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        log.report(told(99999))
    found = lines(home)
    gaps = [line for line in found if "missing here" in line]
    missing = int(gaps[0].split()[0])
    assert found[-1] == "line 99999"
    assert len(gaps) == 1
    assert missing + len(found) - 1 - 1 == LINES_WAITING + 101


def test_the_end_does_not_wait_for_a_disk_that_hangs(home, monkeypatch):
    disk = Disk()
    disk.works.clear()
    began = time.monotonic()
    with LogFile(home, opener=disk) as log:
        log.report(told(1))
    assert time.monotonic() - began < log_file.WRITTEN_WITHIN + 1
    disk.works.set()


def test_a_full_disk_is_told_once_and_confessed_in_the_log(home):
    disk, complaints = Disk(), []
    disk.full = True
    with LogFile(home, complaints.append, disk) as log:
        for number in range(3):
            log.report(told(number))
        deadline = time.monotonic() + 10
        while not complaints:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with LogFile(home, complaints.append, disk) as log:
        log.report(told(3))
        log.report(told(4))
        while len(complaints) < 2:
            time.sleep(0.01)
        disk.full = False
        log.report(told(5))
    assert [notice.code for notice in complaints] == ["LOG_NOT_WRITTEN"] * 2
    assert "No space left on device" in complaints[0].line
    found = lines(home)
    assert found[-1] == "line 5"
    assert "missing here" in found[0]


def test_a_write_that_fails_leaves_no_half_line_behind(home):
    """A real full disk: /dev/full takes no byte."""
    places = [Path("/dev/full")]

    def opener(path: Path) -> TextIO:
        return places.pop().open("a", buffering=1) if places else open_log(path)

    complaints: list[Notice] = []
    with LogFile(home, complaints.append, opener) as log:
        log.report(told(1))
        deadline = time.monotonic() + 10
        while not complaints:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        log.report(told(2))
    assert lines(home) == ["1 line is missing here: the log could not be written", "line 2"]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "foreign name"])
def test_what_is_no_file_of_ours_is_not_written(home, tmp_path, kind):
    folder = log_path(home).parent
    folder.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    match kind:
        case "link":
            log_path(home).symlink_to(victim)
        case "fifo":
            os.mkfifo(log_path(home))
        case "folder":
            log_path(home).mkdir()
        case _:
            os.link(victim, log_path(home))
    complaints: list[Notice] = []
    with LogFile(home, complaints.append) as log:
        log.report(told(1))
    assert len(complaints) == 1
    assert victim.read_text() == "mine\n"
