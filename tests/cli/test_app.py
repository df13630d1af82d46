from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys

import pytest

from wasess import errors
from wasess.cli.app import COMMANDS, require_platform, run
from wasess.cli.result import Result, failure_envelope, failure_of, success_envelope

LOADED = """
import sys
from wasess.cli.app import run
code = run({arguments!r})
maps = open("/proc/self/maps").read()
heavy = sorted(name for name in sys.modules if name.split(".")[0] in ("neonize", "google", "Neonize_pb2", "rich", "asyncio", "tomllib"))
print("\\nloaded:", code, heavy, "neonize" in maps)
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
    return subprocess.run([sys.executable, *arguments], env=clean | environment, capture_output=True, text=True, check=False, timeout=30)


def test_help_names_every_command(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr()
    assert all(re.search(rf"^  {name} ", shown.out, re.MULTILINE) for name in COMMANDS)
    assert not shown.err


def test_without_a_command_there_is_help(capsys):
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_its_environment(command, capsys):
    assert run([command, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_help_loads_no_command_and_nothing_heavy():
    assert "loaded: 0 [] False" in python("-c", LOADED.format(arguments=["--help"])).stdout


def test_list_loads_neither_neonize_nor_its_library(tmp_path):
    assert "loaded: 0 [] False" in python("-c", LOADED.format(arguments=["list", "--home", str(tmp_path / "home")])).stdout


@pytest.mark.alone
def test_help_is_fast():
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("-m", "wasess", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.2  # processor time: what else runs on the machine does not count


def test_the_version(capsys):
    assert run(["--version"]) == 0
    assert re.fullmatch(r"wasess \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_usage_error_is_a_sentence_a_next_step_and_2(capsys):
    assert run(["connect"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: Missing argument 'USER'.\n  next: wasess connect --help\n"


def test_with_json_a_failure_is_one_document_on_stdout(capsys):
    assert run(["connect", "Not A Name", "--json"]) == 2
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["ok"] is False
    assert document["data"] is None
    assert document["error"]["code"] == "BAD_USER_ID"
    assert shown.err == ""


def test_a_json_flag_behind_the_dashes_is_text(capsys):
    assert run(["nothing", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_the_envelopes():
    failure = failure_of(errors.NetworkDown("no network", hint="look at the cable"))
    assert failure.exit_code == 3
    assert failure_envelope(failure) == {
        "schema": 1,
        "ok": False,
        "data": None,
        "error": {"code": "NETWORK_DOWN", "message": "no network", "retryable": True, "hint": "look at the cable"},
    }
    assert success_envelope(Result({"user": "alice"})) == {"schema": 1, "ok": True, "data": {"user": "alice"}, "error": None}


def test_ctrl_c_is_130():
    assert failure_of(KeyboardInterrupt()).exit_code == 130


def test_a_bug_is_one_line_that_says_how_to_see_more():
    failure = failure_of(ZeroDivisionError("division by zero"))
    assert failure.exit_code == 1
    assert failure.message == "unexpected error: ZeroDivisionError: division by zero"
    assert "WASESS_DEBUG=1" in failure.hint


def test_what_the_system_refuses_is_said_with_the_file(tmp_path):
    (tmp_path / "a folder").mkdir()
    with pytest.raises(OSError, match="exist") as caught:
        (tmp_path / "a folder").mkdir()
    failure = failure_of(caught.value)
    assert (failure.code, failure.exit_code) == ("STORE", 1)
    assert failure.message == f"{tmp_path}/a folder: File exists"
    assert failure.hint == f"ls -ld '{tmp_path}/a folder'"


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_another_platform_is_refused(platform):
    with pytest.raises(errors.UnsupportedPlatform):
        require_platform(platform)


def test_no_colour_codes_outside_a_terminal():
    shown = python("-m", "wasess", "nothing")
    assert shown.returncode == 2
    assert "\x1b" not in shown.stderr
    assert shown.stderr.startswith("error: No such command 'nothing'.")


def test_a_reader_that_has_gone_is_no_error(tmp_path):
    command = f"{sys.executable} -m wasess list --json --home {tmp_path / 'home'} | true"
    shown = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, timeout=30)
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--config", "\udcff", "list"], ["list", "--home", "\udcff"], ["\udcff"], ["list", "\udcff"]])
def test_what_is_no_text_is_said_nevertheless(arguments):
    shown = python("-m", "wasess", *arguments, "--json", PYTHONIOENCODING="utf-8:strict")
    assert json.loads(shown.stdout)["ok"] is (shown.returncode == 0)
    assert python("-m", "wasess", *arguments, PYTHONIOENCODING="utf-8:strict").returncode == shown.returncode
    assert shown.returncode in {0, 2}


def test_the_umask_is_set_before_anything_is_made(tmp_path):
    home = tmp_path / "home"
    python("-m", "wasess", "connect", "alice", "--home", str(home), "--sandbox", str(tmp_path / "missing.json"))
    assert not home.exists()
    serve = python("-m", "wasess", "serve", "--home", str(home), "--only", "alice")
    assert serve.returncode == 4
    assert home.stat().st_mode & 0o777 == 0o700


LIMITS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
before = resource.getrlimit(resource.RLIMIT_CORE)
from wasess.__main__ import main
sys.argv = ["wasess", "--version"]
try:
    main()
except SystemExit:
    print(resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1]), before[0])
"""


def test_no_core_file_is_left_by_any_command():
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine lets nobody dump a core")
    shown = python("-c", LIMITS)
    assert shown.stdout.splitlines()[-1].startswith("True "), shown
