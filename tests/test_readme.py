"""The README tells the truth: each command in it is run, each table compared with the product."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from wasess import errors
from wasess.core.message import Message, Reply
from wasess.delivery.function import FunctionBot, validate_bot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
READMES = {"en": (ROOT / "README.md").read_text(), "es": (ROOT / "README.es.md").read_text()}
README = READMES["en"]
LANGUAGES = pytest.mark.parametrize("spoken", ["en", "es"])
HEADINGS = {
    "Commands": "Comandos",
    "Exit codes": "Códigos de salida",
    "Files": "Archivos",
    "How a session is kept": "Cómo se mantiene una sesión",
    "How messages are kept": "Cómo se guardan los mensajes",
}
SETTINGS = ("How a session is kept", "How messages are kept")
WASESS = Path(sys.executable).parent / "wasess"


def blocks(language: str, spoken: str = "en") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", READMES[spoken], re.MULTILINE | re.DOTALL)


def rows(heading: str, spoken: str = "en") -> list[list[str]]:
    """The cells of the first table under a heading, named in English, without its head."""
    said = heading if spoken == "en" else HEADINGS[heading]
    section = READMES[spoken].split(f"\n## {said}\n", 1)[1].split("\n## ", 1)[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


COMMANDS = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
DRILLS = [command for command in COMMANDS if command.startswith("wasess drill")]
RUN_BY_THE_SESSION_BELOW = [command for command in COMMANDS if command.startswith(("wasess ", "export ")) and command not in DRILLS]
RUN_ELSEWHERE = {
    "make demo": "tests/acceptance/test_demo.py",
    "make test": "this run",
    ". .venv/bin/activate": "puts wasess on the PATH, as the session below does",
    **dict.fromkeys(
        [command for command in COMMANDS if command.startswith("sudo ")],
        "tests/cli/test_service.py, but for what changes this machine",
    ),
    **dict.fromkeys([command for command in COMMANDS if command.startswith("docker ")], "tests/acceptance/test_image.py"),
}


def test_every_command_is_run() -> None:
    assert set(COMMANDS) == {*RUN_BY_THE_SESSION_BELOW, *DRILLS, *RUN_ELSEWHERE}


@pytest.mark.parametrize("target", ["demo", "test", "lint", "supply", "dist", "bench"])
def test_make_knows_its_targets(target: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(["make", "-n", target], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Shell:
    """Runs README commands in a folder; those that stay are ended at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": f"{WASESS.parent}:{os.environ['PATH']}"}
        self.environment.pop("WASESS_SANDBOX", None)
        self._staying: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def export(self, command: str) -> None:
        self.environment.update(dict(word.split("=", 1) for word in command.split()[1:]))

    def stay(self, command: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("wb") as file:
            process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stdout=file, stderr=file)
        self._staying.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()

    def close(self) -> None:
        for process in reversed(self._staying):
            process.terminate()
        for process in self._staying:
            process.wait(timeout=15)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.acceptance
def test_the_session_without_a_phone(shell: Shell) -> None:
    commands = list(dict.fromkeys(RUN_BY_THE_SESSION_BELOW))
    first = commands.index("wasess sandbox serve")
    story = ["wasess sandbox serve", *(c for c in commands if c.startswith("export")), *commands[:first], *commands[first + 1 :]]
    answers = {}
    for command in dict.fromkeys(story):
        if command == "wasess sandbox serve":
            shell.stay(command, "sandbox.log")
            until(lambda: "contract.json" in shell.log("sandbox.log"))
        elif command.startswith("export"):
            shell.export(command)
        elif command.startswith("wasess connect"):
            connecting = shell.stay(command, "connect.log")
            shell.run("wasess sandbox scan shop")
            assert connecting.wait(timeout=20) == 0, shell.log("connect.log")
        elif command.startswith("wasess serve"):
            shell.stay(command, "serve.log")
            until(lambda: "manager ready" in shell.log("serve.log"))
        elif command != "wasess sandbox scan shop":
            answers[command] = shell.run(command)
    assert list(answers)[-1] == "wasess sandbox state"

    def replies() -> list[str]:
        accounts = json.loads(shell.run("wasess sandbox state --json"))["data"]["accounts"]
        return [message["text"] for account in accounts if account["name"] == "carol" for message in account["received"]]

    said = [shlex.split(command) for command in commands]
    echoes = [f"you said: {words[5]}" for words in said if words[:3] == ["wasess", "sandbox", "say"]]
    sent = [words[4] for words in said if words[:2] == ["wasess", "send"]]
    until(lambda: sorted(replies()) == sorted([*echoes, *sent]))
    tail = next(answer for command, answer in answers.items() if command.startswith("wasess tail"))
    assert [line.split("  ")[4] for line in tail.splitlines()] == ["text", "document"]
    promised = re.sub(r"\d+\.\d", "N", blocks("text")[0]).splitlines()
    assert re.sub(r"\d+\.\d", "N", shell.log("serve.log")).splitlines()[: len(promised)] == promised


