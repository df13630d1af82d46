"""``--wa-version``: what it takes, of every command that has it. What comes of it: acceptance/test_outdated, wire/test_wire_version."""

from __future__ import annotations

import pytest

from wasess.cli.app import run
from wasess.cli.options import require_wa_version
from wasess.errors import UsageError


@pytest.mark.parametrize("text", ["", "auto", "2.3000.1047769893", "2.3000.1097769892"])
def test_a_version_from_the_one_built_in_on(text):
    assert require_wa_version(text) == text


@pytest.mark.parametrize(
    "text", ["2.3000.1047769892", "2.3000.1097769893", "2.2413.51", "latest", "1053000000", " auto", "2.3000.1053000000\n"]
)
def test_no_other_can_be_asked_for(text):
    with pytest.raises(UsageError, match=r"N at least 1047769893 \(built in\) and below 1097769893"):
        require_wa_version(text)


@pytest.mark.parametrize("command", [("serve",), ("connect", "alice"), ("reconnect", "--all")])
def test_a_command_refuses_before_it_does_anything(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert run([*command, "--home", "home", "--wa-version", "2.3000.1"]) == 2
    said = capsys.readouterr().err
    assert "'2.3000.1' can't be announced" in said
    assert "next: --wa-version auto" in said
    assert list(tmp_path.iterdir()) == []


def test_the_variable_and_the_file_say_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WASESS_WA_VERSION", "2.3000.1")
    assert run(["reconnect", "--all", "--home", "home"]) == 2
    monkeypatch.delenv("WASESS_WA_VERSION")
    (tmp_path / "wasess.toml").write_text('wa-version = "2.3000.2"\n')
    (tmp_path / "wasess.toml").chmod(0o600)
    assert run(["connect", "alice", "--home", "home"]) == 2
    assert "'2.3000.2' can't be announced" in capsys.readouterr().err
