"""Where a bot's module is looked for, and what it is called: as with ``python bot.py``, but that nothing beside it shadows what wasess needs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from wasess.core.message import Message
from wasess.delivery.function import validate_bot

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = Message("1", "491700000001@s.whatsapp.net", "491700000001@s.whatsapp.net", "hello", 0.0)
STRANGE = "raise RuntimeError('a file of a stranger was run')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer_of(bot: str) -> Any:
    """The bot's answer to one message."""
    with subprocess.Popen(validate_bot(bot).command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert json.loads(process.stdout.readline()).get("ready")
        process.stdin.write(json.dumps({"n": 1, "message": asdict(MESSAGE)}) + "\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())
        process.stdin.close()
    return found.get("reply", found)


@pytest.mark.parametrize("name", ["inspect", "queue", "msgspec", "json", "asyncio", "wasess", "logging", "typing"])
def test_a_file_in_the_working_directory_is_not_run(folder: Path, name: str):
    (folder / f"{name}.py").write_text(STRANGE)
    (folder / "bots").mkdir()
    (folder / "bots" / "bot.py").write_text("import inspect, queue, json, asyncio, logging\nasync def reply(text):\n    return text\n")
    assert answer_of("bots/bot.py:reply") == "hello"


@pytest.mark.parametrize("name", ["inspect", "queue", "msgspec", "json", "asyncio", "logging"])
def test_a_file_beside_the_bot_shadows_nothing_that_is_needed(folder: Path, name: str):
    (folder / f"{name}.py").write_text(STRANGE)
    (folder / "bot.py").write_text("import inspect, queue, json, asyncio, logging\nasync def reply(text):\n    return text\n")
    assert answer_of("bot.py:reply") == "hello"


@pytest.mark.parametrize("name", ["wasess", "queue", "msgspec", "my-bot", "test"])
def test_a_bot_may_have_any_name(folder: Path, name: str):
    (folder / f"{name}.py").write_text("from wasess import Message\ndef reply(message: Message):\n    return message.text\n")
    assert answer_of(f"{name}.py:reply") == "hello"


def test_a_helper_beside_the_bot_gets_the_same_module(folder: Path):
    (folder / "helper.py").write_text("import bot\ndef count():\n    bot.COUNT.append(1)\n    return bot.__name__\n")
    (folder / "bot.py").write_text(
        "COUNT = []\ndef reply(text):\n    import helper\n    name = helper.count()\n    return f'{name} {len(COUNT)} {__name__}'\n"
    )
    assert answer_of("bot.py:reply") == "bot 1 bot"


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_process_pool_finds_the_bots_functions(folder: Path, method: str):
    (folder / "bot.py").write_text(
        "import multiprocessing\n"
        "def shout(text):\n    return text.upper()\n"
        "def reply(text):\n"
        f"    with multiprocessing.get_context({method!r}).Pool(1) as pool:\n"
        "        return pool.apply(shout, (text,))\n"
    )
    assert answer_of("bot.py:reply") == "HELLO"


def test_an_object_of_the_bots_class_can_be_pickled(folder: Path):
    (folder / "bot.py").write_text(
        "import pickle\n"
        "class Memory:\n    def __init__(self, text):\n        self.text = text\n"
        "def reply(text):\n    return pickle.loads(pickle.dumps(Memory(text))).text\n"
    )
    assert answer_of("bot.py:reply") == "hello"


def test_a_link_to_a_bot_finds_what_is_beside_its_target(folder: Path):
    (folder / "src").mkdir()
    (folder / "src" / "helper.py").write_text("WORD = 'found'\n")
    (folder / "src" / "bot.py").write_text("import helper\ndef reply(text):\n    return helper.WORD\n")
    (folder / "link.py").symlink_to("src/bot.py")
    assert answer_of("link.py:reply") == "found"


@pytest.mark.parametrize("bot", ["shop.bot:reply", "shop.inner.bot:reply", "shop:reply"])
def test_a_module_of_a_package_has_its_relative_imports(folder: Path, bot: str):
    inner = folder / "shop" / "inner"
    inner.mkdir(parents=True)
    (inner / "__init__.py").touch()
    (folder / "shop" / "words.py").write_text("WORD = 'relative'\n")
    (folder / "shop" / "__init__.py").write_text("from .words import WORD\ndef reply(text):\n    return WORD\n")
    (folder / "shop" / "bot.py").write_text("from .words import WORD\ndef reply(text):\n    return WORD\n")
    (inner / "bot.py").write_text("from ..words import WORD\ndef reply(text):\n    return WORD\n")
    assert answer_of(bot) == "relative"
