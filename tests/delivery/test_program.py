"""Programs as bots, in real processes. What they have in common with other bots is in tests/contract."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.child import LONGEST_LINE
from wasess.delivery.program import ProgramBot, ProgramSpec, validate_program
from wasess.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANN = "491701234567@s.whatsapp.net"
HELLO = Message(id="A1", chat=ANN, sender=ANN, text="hello", timestamp=1.0)
YES = Outcome(Verdict.ANSWERED, (Reply("yes"),))
MEBIBYTE = 2**20
# A program of a few lines: `n` is the number of the message that was just read, `say` writes a line.
FRAME = """
import json, os, sys, time
def say(line):
    print(line if isinstance(line, str) else json.dumps(line), flush=True)
{before}
for line in sys.stdin:
    n = json.loads(line)["n"]
    text = json.loads(line)["message"]["text"]
{each}
{after}
"""
ANSWERS = "say({'n': n, 'reply': 'yes'})"


@asynccontextmanager
async def running(
    folder: Path,
    each: str = ANSWERS,
    before: str = "",
    after: str = "",
    *,
    deadline: float = 20.0,
    memory: int = 0,
    settles_within: float = 0.1,
    troubles: list[Trouble] | None = None,
) -> AsyncIterator[ProgramBot]:
    file = folder / "program.py"
    file.write_text(FRAME.format(before=before, each="    " + each.replace("\n", "\n    "), after=after))
    told = troubles if troubles is not None else []
    spec = validate_program(f"{shlex.quote(sys.executable)} -S -E {shlex.quote(str(file))}")
    bot = ProgramBot(spec, told.append, deadline=deadline, memory=memory, dice=lambda: 0.0, settles_within=settles_within)
    try:
        yield bot
    finally:
        await bot.close()
    if troubles is None:
        assert told == []


@pytest.mark.parametrize(
    ("each", "outcome"),
    [
        ("say({'n': n, 'reply': 'yes', 'error': None, 'took': 7})", YES),
        ("say({'n': n, 'error': text})", Outcome(Verdict.RAISED, detail="the program said no")),
        ("say({'n': n, 'error': {'code': text}, 'reply': 'x'})", Outcome(Verdict.RAISED, detail="the program said no")),
        ("say({'n': n, 'text': text})", Outcome(Verdict.RAISED, detail="the bot's answer has no reply")),
        ("sys.stdout.write(json.dumps({'n': n, 'reply': 'yes'})); sys.stdout.flush(); os._exit(0)", YES),  # its last line needs no end
        ("say({'n': n, 'reply': 'yes'}); say({'n': n + 1, 'reply': 'too early'})", YES),
    ],
)
async def test_what_the_program_writes_is_the_answer(tmp_path: Path, each: str, outcome: Outcome):
    async with running(tmp_path, each, troubles=[]) as bot:
        assert await bot.ask(HELLO) == outcome


@pytest.mark.parametrize(
    "stray",
    ["'starting…'", "'[' * 100000", "[1]", "{}", "{'n': 99, 'reply': 'x'}", "{'n': [1], 'reply': 'x'}", "{'n': True, 'reply': 'x'}", "''"],
)
async def test_a_line_that_answers_nothing_is_told_once_and_ignored(tmp_path: Path, stray: str):
    troubles: list[Trouble] = []
    async with running(tmp_path, f"say({stray}); {ANSWERS}; say({stray})", troubles=troubles) as bot:
        assert [await bot.ask(HELLO) for _ in range(3)] == [YES] * 3
    assert [trouble.code for trouble in troubles] == ["BOT_STRAY_LINE"]


async def test_an_answer_given_twice_is_a_stray_line(tmp_path: Path):
    troubles: list[Trouble] = []
    async with running(tmp_path, f"{ANSWERS}; {ANSWERS}", troubles=troubles) as bot:
        assert [await bot.ask(HELLO) for _ in range(3)] == [YES] * 3
    assert len(troubles) == 1


async def test_answers_may_come_in_any_order(tmp_path: Path):
    each = "read = globals().setdefault('read', [])\nread.append((n, text))\nif n == 3: [say({'n': n, 'reply': text}) for n, text in read[::-1]]"
    async with running(tmp_path, each) as bot:
        outcomes = await asyncio.gather(*(bot.ask(replace(HELLO, text=text)) for text in "abc"))
    assert [outcome.replies for outcome in outcomes] == [(Reply("a"),), (Reply("b"),), (Reply("c"),)]


async def test_what_it_says_to_people_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    async with running(tmp_path, f"print('seen', file=sys.stderr, flush=True); {ANSWERS}") as bot:
        assert await bot.ask(HELLO) == YES
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "seen\n")


async def test_one_that_closes_its_stdout_has_ended(tmp_path: Path):
    async with running(tmp_path, f"{ANSWERS} if text == 'hello' else os.close(1)\nif text == 'close': time.sleep(600)") as bot:
        assert await bot.ask(HELLO) == YES
        async with asyncio.timeout(10):
            assert (await bot.ask(replace(HELLO, text="close"))).verdict is Verdict.DIED
        assert await bot.ask(HELLO) == YES


async def test_a_line_without_an_end_ends_it(tmp_path: Path):
    async with running(tmp_path, f"sys.stdout.write('x' * {LONGEST_LINE + 2}); sys.stdout.flush(); time.sleep(600)") as bot:
        assert await bot.ask(HELLO) == Outcome(Verdict.DIED, detail="it wrote a line of more than 16 MiB")


async def test_one_that_can_not_be_started_costs_no_message_a_try(tmp_path: Path):
    troubles: list[Trouble] = []
    mended = tmp_path / "mended"
    before = f"if not os.path.exists({str(mended)!r}): sys.exit(4)"
    async with running(tmp_path, before=before, settles_within=1.0, troubles=troubles) as bot:
        first = await bot.ask(HELLO)  # this one could have killed it
        assert first == Outcome(Verdict.DIED, detail="its process ended with exit code 4")
        waiting = [asyncio.create_task(bot.ask(HELLO)) for _ in range(3)]
        await asyncio.wait(waiting, timeout=0.5)
        assert not any(task.done() for task in waiting)
        mended.touch()
        assert await asyncio.gather(*waiting) == [YES] * 3
    sentence = "the bot can't be started: its process ended with exit code 4; messages wait"
    assert troubles == [Trouble("BOT_BROKEN", sentence, level="error"), Trouble("BOT_BACK", "the bot is started", level="info")]


async def test_one_that_takes_its_time_to_find_that_it_can_not_start_is_found_out(tmp_path: Path):
    troubles: list[Trouble] = []
    async with running(tmp_path, before="time.sleep(0.4); sys.exit(4)", troubles=troubles) as bot:
        asked = asyncio.create_task(bot.ask(HELLO))
        async with asyncio.timeout(10):
            while not troubles:
                if asked.done():  # twice on a busy machine, not for ever
                    assert asked.result().verdict is Verdict.DIED
                    asked = asyncio.create_task(bot.ask(HELLO))
                await asyncio.wait({asked}, timeout=0.02)
        assert not asked.done()


async def test_a_program_that_is_gone_is_waited_for(tmp_path: Path):
    troubles: list[Trouble] = []
    file = tmp_path / "program"
    bot = ProgramBot(ProgramSpec((str(file),)), troubles.append, dice=lambda: 0.0)
    waiting = asyncio.create_task(bot.ask(HELLO))
    async with asyncio.timeout(10):
        while not troubles:  # noqa: ASYNC110 -- nothing else tells
            await asyncio.sleep(0)
        file.write_text('#!/bin/sh\nread line; echo \'{"n": 1, "reply": "yes"}\'; read line\n')
        file.chmod(0o700)
        assert await waiting == YES
    await bot.close()
    assert "No such file" in troubles[0].sentence


async def test_one_that_is_closed_while_it_waits_ends_the_waiting():
    bot = ProgramBot(ProgramSpec(("/no/such/program",)), lambda _trouble: None)
    waiting = asyncio.create_task(bot.ask(HELLO))
    await asyncio.wait({waiting}, timeout=0.05)
    await bot.close()
    async with asyncio.timeout(1):
        assert (await waiting).verdict is Verdict.RESTARTED


async def test_at_the_end_it_may_put_its_things_away(tmp_path: Path):
    async with running(tmp_path, after=f"open({str(tmp_path / 'done')!r}, 'w').close()") as bot:
        assert await bot.ask(HELLO) == YES
    assert (tmp_path / "done").exists()


async def test_its_memory_is_limited(tmp_path: Path):
    each = f"kept = bytearray(2**28) if text == 'leak' else 0\n{ANSWERS}"
    async with running(tmp_path, each, memory=100 * MEBIBYTE) as bot:
        assert await bot.ask(HELLO) == YES
        assert await bot.ask(replace(HELLO, text="leak")) == Outcome(Verdict.DIED, detail="its process ended with exit code 1")


async def test_a_daemon_that_holds_its_pipes_does_not_keep_it_alive(tmp_path: Path):
    each = "import subprocess\nsubprocess.Popen(['sleep', '10'], start_new_session=True)\nos._exit(5)"
    async with running(tmp_path, each) as bot, asyncio.timeout(6):
        assert await bot.ask(HELLO) == Outcome(Verdict.DIED, detail="its process ended with exit code 5")


async def test_no_shell_reads_the_command(tmp_path: Path):
    script = tmp_path / "a bot"
    script.write_text('#!/bin/sh\nread line; printf \'{"n": 1, "reply": "%s"}\\n\' "$*"; read line\n')
    script.chmod(0o700)
    bot = ProgramBot(validate_program(f"'{script}' \"one two\" $HOME *.py | >x"), lambda _trouble: None)
    assert await bot.ask(HELLO) == Outcome(Verdict.ANSWERED, (Reply("one two $HOME *.py | >x"),))
    await bot.close()


def test_a_command_is_found_and_its_place_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert Path(validate_program("sh -c 'cat; cat'").command[0]).is_absolute()
    assert validate_program("sh -c 'cat; cat'").command[1:] == ("-c", "cat; cat")
    (tmp_path / "bot").write_text("#!/bin/sh\n")
    (tmp_path / "bot").chmod(0o700)
    monkeypatch.chdir(tmp_path)
    assert validate_program("./bot").command == (str(tmp_path / "bot"),)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("", "is not a command"),
        ("  ", "is not a command"),
        ("sh 'a", "do not match"),
        ("sh a\\", "do not match"),
        ("sh \0", "is not a command"),
        ("no-such-program-at-all -x", "'no-such-program-at-all' was not found"),
        ("./no/such/program", "was not found"),
        ("'' x", "'' was not found"),
        ("./notes.txt", "may not be executed"),
        ("runs.sh", "for the file here write './runs.sh'"),
    ],
)
def test_what_is_no_program_is_refused(command: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "runs.sh").write_text("#!/bin/sh\n")
    (tmp_path / "runs.sh").chmod(0o700)
    with pytest.raises(UsageError) as caught:
        validate_program(command)
    assert complaint in str(caught.value)
    assert "sh -c" in caught.value.hint
