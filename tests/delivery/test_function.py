"""Bots in real processes."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from wasess.core.message import Message
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HELLO = Message(
    id="A1", chat="491701234567@s.whatsapp.net", sender="491701234567@s.whatsapp.net", text="hello", timestamp=1.0, push_name="Ann"
)


@asynccontextmanager
async def running(file: Path, source: str, *, deadline: float = 20.0, troubles: list[Trouble] | None = None) -> AsyncIterator[FunctionBot]:
    file.write_text(source, encoding="utf-8")  # noqa: ASYNC240 -- nothing else runs on this loop
    told = troubles if troubles is not None else []
    bot = FunctionBot(validate_bot(f"{file}:reply"), told.append, deadline=deadline, dice=lambda: 0.0)
    try:
        yield bot
    finally:
        await bot.close()


@pytest.mark.parametrize(
    ("source", "reply"),
    [
        ("def reply(message): return message.text.upper()", "HELLO"),
        ("def reply(message): return f'{message} {message.push_name}'", "hello Ann"),
        ("def reply(text): return text + text", "hellohello"),
        ("def reply(words: str): return words + '!'", "hello!"),
        ("def reply(text: object): return type(text).__name__", "Message"),
        ("async def reply(message): return message.id", "A1"),
        ("class Bot:\n  async def __call__(self, text): return text\nreply = Bot()", "hello"),
        ("def reply(message): return None", None),
        ("def reply(message): return ''", None),
        ("def reply(message): return '\\N{GRINNING FACE}\\n'", "\N{GRINNING FACE}\n"),
    ],
)
async def test_what_the_function_returns_is_the_reply(tmp_path: Path, source: str, reply: str | None):
    async with running(tmp_path / "bot.py", source) as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.ANSWERED, reply)


async def test_the_bots_folder_is_on_its_path_and_prints_go_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "lines.py").write_text("GREETING = 'hi'\n", encoding="utf-8")
    source = "import sys, lines\ndef reply(message):\n  print('seen')\n  return lines.GREETING + repr(sys.stdin.read())"
    async with running(tmp_path / "bot.py", source) as bot:
        assert (await bot.ask(HELLO)).text == "hi''"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "seen" in captured.err


async def test_an_error_is_told_by_its_place_and_never_quotes_the_message(tmp_path: Path):
    async with running(tmp_path / "bot.py", "import json\ndef reply(message):\n  json.loads(message.text)") as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.RAISED, detail="JSONDecodeError at bot.py:3")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("7", "returned int instead of a text or None"),
        ("'a' * 65537", "returned a text of 65537 characters; WhatsApp takes 65536"),
        ("'\\ud800'", "returned a text that is not valid Unicode"),
    ],
)
async def test_a_reply_that_cannot_be_sent_is_an_error(tmp_path: Path, value: str, complaint: str):
    async with running(tmp_path / "bot.py", f"def reply(message): return {value}") as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.RAISED, detail=complaint)


async def test_messages_run_side_by_side(tmp_path: Path):
    source = "import threading\nmeet = threading.Barrier(8)\ndef reply(message):\n  meet.wait(20)\n  return message.id"
    async with running(tmp_path / "bot.py", source) as bot:
        outcomes = await asyncio.gather(*(bot.ask(replace(HELLO, id=str(number))) for number in range(8)))
    assert [outcome.text for outcome in outcomes] == [str(number) for number in range(8)]


async def test_a_bot_that_dies_is_started_again(tmp_path: Path):
    source = "import os, pathlib\ndef reply(message):\n  if message.id == 'die': os._exit(3)\n  return str(os.getpid())"
    async with running(tmp_path / "bot.py", source) as bot:
        before = await bot.ask(HELLO)
        assert await bot.ask(replace(HELLO, id="die")) == Outcome(Verdict.DIED, detail="its process ended with exit code 3")
        after = await bot.ask(HELLO)
    assert after.verdict is Verdict.ANSWERED
    assert after.text != before.text


async def test_a_stuck_function_costs_only_its_own_message_a_try(tmp_path: Path):
    source = "import threading\ndef reply(message):\n  if message.id != 'quick': threading.Event().wait()\n  return 'done'"
    async with running(tmp_path / "bot.py", source, deadline=1.0) as bot:
        assert (await bot.ask(replace(HELLO, id="quick"))).text == "done"
        stuck = asyncio.create_task(bot.ask(HELLO))
        await asyncio.wait({stuck}, timeout=0.5)
        bystander = asyncio.create_task(bot.ask(HELLO))
        assert await stuck == Outcome(Verdict.STUCK, detail="no answer in 1 s")
        assert await bystander == Outcome(Verdict.RESTARTED)
        assert (await bot.ask(replace(HELLO, id="quick"))).text == "done"


async def test_a_bot_that_no_longer_loads_keeps_the_message_waiting_and_complains_once(tmp_path: Path):
    file = tmp_path / "bot.py"
    troubles: list[Trouble] = []
    async with running(file, "def reply(message): return 'old'", troubles=troubles) as bot:
        file.write_text("def reply(message) return\n", encoding="utf-8")
        waiting = asyncio.create_task(bot.ask(HELLO))
        while not troubles:
            await asyncio.wait({waiting}, timeout=0.02)
        file.write_text("def reply(message): return 'mended'", encoding="utf-8")
        assert (await waiting).text == "mended"
    assert [trouble.code for trouble in troubles] == ["BOT_BROKEN"]
    assert "bot.py:1" in troubles[0].sentence


async def test_the_process_ends_with_its_manager(tmp_path: Path):
    async with running(tmp_path / "bot.py", "import os\ndef reply(message): return str(os.getpid())") as bot:
        pid = int((await bot.ask(HELLO)).text or 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (None, "does not exist"),
        ("other = 1", "bot.py has no function reply"),
        ("reply = 1", "bot.py has no function reply"),
        ("def reply(): pass", "reply can't be called with one argument"),
        ("import no_such_module_at_all\n", "ModuleNotFoundError at bot.py:1: No module named 'no_such_module_at_all'"),
        ("def reply(message:\n", "at bot.py:1"),
        ("raise SystemExit(0)", "SystemExit at bot.py:1"),
        ("import os; os._exit(4)", "its process ended with exit code 4"),
    ],
)
def test_a_bot_that_cannot_run_is_refused_before_anything_starts(tmp_path: Path, source: str | None, complaint: str):
    file = tmp_path / "bot.py"
    if source is not None:
        file.write_text(source, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        validate_bot(f"{file}:reply")
    assert complaint in str(caught.value)


@pytest.mark.parametrize("spec", ["bot.py", "bot.py:", ":reply", "bot.py:not a name"])
def test_a_spec_of_another_form_is_refused(spec: str):
    with pytest.raises(UsageError):
        validate_bot(spec)
