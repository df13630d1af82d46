"""A bot that is one Python function: ``--bot FILE.py:FUNCTION``.

The function takes one argument and returns the reply, a text, or None for no reply. It may be a coroutine function::

    def reply(text: str) -> str | None:  # annotated str, or just named `text`: gets the message's text
        return text.upper()


    async def reply(message):  # anything else: gets a wasess.core.message.Message; str(message) is its text
        return f"{message.push_name}: {message.text}"

It runs in a process of its own (`delivery.bot_process`): nothing it does can stop a session, and its ``print`` goes to stderr.
Up to eight messages are with it at once, of different chats. A call that takes longer than the deadline ends the process, which is
started again; a process that does not start is tried again with growing pauses, for ever, while the messages wait in the spool.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.core import backoff
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.errors import UsageError
from wasess.words import _, mark, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.message import Message
    from wasess.delivery.bot import Tell

DEADLINE = 60.0  # for one message
START_DEADLINE = 60.0  # for importing the user's file
ENDS_WITHIN = 2.0  # after it has closed its pipe
LONGEST_LINE = 16 * 1024 * 1024
HINT = mark("Use --bot FILE.py:FUNCTION, a function that takes a message and returns the reply.")


@dataclass(frozen=True, slots=True)
class BotSpec:
    """Where the function is."""

    file: Path
    function: str

    def command(self, *options: str) -> list[str]:
        """Return the command line of its process."""
        return [sys.executable, "-m", "wasess.delivery.bot_process", str(self.file), self.function, *options]


def validate_bot(text: str) -> BotSpec:
    """Read ``FILE.py:FUNCTION`` and load the function once, in a process of its own. Raises `errors.UsageError` with what is wrong."""
    file, separator, function = text.rpartition(":")
    if not separator or not function.isidentifier():
        raise UsageError(_("The bot {bot!r} is not of the form FILE.py:FUNCTION.").format(bot=text), hint=_(HINT))
    spec = BotSpec(Path(file).absolute(), function)
    if not spec.file.is_file():
        raise UsageError(_("The bot's file {file} does not exist.").format(file=file), hint=_(HINT))
    try:
        check = subprocess.run(
            spec.command("--check"),
            env=told(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=START_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            _("The bot {file} was not loaded within {seconds:.0f} s.").format(file=file, seconds=START_DEADLINE), hint=_(HINT)
        ) from None
    answer = _decode(check.stdout.partition(b"\n")[0])
    if not answer.get("ready"):
        raise UsageError(
            _("The bot can't be loaded: {problem}.").format(problem=answer.get("failed") or _ending(check.returncode)), hint=_(HINT)
        )
    return spec


class FunctionBot:
    """The function behind the `delivery.bot.Bot` door. The process is started when it is first needed."""

    def __init__(self, spec: BotSpec, tell: Tell, *, deadline: float = DEADLINE, dice: Callable[[], float] = random.random) -> None:
        """``deadline`` in seconds for one message; ``dice`` is uniform in [0, 1)."""
        self._spec = spec
        self._tell = tell
        self._deadline = deadline
        self._dice = dice
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._deaths = 0
        self._failure = ""

    async def ask(self, message: Message) -> Outcome:
        """See `delivery.bot.Bot`."""
        child = await self._running()
        outcome = await child.ask(message, self._deadline)
        if outcome.verdict in {Verdict.ANSWERED, Verdict.RAISED}:
            self._deaths = 0
        return outcome

    async def close(self) -> None:
        """See `delivery.bot.Bot`."""
        if self._child is not None:
            await self._child.end()

    async def _running(self) -> _Child:
        async with self._starting:
            while self._child is None or self._child.ended:
                if self._child is not None:
                    await asyncio.sleep(backoff.delay(self._deaths, self._dice()))
                    self._deaths += 1
                self._child = await _Child.start(self._spec)
                self._complain(self._child.failure)
        return self._child

    def _complain(self, failure: str) -> None:
        """Tell why the process does not start; the same failure once."""
        if failure and failure != self._failure:
            self._tell(
                Trouble("BOT_BROKEN", _("the bot can't be started: {failure}; messages wait").format(failure=failure), level="error")
            )
        self._failure = failure


class _Child:
    """One process. ``ended`` once it is gone or was told to go; ``failure`` says why it never became ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._count = 0
        self._reader: asyncio.Task[None] | None = None
        self.ended = False
        self.failure = ""

    @classmethod
    async def start(cls, spec: BotSpec) -> _Child:
        """Start the process and wait until it is ready, or has ended."""
        process = await asyncio.create_subprocess_exec(
            *spec.command(),
            env=told(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl+C is for the manager, which ends the bot when it is done with it
        )
        child = cls(process)
        try:
            await child._await_ready()
        except BaseException:
            await child.end()
            raise
        return child

    async def _await_ready(self) -> None:
        answer: dict[str, Any] = {"failed": _("not loaded within {seconds:.0f} s").format(seconds=START_DEADLINE)}
        with suppress(TimeoutError):
            async with asyncio.timeout(START_DEADLINE):
                answer = _decode(await self._line())
        if answer.get("ready"):
            self._reader = asyncio.create_task(self._read())
            return
        self.failure = answer.get("failed") or await self._last_words()
        await self.end()

    async def ask(self, message: Message, deadline: float) -> Outcome:
        if self.ended:
            return Outcome(Verdict.RESTARTED)
        self._count += 1
        number = self._count
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"n": number, "message": asdict(message)})
        try:
            await asyncio.wait({answer}, timeout=deadline)
        finally:
            self._asked.pop(number, None)
        if answer.done():
            return answer.result()
        self._settle(Outcome(Verdict.RESTARTED))
        await self.end()
        return Outcome(Verdict.STUCK, detail=_("no answer in {seconds:.0f} s").format(seconds=deadline))

    async def end(self) -> None:
        self.ended = True
        self._settle(Outcome(Verdict.RESTARTED))
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._reader is not None:
            await self._reader
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _send(self, request: dict[str, Any]) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")

    async def _line(self) -> bytes:
        """Return the next line; empty at the end, and for a line that no bot of ours writes."""
        try:
            return await self._process.stdout.readline() if self._process.stdout is not None else b""
        except ValueError:
            return b""

    async def _read(self) -> None:
        while line := await self._line():
            answer = _decode(line)
            asked = self._asked.get(answer.get("n", 0))
            if asked is not None and not asked.done():
                asked.set_result(_outcome(answer))
        self.ended = True
        self._settle(Outcome(Verdict.DIED, detail=await self._last_words()))

    async def _last_words(self) -> str:
        """Say how it ended, now that its pipe is closed. One that goes on without a pipe is killed.

        Not at once: `kill` looks whether the process has ended, and that look would take the exit code away from asyncio.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN):
                return _ending(await self._process.wait())
        with suppress(ProcessLookupError):
            self._process.kill()
        return _ending(await self._process.wait())

    def _settle(self, outcome: Outcome) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(outcome)


def _outcome(answer: dict[str, Any]) -> Outcome:
    if "error" in answer:
        return Outcome(Verdict.RAISED, detail=str(answer["error"]))
    return Outcome(Verdict.ANSWERED, text=answer.get("reply"))


def _decode(line: bytes) -> dict[str, Any]:
    """Read a line of the bot's; an unreadable one (the bot has meddled with our descriptor) says nothing."""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return _("its process was ended by {signal}").format(signal=signal.Signals(-code).name)
    return _("its process ended with exit code {code}").format(code=code)
