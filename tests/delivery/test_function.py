"""Bots in real processes. What they have in common with other bots is in tests/contract."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasess.core.message import Media, Message, Poll, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.bot_process import _Sources
from wasess.delivery.function import BotSpec, FunctionBot, validate_bot
from wasess.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANN = "491701234567@s.whatsapp.net"
HELLO = Message(id="A1", chat=ANN, sender=ANN, text="hello", timestamp=1.0, push_name="Ann")
MEBIBYTE = 2**20


@asynccontextmanager
async def running(
    file: Path, source: str, *, deadline: float = 20.0, memory: int = 0, reload: bool = False, troubles: list[Trouble] | None = None
) -> AsyncIterator[FunctionBot]:
    file.write_text(source, encoding="utf-8")  # noqa: ASYNC240 -- nothing else runs on this loop
    told = troubles if troubles is not None else []
    bot = FunctionBot(BotSpec(file, "reply"), told.append, deadline=deadline, memory=memory, reload=reload, dice=lambda: 0.0)
    bot.look_every = 0.05
    try:
        yield bot
    finally:
        await bot.close()


def texts(outcome: Outcome) -> list[str]:
    assert outcome.verdict is Verdict.ANSWERED, outcome
    return [reply.text for reply in outcome.replies]


async def answers(bot: FunctionBot, wanted: str) -> None:
    async with asyncio.timeout(15):
        while texts(await bot.ask(HELLO)) != [wanted]:  # noqa: ASYNC110 -- the answer is the only witness
            await asyncio.sleep(0.02)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110 -- what is waited for is another process's doing
            await asyncio.sleep(0.02)


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
        ("def reply(message): return '\\N{GRINNING FACE}\\n'", "\N{GRINNING FACE}\n"),
        ("class Markup(str): pass\ndef reply(message): return Markup('b')", "b"),
    ],
)
async def test_what_the_function_returns_is_the_reply(tmp_path: Path, source: str, reply: str):
    async with running(tmp_path / "bot.py", source) as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.ANSWERED, (Reply(reply),))


async def test_a_bot_s_file_needs_one_import_for_types_and_replies(tmp_path: Path):
    source = (
        "from __future__ import annotations\nfrom wasess import Message, Reply\n"
        "def reply(message: Message) -> Reply:\n  assert isinstance(message, Message)\n"
        "  return Reply(message.media.path + ' '.join(message.poll.options), quote=True)"
    )
    picture = replace(HELLO, kind="image", media=Media("image/png", 9, path="/a.png"), poll=Poll("?", ("yes", "no")))
    async with running(tmp_path / "bot.py", source) as bot:
        assert await bot.ask(picture) == Outcome(Verdict.ANSWERED, (Reply("/a.pngyes no", quote=True),))


@pytest.mark.parametrize("signature", ["text", "words: str"])
async def test_a_function_of_a_text_is_asked_only_where_there_is_one_to_answer(tmp_path: Path, signature: str):
    name = signature.partition(":")[0]
    async with running(tmp_path / "bot.py", f"def reply({signature}): return {name} + '!'") as bot:
        assert texts(await bot.ask(replace(HELLO, kind="image"))) == ["hello!"]
        for kind in ("reaction", "edit", "delete", "vote"):
            assert texts(await bot.ask(replace(HELLO, kind=kind))) == []
        assert texts(await bot.ask(replace(HELLO, kind="sticker", text=""))) == []


async def test_a_function_of_a_message_is_asked_about_all(tmp_path: Path):
    async with running(tmp_path / "bot.py", "def reply(message): return message.kind") as bot:
        assert texts(await bot.ask(replace(HELLO, kind="reaction", text=""))) == ["reaction"]


async def test_the_bots_folder_is_on_its_path_and_prints_go_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "lines.py").write_text("GREETING = 'hi'\n", encoding="utf-8")
    source = "import sys, lines\ndef reply(message):\n  print('seen')\n  return lines.GREETING + repr(sys.stdin.read())"
    async with running(tmp_path / "bot.py", source) as bot:
        assert texts(await bot.ask(HELLO)) == ["hi''"]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "seen" in captured.err


async def test_an_error_is_told_by_its_place_and_never_quotes_the_message(tmp_path: Path):
    async with running(tmp_path / "bot.py", "import json\ndef reply(message):\n  json.loads(message.text)") as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.RAISED, detail="JSONDecodeError at bot.py:3")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("\ndef reply(message): return 7", "the bot returned int, which is no text, Reply, list or None (reply at bot.py:2)"),
        ("def reply(message): return {'txt': message.text}", "a reply has no field 'txt' (reply at bot.py:1)"),
        ("class Bot:\n  def __call__(self, text): return object()\nreply = Bot()", "(__call__ at bot.py:2)"),
        ("import functools\nreply = functools.partial(lambda least, message: least, 7)", "(bot.py)"),
        ("def reply(message): return '\\ud800'", "the reply holds half a character"),
    ],
)
async def test_a_reply_that_cannot_be_sent_is_told_by_its_place(tmp_path: Path, source: str, complaint: str):
    async with running(tmp_path / "bot.py", source) as bot:
        outcome = await bot.ask(HELLO)
    assert outcome.verdict is Verdict.RAISED
    assert complaint in outcome.detail
    assert "hello" not in outcome.detail


async def test_eight_messages_run_side_by_side(tmp_path: Path):
    source = "import threading\nmeet = threading.Barrier(8)\ndef reply(message):\n  meet.wait(20)\n  return message.id"
    async with running(tmp_path / "bot.py", source) as bot:
        outcomes = await asyncio.gather(*(bot.ask(replace(HELLO, id=str(number))) for number in range(bot.at_once)))
    assert [texts(outcome) for outcome in outcomes] == [[str(number)] for number in range(8)]


async def test_a_bot_that_leaks_is_started_again_and_says_why(tmp_path: Path):
    source = "kept = []\ndef reply(message):\n  if message.id == 'leak': kept.append(bytearray(2**28))\n  return 'fine'"
    async with running(tmp_path / "bot.py", source, memory=200 * MEBIBYTE) as bot:
        assert texts(await bot.ask(HELLO)) == ["fine"]
        assert await bot.ask(replace(HELLO, id="leak")) == Outcome(Verdict.DIED, detail="it needs more memory than it may have")
        assert texts(await bot.ask(HELLO)) == ["fine"]


async def test_what_the_bot_has_started_ends_with_it(tmp_path: Path):
    source = (
        "import multiprocessing, os, time\n"
        "def reply(message):\n"
        "  other = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "  other.start()\n"
        "  open('PID', 'w').write(str(other.pid))\n"
        "  os._exit(3)\n"
    ).replace("PID", str(tmp_path / "pid"))
    async with running(tmp_path / "bot.py", source) as bot, asyncio.timeout(10):
        assert await bot.ask(HELLO) == Outcome(Verdict.DIED, detail="its process ended with exit code 3")
        await until(lambda: not alive(int((tmp_path / "pid").read_text())))


def alive(pid: int) -> bool:
    """Whether a process is there and no mere zombie: in a container nobody may be there to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_bot_that_no_longer_loads_keeps_the_message_waiting_and_complains_once(tmp_path: Path):
    file = tmp_path / "bot.py"
    troubles: list[Trouble] = []
    async with running(file, "def reply(message): return 'old'", troubles=troubles) as bot:
        file.write_text("def reply(message) return\n", encoding="utf-8")
        waiting = asyncio.create_task(bot.ask(HELLO))
        while not troubles:
            await asyncio.wait({waiting}, timeout=0.02)
        file.write_text("def reply(message): return 'mended'", encoding="utf-8")
        assert texts(await waiting) == ["mended"]
    assert [trouble.code for trouble in troubles] == ["BOT_BROKEN", "BOT_BACK"]
    assert "bot.py:1" in troubles[0].sentence


