from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from wasess.cli.app import run
from wasess.cli.settings_file import LARGEST, SettingsFile
from wasess.errors import UsageError

VARIABLES = ("WASESS_", "LANG", "LC_")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory of its own, and an environment that says nothing."""
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    os.umask(0o077)
    return tmp_path


def write(text: str | bytes, path: str = "wasess.toml") -> Path:
    file = Path(path).absolute()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(0o600)
    return file


def told(capsys, *arguments: str) -> tuple[int, str]:
    """The exit code of a command line that goes wrong, and its complaint."""
    code = run(list(arguments))
    shown = capsys.readouterr()
    assert shown.out == ""
    return code, shown.err


def setting(capsys, name: str, *command: str, before: tuple[str, ...] = ()) -> tuple[object, str, str]:
    """The value of a setting, its source and origin, by `wasess config`."""
    assert run([*before, "config", *command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["settings"]
    (row,) = [row for row in rows if row["name"] == name and row["command"] in {" ".join(command), ""}]
    return row["value"], row["source"], row["origin"]


def test_flag_then_environment_then_file_then_default(capsys, monkeypatch, folder):
    assert setting(capsys, "timeout", "connect") == (180.0, "default", "")
    file = write("[connect]\ntimeout = 20\n")
    assert setting(capsys, "timeout", "connect") == (20.0, "file", str(file))
    monkeypatch.setenv("WASESS_CONNECT_TIMEOUT", "30")
    assert setting(capsys, "timeout", "connect") == (30.0, "environment", "WASESS_CONNECT_TIMEOUT")


def test_a_flag_wins_over_all(capsys, monkeypatch, folder):
    write('home = "by-file"\n')
    assert run(["list"]) == 0
    assert str(folder / "by-file") in capsys.readouterr().out
    monkeypatch.setenv("WASESS_HOME", "by-variable")
    assert run(["list"]) == 0
    assert str(folder / "by-variable") in capsys.readouterr().out
    assert run(["list", "--home", "by-flag"]) == 0
    assert str(folder / "by-flag") in capsys.readouterr().out


def test_an_empty_variable_says_nothing(capsys, monkeypatch):
    file = write('home = "by-file"\n')
    monkeypatch.setenv("WASESS_HOME", "")
    assert setting(capsys, "home", "list")[1:] == ("file", str(file))


def test_which_file(capsys, monkeypatch, folder):
    here = write("[serve]\nmax-parallel = 1\n")
    by_variable = write("[serve]\nmax-parallel = 2\n", "two/wasess.toml")
    by_flag = write("[serve]\nmax-parallel = 3\n", "three/other.toml")
    assert setting(capsys, "max-parallel", "serve") == (1, "file", str(here))
    monkeypatch.setenv("WASESS_CONFIG", "two/wasess.toml")
    assert setting(capsys, "max-parallel", "serve") == (2, "file", str(by_variable))
    assert setting(capsys, "config", "serve") == (str(by_variable), "environment", "WASESS_CONFIG")
    assert setting(capsys, "max-parallel", "serve", before=("--config", "three/other.toml")) == (3, "file", str(by_flag))
    assert setting(capsys, "config", "serve", before=("--config=three/other.toml",)) == (str(by_flag), "flag", "--config")


def test_a_table_wins_over_the_top_and_snake_case_is_as_good(capsys):
    file = write('home = "all"\n[serve]\nhome = "own"\nmax_parallel = 4\nonly = ["a", "b"]\n')
    assert setting(capsys, "home", "serve") == (str(file.parent / "own"), "file", str(file))
    assert setting(capsys, "home", "list") == (str(file.parent / "all"), "file", str(file))
    assert setting(capsys, "max-parallel", "serve")[0] == 4
    assert setting(capsys, "only", "serve")[0] == ["a", "b"]


def test_paths_are_relative_to_the_file(capsys, monkeypatch, folder):
    monkeypatch.setenv("HOME", "/home/somebody")
    write('home = "sessions"\nsandbox = "~/contract.json"\n[serve]\nbot = "bot.py:reply"\n', "etc/wasess.toml")
    before = ("--config", "etc/wasess.toml")
    assert setting(capsys, "home", "serve", before=before)[0] == str(folder / "etc/sessions")
    assert setting(capsys, "bot", "serve", before=before)[0] == str(folder / "etc/bot.py:reply")
    assert setting(capsys, "sandbox", "serve", before=before)[0] == "/home/somebody/contract.json"


def test_an_empty_text_says_nothing(capsys):
    write('home = ""\n[serve]\nbot = ""\n')
    assert setting(capsys, "home", "serve") == ("auth_sessions", "default", "")
    assert setting(capsys, "bot", "serve") == ("", "default", "")


def test_commands_of_the_sandbox_have_tables_too(capsys):
    file = write('[sandbox-scan]\ntimeout = 5\n[sandbox-serve]\ndir = "box"\n')
    assert setting(capsys, "timeout", "sandbox", "scan") == (5.0, "file", str(file))
    assert setting(capsys, "dir", "sandbox", "serve") == (str(file.parent / "box"), "file", str(file))


WRONG = {
    "a table": ("[serv]\nx = 1\n", "[serv] is unknown; did you mean serve?"),
    "a key": ("[list]\nhom = 'x'\n", "[list] hom is unknown; did you mean home?"),
    "a shared key": ("hoem = 'x'\n", "hoem is unknown; did you mean home?"),
    "nothing near": ("zzz = 1\n", "zzz is unknown"),
    "an option of one command at the top": ("max-parallel = 3\n", "max-parallel is unknown"),
    "a group of commands": ("[sandbox]\nx = 1\n", "[sandbox] is unknown; did you mean sandbox-"),
    "a path that is a number": ("home = 3\n", "home must be a text in quotes"),
    "a switch that is a text": ("json = 'yes'\n", "json must be true or false"),
    "a switch that is a number": ("[list]\njson = 1\n", "[list] json must be true or false"),
    "a language": ("lang = 'xx'\n", "lang must be en, es"),
    "a language that is a list": ("lang = ['en']\n", "lang must be en, es"),
    "twice": ("[list]\n[serve]\nmax-parallel = 1\nmax_parallel = 2\n", "[serve] max-parallel is set twice"),
    "a table instead of a value": ("[list]\nhome = {a = 1}\n", "[list] home must be a text in quotes"),
    "no TOML": ("home = \n", "is not valid TOML: Invalid value (at line 1, column 8)"),
    "no UTF-8": (b"# one\n# \xff\n", "is not UTF-8 (at line 2)"),
    "too deep": ("x = " + "[" * 20000 + "\n", "is not valid TOML: "),
    "a key of too many parts": ("a." * 50000 + "b = 1\n", "is not valid TOML: "),
    "a number too long": ("x = " + "9" * 5000 + "\n", "is not valid TOML: "),
    "too large": ("#" * (LARGEST + 1), "is too large for a file of settings"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_and_2(capsys, case):
    text, complaint = WRONG[case]
    file = write(text)
    code, said = told(capsys, "list")
    assert code == 2
    assert said.startswith(f"error: {file}")
    assert complaint in said
    assert "\n  next: " in said


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("max-parallel = 1.5", "[serve] max-parallel must be a whole number"),
        ("max-parallel = true", "[serve] max-parallel must be a whole number"),
        ("dials-per-second = 'x'", "[serve] dials-per-second must be a number"),
        ("dials-per-second = nan", "[serve] dials-per-second must be a number"),
        ("only = 'a'", "[serve] only must be a list"),
        ("only = [1]", "[serve] only must be a text"),
        ("events = 'x'", "[serve] events must be true or false"),
        ("max-paralel = 1", "[serve] max-paralel is unknown; did you mean max-parallel?"),
        ("bot = 1979-05-27", "[serve] bot must be a text in quotes"),
    ],
)
def test_types_are_those_of_the_options(capsys, line, complaint):
    write(f"[serve]\n{line}\n")
    code, said = told(capsys, "serve")
    assert (code, complaint in said) == (2, True), said


def test_a_value_that_the_option_refuses_names_the_file_or_the_variable(capsys, monkeypatch):
    file = write("[serve]\nmax-parallel = 0\n")
    assert f"0 is not in the range x>=1. ({file})" in told(capsys, "serve")[1]
    monkeypatch.setenv("WASESS_MAX_PARALLEL", "many")
    assert "'many' is not a valid" in (said := told(capsys, "serve")[1])
    assert "WASESS_MAX_PARALLEL" in said
    assert str(file) not in said
    assert str(file) not in told(capsys, "serve", "--max-parallel", "-1")[1]


def test_a_file_that_is_named_must_be_there(capsys, monkeypatch):
    assert run(["list"]) == 0
    capsys.readouterr()
    code, said = told(capsys, "--config", "nowhere.toml", "list")
    assert (code, "nowhere.toml can't be read (No such file or directory)" in said) == (2, True)
    monkeypatch.setenv("WASESS_CONFIG", "elsewhere.toml")
    assert told(capsys, "list")[0] == 2


def test_help_comes_whatever_the_file_says(capsys):
    write("[serve]\nmax-parallel = 7\n")
    assert run(["serve", "--help"]) == 0
    assert "default: 7" in " ".join(capsys.readouterr().out.split())
    write("max-parallel = ]\n")
    for arguments in (["--help"], ["serve", "--help"], ["--version"]):
        assert run(arguments) == 0
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(capsys, mode):
    file = write('[serve]\nbot = "bot.py:reply"\n')
    file.chmod(mode)
    code, said = told(capsys, "list")
    assert (code, said) == (
        2,
        f"error: {file} can be written by other users, and it can name code to run; it was not used\n  next: chmod go-w {file}\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(capsys):
    file = write("")
    os.chown(file, 12345, 12345)
    assert "belongs to another user" in told(capsys, "list")[1]
    assert "belongs to another user" in told(capsys, "--config", "wasess.toml", "list")[1]
    file.unlink()
    own = write("", "own.toml")
    file.symlink_to(own)
    os.lchown(file, 12345, 12345)
    assert "belongs to another user" in told(capsys, "list")[1]


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link"])
def test_what_is_no_file_is_refused(capsys, kind):
    {"folder": os.mkdir, "fifo": os.mkfifo, "dangling link": lambda name: Path(name).symlink_to("nowhere")}[kind]("wasess.toml")
    code, said = told(capsys, "list")
    assert (code, "wasess.toml" in said) == (2, True)


def test_json_counts_for_complaints_too(capsys, monkeypatch):
    def complains_in_json(*arguments: str) -> bool:
        assert run(list(arguments)) == 2
        shown = capsys.readouterr()
        return shown.out.startswith('{"schema": 1, "ok": false')

    assert not complains_in_json("connect")
    write("json = true\n")
    assert complains_in_json("connect")
    write("[connect]\njson = true\n")
    assert complains_in_json("connect")
    assert not complains_in_json("rename")
    monkeypatch.setenv("WASESS_JSON", "0")
    assert not complains_in_json("connect")
    assert complains_in_json("connect", "--json")
    monkeypatch.setenv("WASESS_JSON", "true")
    assert complains_in_json("rename")


def test_the_language_of_the_file(capsys, monkeypatch):
    write('lang = "es"\n')
    assert setting(capsys, "lang", "list") == ("es", "file", str(Path("wasess.toml").absolute()))
    monkeypatch.setenv("WASESS_LANG", "en")
    assert setting(capsys, "lang", "list") == ("en", "environment", "WASESS_LANG")
    assert setting(capsys, "lang", "list", before=("--lang", "es")) == ("es", "flag", "--lang")


def test_nothing_is_read_unless_it_is_asked_for(folder):
    assert SettingsFile.find(["list"], {}).path == ""
    missing = SettingsFile.find(["--config", "x.toml", "list"], {})
    assert missing.path == str(folder / "x.toml")
    with pytest.raises(UsageError):
        missing.content()
    assert SettingsFile.find(["list", "--config", "x.toml"], {}).path == ""


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=some.one_of(some.binary(max_size=200), some.text('abc_-"=[]{}\n #.1,', max_size=60).map(str.encode)))
def test_no_content_is_a_bug(capsys, content):
    write(content)
    code = run(["list", "--json"])
    shown = capsys.readouterr()
    assert code in {0, 2}
    assert json.loads(shown.out)["ok"] is (code == 0)