@pytest.mark.acceptance
@pytest.mark.alone
@pytest.mark.parametrize("command", DRILLS)
def test_the_drills(shell: Shell, command: str) -> None:
    said = shell.run(command)
    rows = [word for before, word in pairwise(command.split()) if before == "--only"]
    assert all(row in said for row in rows or ["black-hole"])


def test_the_table_of_settings() -> None:
    told = {setting.split("`")[1]: default for heading in SETTINGS for setting, default, _ in rows(heading)}
    options = get_command(importlib.import_module("wasess.cli.serve").app).params
    words = {"False": "off", "None": "-", "": "-"}
    product = {option.opts[0]: words.get(str(option.default), str(option.default)) for option in options if option.opts[0] in told}
    assert product == told
    assert all(f"`{option.envvar}`" in README for option in options if option.opts[0] in told)


@LANGUAGES
def test_the_table_of_commands(spoken: str) -> None:
    def listed(*group: str) -> dict[str, str]:
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "WASESS_LANG": spoken}
        done = subprocess.run([WASESS, *group, "--help"], env=environment, capture_output=True, text=True, check=True)
        lines = re.split(r"^(?:Commands|Comandos):\n", done.stdout, maxsplit=1, flags=re.MULTILINE)[1]
        whole = re.sub(r"\n {3,}", " ", lines).splitlines()
        pairs = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in whole if line.strip()]
        return {" ".join(["wasess", *group, name]): text for name, text in pairs}

    product = listed() | listed("sandbox") | listed("inbox")
    del product["wasess sandbox"], product["wasess inbox"]
    told = {
        " ".join(word for word in row[0].strip("`").split() if not word.isupper() and "..." not in word and "[" not in word): row[1]
        for row in rows("Commands", spoken)
    }
    first_sentences = {
        "wasess connect": {"en": "Link a session to a phone", "es": "Vincular una sesión a un teléfono"}[spoken],
        "wasess sandbox serve": {"en": "Run a stand-in until Ctrl+C", "es": "Ejecutar un simulador hasta Ctrl+C"}[spoken],
    }
    assert told.keys() == product.keys()
    for command, text in told.items():
        wanted = first_sentences.get(command, product[command])
        assert text.rstrip(".").startswith(wanted.rstrip(".")), command


def test_both_languages_name_the_same_things() -> None:
    assert blocks("console", "es") == blocks("console")
    assert blocks("python", "es") == blocks("python")
    assert blocks("toml", "es") == blocks("toml")
    for heading in HEADINGS:
        assert [row[0] for row in rows(heading, "es")] == [row[0] for row in rows(heading)], heading
    for heading in SETTINGS:
        assert [row[1] for row in rows(heading, "es")] == [row[1] for row in rows(heading)]
    marks = r"^(#+) "
    assert re.findall(marks, READMES["es"], re.MULTILINE) == re.findall(marks, README, re.MULTILINE)


@LANGUAGES
def test_links_lead_somewhere(spoken: str) -> None:
    titles = re.findall(r"^#+ (.+)$", READMES[spoken], re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", READMES[spoken]):
        assert target.startswith("https://") or target.lstrip("#") in anchors or (ROOT / target).exists(), target


def test_the_table_of_exit_codes() -> None:
    told = {int(code) for code, _ in rows("Exit codes")}
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.WasessError)]
    assert {value.exit_code for value in classes} | {0} == told


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles(block: str) -> None:
    body = f"async def example(directory):\n{textwrap.indent(block, '    ')}" if "async with" in block else block
    ast.parse(body)


def test_the_bot_in_the_text_is_the_one_in_examples() -> None:
    bot = (ROOT / "examples/echo_bot.py").read_text()
    for line in blocks("python")[0].splitlines():
        assert line in bot


async def test_the_bot_that_gets_a_message(tmp_path: Path) -> None:
    file = tmp_path / "bot.py"
    file.write_text(blocks("python")[1])
    bot = FunctionBot(validate_bot(f"{file}:answer"), print)
    picture = Message("A1", "1@lid", "1@lid", "", 0.0, kind="image")
    try:
        answers = [(await bot.ask(message)).replies for message in (picture, replace(picture, kind="text", text="hello"))]
    finally:
        await bot.close()
    assert answers == [(Reply("thanks for the picture", quote=True),), ()]
