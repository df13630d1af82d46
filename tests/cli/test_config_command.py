from __future__ import annotations

import json
import os

import pytest

from wasess.cli.app import run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("WASESS_", "LANG", "LC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    os.umask(0o077)
    return tmp_path


def shown(capsys, *words: str) -> list[list[str]]:
    assert run(["config", *words]) == 0
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_row_for_each_setting(capsys, monkeypatch, folder):
    (folder / "wasess.toml").write_text('[list]\nhome = "there"\n')
    monkeypatch.setenv("WASESS_JSON", "0")
    file = str(folder / "wasess.toml")
    assert shown(capsys, "list") == [
        ["all", "config", file, "default"],
        ["all", "lang", "en", "default"],
        ["list", "home", str(folder / "there"), f"file {file}"],
        ["list", "json", "no", "environment WASESS_JSON"],
    ]


def test_what_is_the_same_in_all_commands_comes_once(capsys, monkeypatch):
    monkeypatch.setenv("WASESS_HOME", "/somewhere")
    rows = [row for row in shown(capsys) if row[1] == "home"]
    assert rows == [["all", "home", "/somewhere", "environment WASESS_HOME"]]
    monkeypatch.delenv("WASESS_HOME")
    assert [row for row in shown(capsys) if row[1] == "sandbox"][-1] == ["sandbox state", "sandbox", ".sandbox/contract.json", "default"]


def test_as_json(capsys, folder):
    assert run(["config", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["file"] is None
    assert {row["command"] for row in data["settings"]} >= {"", "serve", "list", "sandbox enter-code"}
    assert {
        "command": "serve",
        "name": "max-parallel",
        "value": 8,
        "source": "default",
        "origin": "",
        "variable": "WASESS_MAX_PARALLEL",
    } in data["settings"]


def test_a_group_of_commands(capsys):
    assert {row[0] for row in shown(capsys, "sandbox")} >= {"sandbox serve", "sandbox scan"}
    assert {row[0] for row in shown(capsys, "sandbox", "scan")} == {"all", "sandbox scan"}


def test_what_gives_access_is_not_shown(capsys, monkeypatch, folder):
    secret = "https://ping.example/0b1d"
    monkeypatch.setenv("WASESS_VERIFY_PING", secret)
    monkeypatch.setenv("WASESS_CONNECT_PHONE", "+49 170 1234567")
    (folder / "wasess.toml").write_text(f'[service]\nping = "{secret}"\n')
    for arguments in (["config"], ["config", "--json"]):
        assert run(arguments) == 0
        told = capsys.readouterr().out
        assert "***" in told
        assert "0b1d" not in told
        assert "1234567" not in told


@pytest.mark.parametrize(("words", "hint"), [(["serv"], "wasess config serve"), (["sandbox", "skan"], "wasess config sandbox scan")])
def test_no_such_command(capsys, words, hint):
    assert run(["config", *words]) == 2
    assert hint in capsys.readouterr().err
    assert run(["config", "list", "more"]) == 2


def test_a_mistake_in_any_table_is_found(capsys, folder):
    (folder / "wasess.toml").write_text("[serve]\nmax-paralel = 1\n")
    assert run(["list"]) == 0
    assert run(["config"]) == 2
    assert "[serve] max-paralel is unknown" in capsys.readouterr().err


def test_a_value_that_is_wrong_in_the_environment_is_named(capsys, monkeypatch):
    monkeypatch.setenv("WASESS_MAX_PARALLEL", "none")
    assert run(["config"]) == 2
    assert "WASESS_MAX_PARALLEL" in capsys.readouterr().err


def test_no_value_steers_a_terminal(capsys, monkeypatch, folder):
    monkeypatch.setenv("WASESS_BOT", "a\x1b[2J\nb")
    assert run(["config", "serve"]) == 0
    assert "\tbot\ta\\x1b[2J\\nb\tenvironment" in capsys.readouterr().out
