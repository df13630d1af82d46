from __future__ import annotations

import json
import os
import time

import pytest

from wasess.cli.app import run
from wasess.store.manager_log import log_path
from wasess.store.sessions import Home
from wasess.supervisor.log_file import LogFile
from wasess.supervisor.report import Notice

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("WASESS_", "LANG", "LC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WASESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield Home(tmp_path / "home").open(create=True).path
    monkeypatch.delenv("TZ")
    time.tzset()


def tell(home, *notices: Notice) -> None:
    with LogFile(home) as log:
        for notice in notices:
            log.report(notice)


def logs(capsys, *arguments: str) -> list[str]:
    assert run(["logs", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_lines_with_their_local_time(capsys, home):
    tell(
        home,
        Notice(NOW, "manager_starting", "manager starting"),
        Notice(NOW + 1, "state", "", "alice", state="connecting"),
        Notice(NOW + 1.9, "restored", "alice restored (0.3 s)", "alice"),
    )
    assert logs(capsys) == ["2023-11-14 23:13:20  manager starting", "2023-11-14 23:13:21  alice restored (0.3 s)"]


def test_of_one_session(capsys, home):
    tell(home, Notice(NOW, "x", "manager starting"), Notice(NOW, "x", "alice restored", "alice"), Notice(NOW, "x", "bob restored", "bob"))
    assert logs(capsys, "alice") == ["2023-11-14 23:13:20  alice restored"]
    assert run(["logs", "carol"]) == 0
    assert capsys.readouterr().err == "nothing was told about carol\n"
    assert run(["logs", "No Name"]) == 2


def test_the_last_lines(capsys, home):
    tell(home, *(Notice(NOW, "x", f"line {number}") for number in range(150)))
    assert [line.split()[-1] for line in logs(capsys, "--lines", "2")] == ["148", "149"]
    assert len(logs(capsys)) == 100
    assert logs(capsys, "-n", "0") == []


def test_not_older_than(capsys, home):
    now = time.time()
    tell(home, Notice(now - 7200, "x", "old"), *(Notice(now - 60, "x", f"new {number}") for number in range(120)))
    assert len(logs(capsys, "--since", "1h")) == 120
    assert len(logs(capsys, "--since", "3h")) == 121
    assert len(logs(capsys, "--since", "3h", "--lines", "5")) == 5
    assert logs(capsys, "--since", "5s") == []
    assert run(["logs", "--since", "yesterday"]) == 2


def test_as_json_with_everything_in_it(capsys, home):
    tell(home, Notice(NOW, "state", "", "alice", state="connecting", code="STARTING"), Notice(NOW, "x", "é"))
    first, second = map(json.loads, logs(capsys, "--json"))
    assert (first["event"], first["session"], first["code"], first["line"]) == ("state", "alice", "STARTING", "")
    assert second["line"] == "é"


def test_no_log_yet(capsys, home):
    assert run(["logs"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"no log yet in {home}\n  next: wasess serve\n"


def test_no_home_yet(capsys, tmp_path):
    assert run(["logs", "--home", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()


def test_no_line_can_steer_a_terminal(capsys, home):
    tell(home, Notice(NOW, "x", "alice: \x1b[2J\nroot: all is well \u202e"))
    (line,) = logs(capsys)
    assert line == r"2023-11-14 23:13:20  alice: \x1b[2J\nroot: all is well \u202e"


def test_no_json_can_steer_a_terminal(capsys, home):
    tell(home, Notice(NOW, "failed", "it said \x9b2J\u202e"))
    (line,) = logs(capsys, "--json")
    assert line.isprintable()
    assert json.loads(line)["line"] == "it said \x9b2J\u202e"


@pytest.mark.parametrize("line", ['{"line": "no time"}', '{"ts": 5, "line": {"a": 1}}', '{"ts": "9999999", "line": "x"}', "[]", "{"])
def test_lines_that_somebody_has_damaged(capsys, home, line):
    tell(home, Notice(NOW, "x", "first"))
    with log_path(home).open("a") as file:
        file.write(line + "\n")
    tell(home, Notice(NOW, "x", "last"))
    found = logs(capsys)
    assert (found[0][-5:], found[-1][-4:]) == ("first", "last")
    assert "last" in logs(capsys, "--json")[-1]


def test_a_log_of_somebody_else_is_refused(capsys, home):
    tell(home, Notice(NOW, "x", "first"))
    log_path(home).chmod(0o666)
    assert run(["logs"]) == 1
    assert "can be written by other users" in capsys.readouterr().err
