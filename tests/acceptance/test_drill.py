"""`wasess drill`: a few fast rows of it, its words and its manners. All rows are run by whoever releases (about three minutes)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.acceptance

FIELDS = {"row", "fault", "expected", "happened", "detected_s", "recovered_s", "bound_s", "lost", "ok"}
FAST = ("tcp-reset", "server-away-a-day", "code-runs-out", "two-managers")
OWN_BOT = """
from pathlib import Path

async def listens(message):
    with Path(__file__).with_name("heard.txt").open("a") as heard:
        heard.write(message.text + "\\n")

def sleeps(text):
    import time
    time.sleep(600)
"""


@pytest.fixture
def drill(tmp_path):
    """Run the command in a folder of its own, which must be empty of its doings afterwards."""
    (tmp_path / "bot.py").write_text(OWN_BOT)
    (tmp_path / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "wasess", "drill", *arguments],
            cwd=tmp_path,
            env=environment | {"TMPDIR": str(tmp_path / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with start(*arguments) as process:
            out, err = process.communicate(timeout=80)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    run.start = start
    yield run
    assert not list((tmp_path / "tmp").iterdir())
    assert not left_behind(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {
        "bot.py",
        "tmp",
        "heard.txt",
        "__pycache__",
    }  # Python's own, where it may write it


def left_behind(folder):
    """Processes that still have to do with a folder."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def only(*rows: str) -> list[str]:
    return [word for row in rows for word in ("--only", row)]


@pytest.mark.alone
def test_rows_with_figures_as_json(drill):
    done = drill("--seed", "7", "--json", *only(*FAST))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["ok"], document["data"]["seed"]) == (1, True, 7)
    rows = document["data"]["rows"]
    assert {row["row"] for row in rows} == set(FAST)
    assert all(set(row) == FIELDS for row in rows)
    assert all(row["ok"] and row["lost"] == 0 for row in rows)
    reset = next(row for row in rows if row["row"] == "tcp-reset")
    assert 0 <= reset["detected_s"] <= reset["recovered_s"] <= reset["bound_s"] == 1


def test_progress_goes_to_stderr_and_the_table_to_stdout(drill):
    done = drill("--seed", "7", *only("server-away-a-day", "hostile-names"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines()[0] == "seed 7"
    assert any(line.startswith("ok     server-away-a-day (") for line in done.stderr.splitlines())
    assert done.stdout.splitlines()[0] == "seed 7: 2 of 2 rows ok"
    assert [line.split("\t")[0] for line in done.stdout.splitlines()[1:]] == ["server-away-a-day", "hostile-names"]
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.alone
def test_the_user_s_own_bot_gets_the_messages(drill, tmp_path):
    done = drill("--bot", "bot.py:listens", *only("tcp-reset"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "heard.txt").read_text().splitlines()) == 3


def test_a_row_that_fails_makes_the_command_fail(drill):
    done = drill("--seed", "7", "--bot", "bot.py:sleeps", "--json", *only("tcp-reset"))
    assert done.returncode == 1, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is False
    row = document["data"]["rows"][0]
    assert (row["ok"], row["lost"]) == (False, 1)
    assert "not within" in row["happened"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "black-cat"], "there is no row 'black-cat'; the rows are tcp-reset,"),
        (["--bot", "nowhere.py:reply"], "nowhere.py does not exist"),
        (["--seed", "often"], "often"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_starts(drill, arguments, said):
    done = drill(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not done.stdout


def test_the_list_of_rows(drill):
    done = drill("--list")
    assert done.returncode == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0][:2] == ["tcp-reset", "5.3/1"]
    assert len(lines) > 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_left(drill, number):
    process = drill.start(*only("black-hole", "two-managers"))
    while "two-managers (" not in (line := process.stderr.readline()):  # then the black hole is still being waited for
        assert line, "it ended"
    process.send_signal(number)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130, err
    assert "nothing was left behind" in err