async def test_a_start_goes_on_when_who_asked_for_it_gives_up(tmp_path: Path):
    source = f"open({str(tmp_path / 'loads')!r}, 'a').write('one ')\ndef reply(message): return 'yes'"
    async with running(tmp_path / "bot.py", source) as bot:
        first, second = asyncio.create_task(bot.ask(HELLO)), asyncio.create_task(bot.ask(HELLO))
        await until(lambda: bot._children)
        first.cancel()
        assert texts(await second) == ["yes"]
    assert first.cancelled()
    assert (tmp_path / "loads").read_text() == "one "


async def test_messages_that_are_the_first_of_all_at_the_same_time_crash_nothing(tmp_path: Path):
    source = "import sys\nsys.setswitchinterval(1e-6)\ndef reply(message): return [message.id]"
    for _ in range(3):
        async with running(tmp_path / "bot.py", source) as bot:
            outcomes = await asyncio.gather(*(bot.ask(replace(HELLO, id=str(number))) for number in range(8)))
        assert [texts(outcome) for outcome in outcomes] == [[str(number)] for number in range(8)]


async def test_the_process_ends_with_its_manager(tmp_path: Path):
    async with running(tmp_path / "bot.py", "import os\ndef reply(message): return str(os.getpid())") as bot:
        pid = int(texts(await bot.ask(HELLO))[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_changed_file_is_loaded_and_what_the_old_one_has_is_finished(tmp_path: Path):
    go = tmp_path / "go"
    source = (
        f"import pathlib, time\ndef reply(message):\n  while message.id == 'slow' and not pathlib.Path({str(go)!r}).exists():"
        " time.sleep(0.01)\n  return 'old'"
    )
    async with running(tmp_path / "bot.py", source, reload=True) as bot:
        assert texts(await bot.ask(HELLO)) == ["old"]
        slow = asyncio.create_task(bot.ask(replace(HELLO, id="slow")))
        await asyncio.sleep(0)
        (tmp_path / "bot.py").write_text(source.replace("old", "new"))
        await answers(bot, "new")
        assert not slow.done()
        go.touch()
        assert texts(await slow) == ["old"]
        await until(lambda: len(bot._children) == 1)


@pytest.mark.parametrize("late", [False, True])
async def test_a_module_from_the_bot_s_folder_is_followed_too(tmp_path: Path, late: bool):
    lines = tmp_path / "lines.py"
    lines.write_text("WORD = 'old'\n")
    source = (
        "def reply(message):\n  import lines\n  return lines.WORD" if late else "from lines import WORD\ndef reply(message): return WORD"
    )
    async with running(tmp_path / "bot.py", source, reload=True) as bot:
        assert texts(await bot.ask(HELLO)) == ["old"]
        lines.with_suffix(".new").write_text("WORD = 'new'\n")
        lines.with_suffix(".new").rename(lines)
        await answers(bot, "new")


async def test_a_change_that_does_not_load_is_told_once_and_the_old_one_goes_on(tmp_path: Path):
    file = tmp_path / "bot.py"
    troubles: list[Trouble] = []
    async with running(file, "def reply(message): return 'old'", reload=True, troubles=troubles) as bot:
        assert texts(await bot.ask(HELLO)) == ["old"]
        file.write_text("import lines\nreply = lines.reply\n")
        await until(lambda: troubles)
        assert texts(await bot.ask(HELLO)) == ["old"]
        file.write_text("import lines \nreply = lines.reply\n")  # the same trouble
        await until(lambda: not bot._files.changed())
        (tmp_path / "lines.py").write_text("def reply(message): return 'new'\n")  # one that was not there to be followed
        await answers(bot, "new")
    assert [trouble.code for trouble in troubles] == ["BOT_NOT_RELOADED"]
    assert "ModuleNotFoundError at bot.py:1" in troubles[0].sentence


def test_of_the_bot_s_folder_all_is_followed_but_a_python_environment_in_it():
    folder = Path(sys.prefix).parent
    files = [f"{folder}/bot.py", f"{folder}/lines/one.py", f"{sys.prefix}/lib/one.py", f"{folder}s/one.py", "<string>", None]
    assert _Sources(str(folder))._own(files) == [f"{folder}/bot.py", f"{folder}/lines/one.py"]


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


def test_a_thread_that_the_file_has_started_does_not_hold_up_the_check(tmp_path: Path):
    source = "import threading\nthreading.Thread(target=threading.Event().wait).start()\ndef reply(message): pass\n"
    (tmp_path / "bot.py").write_text(source, encoding="utf-8")
    assert validate_bot(f"{tmp_path}/bot.py:reply").function == "reply"


@pytest.mark.parametrize("spec", ["bot.py", "bot.py:", ":reply", "bot.py:not a name"])
def test_a_spec_of_another_form_is_refused(spec: str):
    with pytest.raises(UsageError):
        validate_bot(spec)
