"""A bot's file, a program and a webhook's secret that others own or can write are refused, when `serve` starts and each time they are loaded."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from wasess.cli.app import run
from wasess.cli.bots import WebhookOptions, chosen_bot
from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.function import BotSpec, FunctionBot, validate_bot
from wasess.delivery.program import ProgramBot, ProgramSpec
from wasess.errors import UsageError
from wasess.store import trust
from wasess.store.trust import CODE, require_trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOBODY = 65534
HELLO = Message("A1", "a", "a", "hello", 1.0)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PROGRAM = "import json, sys\nfor line in sys.stdin: print(json.dumps({'n': json.loads(line)['n'], 'reply': 'yes'}), flush=True)\n"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def given_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def linked_by_another(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def open_to_all(file: Path) -> None:
    file.chmod(0o666)


def closed_again(file: Path) -> None:
    file.chmod(0o644)


# What is done to a file, what is said, what helps.
DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (lambda path: path.chmod(0o775), "can be written by other users", "chmod go-w"),
    (lambda path: path.chmod(0o757), "can be written by other users", "chmod go-w"),
    (lambda path: path.parent.chmod(0o777), "is in a folder that other users can write", "chmod o-w"),
    (lambda path: path.parent.parent.chmod(0o777), "is in a folder that other users can write", "chmod o-w"),
    pytest.param(given_away, "belongs to another user", "ls -l", marks=as_root),
    pytest.param(linked_by_another, "belongs to another user", "ls -l", marks=as_root),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "above" / "bots").mkdir(parents=True)
    return tmp_path / "above" / "bots"


@pytest.fixture
def bot(folder: Path) -> Path:
    file = folder / "bot.py"
    file.write_text("def reply(text): return 'yes'\n")
    return file


@pytest.fixture
def program(folder: Path) -> Path:
    file = folder / "program.py"
    file.write_text(PROGRAM)
    return file


@pytest.mark.parametrize(("damage", "problem", "hint"), DAMAGES)
@pytest.mark.parametrize("what", ["bot", "program", "script", "secret"])
def test_serve_refuses_what_others_can_have_written(folder, what, damage, problem, hint):
    file = folder / "file.py"
    file.write_text({"bot": "def reply(text): return 'yes'\n", "program": "#!/bin/sh\n", "script": PROGRAM, "secret": SECRET}[what])
    file.chmod(0o755)
    options = {
        "bot": (f"{file}:reply", "", "", None),
        "program": ("", f"{file} --verbose", "", None),
        "script": ("", f"{shlex.quote(sys.executable)} -S {file}", "", None),
        "secret": ("", "", "https://bot.example.com", file),
    }[what]
    function, program, url, secret = options
    webhook = WebhookOptions(url, secret, (), None, False)
    assert chosen_bot(function, program, webhook, folder)
    damage(file)
    with pytest.raises(UsageError, match=problem) as refused:
        chosen_bot(function, program, webhook, folder)
    assert str(file) in str(refused.value)
    assert ("it holds a secret" if what == "secret" else "it is code to run") in str(refused.value)
    assert hint in (refused.value.hint or "")


def test_the_command_ends_as_with_a_file_of_settings(bot, tmp_path, capsys):
    bot.chmod(0o666)
    assert run(["serve", "--home", str(tmp_path / "home"), "--bot", f"{bot}:reply"]) == 2
    said = capsys.readouterr().err
    assert f"{bot} can be written by other users, and it is code to run; it was not used" in said
    assert f"chmod go-w {bot}" in said
    assert not (tmp_path / "home").exists()


def test_python_s_modules_are_not_loaded_from_where_anybody_may_put_them(bot, folder):
    folder.chmod(0o1777)
    with pytest.raises(UsageError, match="in a folder that other users can write"):
        require_trust(bot, CODE, imports=1)
    require_trust(bot, CODE)  # nobody else can put another in its place


def test_the_folder_around_a_package_is_looked_at_too(folder, monkeypatch):
    (folder / "shop").mkdir()
    (folder / "shop" / "bot.py").write_text("def reply(text): return 'yes'\n")
    monkeypatch.chdir(folder)
    assert validate_bot("shop.bot:reply").module == "shop.bot"
    folder.chmod(0o1777)
    with pytest.raises(UsageError, match="in a folder that other users can write"):
        validate_bot("shop.bot:reply")


@as_root
def test_a_folder_of_another_user_is_none_to_load_modules_from(bot, folder):
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(UsageError, match="in a folder of another user"):
        require_trust(bot, CODE, imports=1)


@as_root
def test_where_root_is_unknown_its_files_look_like_nobody_s(bot, monkeypatch):
    given_away(bot)
    with pytest.raises(UsageError):
        require_trust(bot, CODE)
    monkeypatch.setattr(trust, "_root_is_unknown", lambda: True)
    require_trust(bot, CODE)


def test_what_is_not_there_is_somebody_else_s_matter(folder):
    require_trust(folder / "missing", CODE)


async def test_a_program_that_has_changed_hands_is_not_started_again(program, tmp_path):
    troubles: list[Trouble] = []
    bot = ProgramBot(ProgramSpec((sys.executable, "-S", str(program))), troubles.append, dice=lambda: 0.0, settles_within=0.0)
    assert await bot.ask(HELLO) == Outcome(Verdict.ANSWERED, (Reply("yes"),))
    await refused_at_the_next_start(bot, program, troubles)


async def test_a_function_whose_file_has_changed_hands_is_not_loaded_again(bot):
    troubles: list[Trouble] = []
    function = FunctionBot(BotSpec(bot, "reply"), troubles.append, dice=lambda: 0.0)
    assert await function.ask(HELLO) == Outcome(Verdict.ANSWERED, (Reply("yes"),))
    await refused_at_the_next_start(function, bot, troubles)


async def refused_at_the_next_start(bot: FunctionBot | ProgramBot, file: Path, troubles: list[Trouble]) -> None:

    open_to_all(file)
    assert bot._child
    await bot._child.end()
    asked = asyncio.create_task(bot.ask(HELLO))
    async with asyncio.timeout(10):
        while not troubles:  # noqa: ASYNC110 -- what is waited for is another process's doing
            await asyncio.sleep(0.01)
    assert troubles[0].code == "BOT_BROKEN"
    assert f"{file} can be written by other users" in troubles[0].sentence
    assert not asked.done(), "its messages wait"
    closed_again(file)
    async with asyncio.timeout(20):
        assert await asked == Outcome(Verdict.ANSWERED, (Reply("yes"),))
    await bot.close()
