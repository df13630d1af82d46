from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wasess.cli.app import COMMANDS, run
from wasess.store.sessions import Home

BIN = Path(sys.executable).parent
ASK = """
source <(wasess completion bash)
complete -p wasess | grep -q -- '-F _wasess_completion wasess' || echo "not registered"
cd {folder}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_wasess_completion wasess
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(tmp_path):
    os.umask(0o077)
    home = Home(tmp_path / "auth_sessions").open(create=True)
    for user in ("alice", "anna", "bob"):
        home.session(user).create()
    (home.path / ".log").mkdir()
    elsewhere = Home(tmp_path / "elsewhere").open(create=True)
    elsewhere.session("zoe").create()
    return tmp_path


def clean(**more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
    return ours | {"PATH": f"{BIN}:{os.environ['PATH']}", **more}


def offered(folder: Path, *words: str, **environment: str) -> list[str]:
    """What a real bash offers after these words and <TAB>."""
    line = " ".join(map(shlex.quote, ("wasess", *words)))
    asked = subprocess.run(
        ["bash", "--norc", "-c", ASK.format(words=line, folder=shlex.quote(str(folder)))],
        cwd="/",
        env=clean(**environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert asked.stderr == ""
    return asked.stdout.split()


def test_commands(folder):
    assert offered(folder, "ver") == ["verify"]
    assert offered(folder, "re") == [name for name in COMMANDS if name.startswith("re")]
    assert offered(folder, "") == list(COMMANDS)
    assert offered(folder, "sandbox", "sc") == ["scan"]
    assert offered(folder, "inbox", "") == ["list", "show", "retry", "drop", "release"]


def test_options(folder):
    assert offered(folder, "serve", "--max") == ["--max-age", "--max-parallel"]
    assert offered(folder, "--") == ["--version", "--lang", "--config", "--help"]
    assert "--lines" in offered(folder, "logs", "alice", "--")


def test_sessions_of_the_home(folder):
    assert offered(folder, "connect", "a") == ["alice", "anna"]
    assert offered(folder, "connect", "") == ["alice", "anna", "bob"]
    assert offered(folder, "logs", "bo") == ["bob"]


@pytest.mark.parametrize(
    "command",
    [
        "connect",
        "reconnect",
        "pause",
        "resume",
        "logout",
        "rename",
        "remove",
        "logs",
        "send",
        "tail",
        "inbox list",
        "inbox show",
        "inbox retry",
        "inbox drop",
        "inbox release",
    ],
)
def test_every_command_that_takes_a_session_offers_them(folder, command):
    assert offered(folder, *command.split(), "ali") == ["alice"]


def test_the_home_that_is_meant(folder):
    assert offered(folder, "connect", "--home", "elsewhere", "") == ["zoe"]
    assert offered(folder, "connect", "", WASESS_HOME="elsewhere") == ["zoe"]
    (folder / "wasess.toml").write_text('home = "elsewhere"\n')
    (folder / "wasess.toml").chmod(0o600)
    assert offered(folder, "connect", "") == ["zoe"]
    (folder / "other.toml").write_text('home = "auth_sessions"\n')
    (folder / "other.toml").chmod(0o600)
    assert offered(folder, "--config", "other.toml", "connect", "al") == ["alice"]


def test_shells_and_commands_as_arguments(folder):
    assert offered(folder, "completion", "") == ["bash", "zsh", "fish"]
    assert offered(folder, "config", "ser") == ["serve", "service"]


@pytest.mark.parametrize("case", ["no home", "open home", "broken file"])
def test_of_what_is_wrong_nothing_is_said(folder, case):
    match case:
        case "no home":
            (folder / "auth_sessions").rename(folder / "away")
        case "open home":
            (folder / "auth_sessions").chmod(0o755)
        case _:
            (folder / "wasess.toml").write_text("home = ")
    assert offered(folder, "connect", "a") == []


def answer(folder: Path, shell: str, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the script of a shell that may not be on this machine would be told."""
    told = clean(_WASESS_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_ARGS=line, **environment)
    return subprocess.run(["wasess"], cwd=folder, env=told, capture_output=True, text=True, check=False, timeout=60)


def test_zsh(folder):
    assert '"alice"' in answer(folder, "zsh", "wasess connect a").stdout
    assert '"verify":"Check that' in answer(folder, "zsh", "wasess ver").stdout


def test_fish(folder):
    assert answer(folder, "fish", "wasess connect a", _TYPER_COMPLETE_FISH_ACTION="get-args").stdout.split() == ["alice", "anna"]
    assert answer(folder, "fish", "wasess connect a", _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == 0
    assert answer(folder, "fish", "wasess connect x", _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == 1


@pytest.mark.parametrize(
    ("shell", "part"), [("bash", "complete -o default -F"), ("zsh", "#compdef wasess"), ("fish", "complete --command wasess")]
)
def test_the_scripts(capsys, shell, part):
    assert run(["completion", shell]) == 0
    assert part in capsys.readouterr().out


def test_another_shell_is_a_usage_error(capsys):
    assert run(["completion", "tcsh"]) == 2
    assert "next: wasess completion bash" in capsys.readouterr().err


def test_an_unknown_shell_is_told_nothing(folder):
    told = answer(folder, "\x08", "wasess connect a")
    assert (told.stdout, told.stderr, told.returncode) == ("", "", 1)
