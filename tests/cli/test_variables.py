"""Every option of every command has a variable and a place in wasess.toml, and both have effect."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from typing import Any

import pytest
from typer.main import get_command

from wasess.cli.app import COMMANDS, app, run
from wasess.cli.defaults import SHARED, leaves, options_of, variable_of

# In the range of every option of that kind.
SAMPLES = {"flag": "1", "integer": "64", "float": "100", "path": "some/where", "text": "sample"}


def options() -> list[tuple[tuple[str, ...], str, Any]]:
    """The words of a command, the name of one of its options, and the option."""
    table: Any = get_command(app)
    commands = [leaf for name in COMMANDS for leaf in leaves(table.get_command(None, name), (name,))]
    return [(words, key, option) for words, command in commands for key, option in options_of(command).items()]


ALL = options()
LEAVES = sorted({words for words, _, _ in ALL})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WASESS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    os.umask(0o077)
    return tmp_path


def kind(option: Any) -> str:
    name = str(option.type.name)
    return "flag" if option.is_flag else next((known for known in SAMPLES if name.startswith(known)), "text")


def sample(option: Any) -> str:
    return str(option.type.choices[0]) if option.type.name == "choice" else SAMPLES[kind(option)]


def in_toml(option: Any) -> str:
    text = sample(option)
    value = {"flag": "true", "integer": text, "float": text}.get(kind(option), f'"{text}"')
    return f"[{value}]" if option.multiple else value


def row(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], key: str) -> dict[str, Any]:
    assert run(["config", *words, "--json"]) == 0
    (found,) = [
        row for row in json.loads(capsys.readouterr().out)["data"]["settings"] if (row["command"], row["name"]) == (" ".join(words), key)
    ]
    return dict(found)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_shows_the_variable_of_each_option(capsys, words):
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    for own, key, option in ALL:
        if own == words:
            assert f"env var: {option.envvar}" in " ".join(shown.split()), key


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_no_two_options_of_a_command_share_a_variable(words):
    names = Counter(option.envvar for own, _, option in ALL if own == words)
    assert set(names.values()) <= {1}


def test_one_variable_means_one_thing_everywhere():
    flags: dict[str, set[str]] = {}
    for _, key, option in ALL:
        flags.setdefault(option.envvar, set()).add(key)
    assert {name: keys for name, keys in flags.items() if len(keys) > 1} == {}


def test_shared_options_have_one_variable():
    for words, key, option in ALL:
        if key in SHARED:
            assert option.envvar == f"WASESS_{key.upper().replace('-', '_')}", words
        assert option.envvar.startswith("WASESS_")


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_the_variables_and_the_file_have_effect(capsys, monkeypatch, folder, words):
    own = [(key, option) for command, key, option in ALL if command == words]
    file = folder / "wasess.toml"
    file.write_text(f"[{'-'.join(words)}]\n" + "".join(f"{key} = {in_toml(option)}\n" for key, option in own))
    for key, option in own:
        before = row(capsys, words, key)
        assert (before["source"], before["origin"]) == ("file", str(file)), key
        monkeypatch.setenv(option.envvar, sample(option))
        after = row(capsys, words, key)
        assert (after["source"], after["origin"], after["variable"]) == ("environment", option.envvar, option.envvar), key
        shown = after["value"] if isinstance(after["value"], list) else [after["value"]]
        assert [str(value) for value in shown] in ([sample(option)], ["True"], ["100.0"], ["***"]), key


def test_no_option_before_the_command_is_named_as_a_command():
    """typer asks the same map for both."""
    table: Any = get_command(app)
    assert not {option.name for option in table.params} & set(COMMANDS)


def test_an_empty_variable_is_none():
    (option,) = [option for words, key, option in ALL if (words, key) == (("list",), "home")]
    assert variable_of(option, {"WASESS_HOME": ""}) == ""
    assert variable_of(option, {"WASESS_HOME": "x"}) == "WASESS_HOME"


@pytest.mark.parametrize(
    ("words", "key"), [(words, key) for words, key, option in ALL if option.type.name.startswith(("float", "integer"))]
)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "1e400", "9e99"])
def test_a_number_that_is_none_is_refused_with_what_is_allowed(capsys, monkeypatch, words, key, number):
    (option,) = [option for own, found, option in ALL if (own, found) == (words, key)]
    monkeypatch.setenv(option.envvar, number)
    assert run(["config", *words]) == 2
    said = capsys.readouterr().err
    assert option.envvar in said
    assert re.search(r"is not in the range (\d+<=|[\d.]+<=)?x[<>]=\d+\.|is not a valid integer", said), said
