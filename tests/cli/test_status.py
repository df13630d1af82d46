"""What `wasess status` says; ``--watch`` on a terminal is in acceptance/test_status_watch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from documents import lines, only_document
from stand_in_manager import LONG_AGO, PID, babbling, files, held, live, managed, typist
from test_verify import home, linked

from wasess.cli.status import status_of
from wasess.core import reasons
from wasess.core.live import ManagerInfo
from wasess.core.states import State
from wasess.doctor.census import ManagerView, SessionView
from wasess.store.lock import Holder

__all__ = ["home"]  # a fixture

NOW = 1_700_000_000.0
INFO = ManagerInfo(7, "0.1", "sandbox", NOW - 7300, ready=True, kept=1, online=1)
MANAGER = ManagerView(Holder(7, "here", "boot", "serve", NOW - 7300), INFO, {})
ENDS_WITHIN = 20.0


@pytest.fixture
def status(capsys):
    return typist("status", capsys)


def kept(state, reason, **more):
    """A session as a manager describes it at ``NOW``: so for a minute, heard of a second ago."""
    told = replace(live("alice", state, reason), since=NOW - 60, proven_at=NOW - 1, **more)
    return SessionView("alice", state, reason.code, 0, told.detail, told.since, told.next_try_at, live=told)


def row(view, manager=MANAGER):
    return status_of(manager, [view], NOW).table[1]


@pytest.mark.parametrize(
    ("view", "cells"),
    [
        (kept(State.ONLINE, reasons.ONLINE), ("alice", "online", "1 min", "1 s", "-", "0", "-")),
        (kept(State.ONLINE, reasons.FLAPPING, restarts=12), ("alice", "online", "1 min", "1 s", "-", "12", reasons.FLAPPING.sentence)),
        (
            kept(State.WAITING, reasons.NETWORK_DOWN, next_try_at=NOW + 90),
            ("alice", "waiting", "1 min", "1 s", "1 min", "0", "WhatsApp can't be reached"),
        ),
        (
            replace(kept(State.WAITING, reasons.NETWORK_DOWN), next_try_at=NOW - 5),
            ("alice", "waiting", "1 min", "1 s", "0 s", "0", "WhatsApp can't be reached"),
        ),
        (
            SessionView("alice", State.STOPPED, reasons.PAUSED_BY_OPERATOR.code, 3, since=NOW - 3 * 86_400),
            ("alice", "stopped", "3 days", "-", "-", "-", "paused by an operator"),
        ),
        (
            kept(State.ONLINE, reasons.ONLINE, problem="CHAT_BRAKED"),
            ("alice", "online", "1 min", "1 s", "-", "0", reasons.CHAT_BRAKED.sentence),
        ),
        (SessionView("alice", State.STOPPED, reasons.NO_MANAGER.code, 8), ("alice", "stopped", "-", "-", "-", "-", "-")),
    ],
)
def test_a_row_tells_state_times_restarts_and_reason(view, cells):
    assert row(view) == cells


def test_the_line_above_tells_who_keeps_them():
    views = [kept(State.ONLINE, reasons.ONLINE), kept(State.WAITING, reasons.NETWORK_DOWN), kept(State.ONLINE, reasons.OTHER_VERSION)]
    assert status_of(MANAGER, views, NOW).lines == ("process 7, up 2 h: 2 of 3 sessions online",)
    assert status_of(MANAGER, views[:1], NOW).lines == ("process 7, up 2 h: 1 of 1 session online",)
    assert status_of(ManagerView(), views, NOW).lines == ("no manager is running",)
    silent = status_of(replace(MANAGER, info=None), views, NOW)
    assert silent.lines[0].startswith("process 7 ")
    assert silent.lines[0].endswith("holds this home and does not answer")


@pytest.mark.parametrize(
    ("manager", "views", "hint"),
    [
        (MANAGER, [], ""),
        (replace(MANAGER, info=None), [kept(State.ONLINE, reasons.ONLINE)], ""),
        (ManagerView(), [kept(State.ONLINE, reasons.ONLINE)], "wasess serve"),
        (ManagerView(), [], "wasess connect USER"),
    ],
)
def test_the_next_step_is_told_when_there_is_one(manager, views, hint):
    found = status_of(manager, views, NOW)
    assert found.hint == hint
    assert bool(found.table) == bool(views)


def test_a_clock_that_was_set_back_shows_no_negative_span():
    view = kept(State.ONLINE, reasons.ONLINE)
    early = status_of(MANAGER, [view], NOW - 9000)
    assert early.table[1][2:4] == ("0 s", "0 s")
    assert "up 0 s" in early.lines[0]


def test_a_pipe_gets_a_row_a_line(home, status):
    linked(home, "alice", "bob")
    with managed(home, live("alice", heard=1810), live("bob", State.WAITING, reasons.NETWORK_DOWN, "x\ty\x1b[2J")):
        before = files(home.path)
        code, out, err = status()
        assert files(home.path) == before
        assert status("bob")[1].count("\t") == 6
    assert (code, err) == (0, "")
    first, alice, bob = out.splitlines()
    assert first == f"process {PID}, up 25 h: 1 of 2 sessions online"
    assert alice.split("\t") == ["alice", "online", "25 h", "30 min", "-", "0", "-"]
    assert bob.split("\t")[-1] == "WhatsApp can't be reached"


def test_a_document_holds_what_the_manager_said(home, status):
    linked(home, "alice", "bob")
    home.session("bob").pause()
    told = replace(live("alice"), pid=9, memory=12 * 2**20, received_at=NOW, sent_at=NOW + 1, waiting=3, failures=2, restarts=1)
    with managed(home, told):
        document = only_document("status", status("--json")[1])
    assert document["data"]["manager"]["pid"] == PID
    alice, bob = document["data"]["sessions"]
    wanted = {name: getattr(told, name) for name in alice if hasattr(told, name)}
    assert {name: alice[name] for name in wanted} == wanted
    assert (bob["code"], bob["state"], bob["exit_code"], bob["pid"], bob["waiting"]) == ("PAUSED_BY_OPERATOR", "stopped", 3, None, None)
    assert bob["paused_at"] == pytest.approx(time.time(), abs=60)


def test_without_a_manager_the_disk_tells(home, status):
    linked(home, "alice")
    code, out, err = status()
    assert (code, out) == (0, "no manager is running\nalice\tstopped\t-\t-\t-\t-\t-\n")
    assert err == "  next: wasess serve\n"
    document = only_document("status", status("--json")[1])
    assert (document["data"]["manager"], document["data"]["sessions"][0]["code"]) == (None, "NO_MANAGER")


def test_a_home_that_is_not_there_has_no_sessions(tmp_path, status):
    code, out, err = status("--home", str(tmp_path / "nowhere"))
    assert (code, out, err) == (0, "no manager is running\n", "  next: wasess connect USER\n")
    assert not (tmp_path / "nowhere").exists()


def test_a_session_that_is_not_there_is_named(home, status):
    linked(home, "alice")
    code, out, err = status("alice", "zoe")
    assert (code, out) == (4, "")
    assert f"there is no session zoe in {home.path}" in err
    assert "next: wasess connect zoe" in err


@pytest.mark.parametrize("interval", ["0.1", "3601", "nan", "-1", "soon"])
def test_a_wrong_interval_is_refused(home, status, interval):
    code, out, err = status("--watch", "--interval", interval)
    assert (code, out) == (2, "")
    assert "--interval" in err


def test_a_manager_that_makes_no_sense_is_told(home, status):
    linked(home, "alice")
    with babbling(home, b"SSH-2.0-OpenSSH_9.2\r\n"):
        code, out, err = status()
    assert (code, err) == (0, "")
    first, alice = out.splitlines()
    assert first.endswith("holds this home and does not answer")
    assert alice.split("\t")[-1] == "the manager holds this home and does not answer"
    with held(home, LONG_AGO):
        assert only_document("status", status("--json")[1])["data"]["manager"] is None


class Watching:
    """`wasess status --watch` in a pipe, a line read at a time."""

    def __init__(self, home, *options):
        environment = {**os.environ, "WASESS_HOME": str(home.path)}
        command = [sys.executable, "-m", "wasess", "status", "--watch", "--interval", "0.2", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def until(self, wanted):
        """Read until a line is as wanted; return it. The test's own time limit ends a wait for nothing."""
        return next(line for line in self.process.stdout if wanted(line))

    def end(self):
        """Ctrl+C; the exit code, and what else was printed on stdout and stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(ENDS_WITHIN), out, err


def test_in_a_pipe_a_watch_prints_the_rows_again(home):
    linked(home, "alice")
    with managed(home, live("alice")) as manager, Watching(home) as watch:
        assert watch.until(lambda line: line.startswith("alice\t")).split("\t")[1] == "online"
        manager.keep(live("alice", State.WAITING, reasons.NETWORK_DOWN))
        assert "WhatsApp can't be reached" in watch.until(lambda line: line.startswith("alice\twaiting"))
        watch.until(lambda line: line.startswith("alice\twaiting"))
        code, out, err = watch.end()
    assert (code, err) == (0, "")
    assert "\x1b" not in out


def test_a_watch_for_programs_is_a_document_a_line(home):
    linked(home, "alice", "bob")
    with Watching(home, "--json", "alice") as watch:
        seen = [watch.until(lambda line: "NO_MANAGER" in line)]
        with managed(home, live("alice")):
            seen.append(watch.until(lambda line: '"ONLINE"' in line))
        seen.append(watch.until(lambda line: "NO_MANAGER" in line))
        code, out, err = watch.end()
    assert (code, err) == (0, "")
    documents = lines("status-watch", "".join(seen) + out)
    assert all([row["user"] for row in document["data"]["sessions"]] == ["alice"] for document in documents)
    assert [json.loads(line)["data"]["manager"] is None for line in seen] == [True, False, True]


def test_a_reader_that_goes_ends_the_watch_without_a_word(home):
    linked(home, "alice")
    with Watching(home) as watch:
        watch.until(lambda line: line.startswith("alice"))
        watch.process.stdout.close()
        assert watch.process.wait(ENDS_WITHIN) == 0
        assert watch.process.stderr.read() == ""
