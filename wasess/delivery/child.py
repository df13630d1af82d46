"""A bot that is a process of ours: one line of JSON a message on its stdin, one line an answer on its stdout, in any order.

What both kinds (`delivery.function`, `delivery.program`) have in common::

    manager → bot    {"n": 1, "message": {fields of core.message.Message}}
    bot → manager    {"n": 1, "reply": "text" | {fields of core.message.Reply} | [several] | null}
                     {"n": 1, "error": "why not"}

A message that is not answered within the deadline ends the process, and so does the end of its stdout. It is started again when the next
message comes, after growing pauses; while it can't be started, messages wait, and people are told once. Whatever it has started ends with
it: it runs below a guardian (`delivery.guardian`), also when the manager is killed. The process we know is the guardian's, which ends as the bot does.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec

from wasess.core import backoff
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.launch import bot_environment, end_at_once, guarded
from wasess.delivery.replies import BadReply, read_replies
from wasess.store.outgoing_files import ANYWHERE
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from wasess.core.message import Message
    from wasess.delivery.bot import Tell

DEADLINE = 60.0  # for one message
STARTS_WITHIN = 10.0  # until the system has loaded the program: its disk may hang
ENDS_WITHIN = 1.0  # after it has closed its stdout, or we its stdin
GONE_WITHIN = 5.0  # after SIGKILL
LONGEST_LINE = 16 * 1024 * 1024
STDIN, STDOUT = 0, 1


class NotStarted(Exception):
    """The process can't be asked; why is a sentence."""


class Child(asyncio.SubprocessProtocol, ABC):
    """One process. ``ended`` once it is gone or was told to go; ``over`` is done when it is gone; ``why``: the reason it gave itself.

    ``mute_for``: the seconds that one that is gone had lived without a single answer; 0 if it gave any.
    """

    over: asyncio.Task[None]

    def __init__(self) -> None:
        self.ended = False
        self.why = ""
        self.mute_for = 0.0
        self._answered = False
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._given_up: set[int] = set()
        self._count = 0
        self._rest = bytearray()
        self._silent = asyncio.Event()
        self._gone = asyncio.Event()

    @abstractmethod
    async def ready(self) -> None:
        """Return when it can be asked. Raises `NotStarted`."""

    @abstractmethod
    def note(self, line: dict[str, Any]) -> None:
        """It wrote a line that answers nothing it was asked; empty for one that is no JSON object."""

    @abstractmethod
    def refusal(self, error: object) -> str:
        """What people are told of the ``error`` that it answered."""

    async def start(self, command: Sequence[str], memory: int) -> None:
        """Start the process. ``memory``: the bytes it may allocate, 0 for any number. Raises `NotStarted`."""
        loop = asyncio.get_running_loop()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)  # noqa: FBT003 - the socket's own signature
        try:
            with theirs:
                await loop.subprocess_exec(
                    lambda: self,
                    *guarded(command, theirs, memory),
                    env=bot_environment(os.environ),
                    stderr=None,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl+C is for the manager, which ends the bot when it is done with it
                )
        except OSError as error:
            self._channel.close()
            raise NotStarted(error.strerror or type(error).__name__) from None
        self.over = asyncio.create_task(self._await_end())
        if problem := await self._hear_whether_it_runs():
            self.ended = True
            self._kill()
            await self.gone()
            raise NotStarted(problem)

    async def ask(self, message: Message, deadline: float) -> Outcome:
        """See `delivery.bot.Bot`; ``deadline`` in seconds."""
        if self.ended:
            return Outcome(Verdict.RESTARTED)
        self._count += 1
        number = self._count
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"n": number, "message": msgspec.to_builtins(message)})
        try:
            await asyncio.wait({answer}, timeout=deadline)
        finally:
            del self._asked[number]
            if answer.cancel():
                self._given_up.add(number)
        if not answer.cancelled():
            return answer.result()
        await self.end()
        return Outcome(Verdict.STUCK, detail=_("no answer in {seconds:.0f} s").format(seconds=deadline))

    async def retire(self) -> None:
        """Let it finish what it has, up to the deadlines of these messages, and end it. Give it nothing new meanwhile."""
        while asked := [answer for answer in self._asked.values() if not answer.done()]:
            await asyncio.wait(asked)
        await self.end(ENDS_WITHIN)

    async def end(self, grace: float = 0.0) -> None:
        """End it: at once, or ``grace`` seconds after its stdin has ended. What it was asked is RESTARTED."""
        self.ended = True
        self._settle(Outcome(Verdict.RESTARTED))
        self._stdin().close()
        try:
            if grace:
                await asyncio.wait({self.over}, timeout=grace)
        finally:  # also when nobody has the time for its grace
            self._kill()
        await self.gone()

    async def gone(self) -> None:
        """Return when it is gone. Not waited for without end is another user's (sudo's) that does not heed the end of its stdin."""
        await asyncio.wait({self.over}, timeout=GONE_WITHIN)
        if not self.over.done():
            self._kill_group()

    def last_words(self) -> str:
        """Say how it ended."""
        return self.why or ending(self._transport.get_returncode())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - asyncio's signature; only stdout is read
        """asyncio: it wrote something."""
        self._rest += data
        if b"\n" in data:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._hear(line)
        if len(self._rest) > LONGEST_LINE:
            self.why = _("it wrote a line of more than {size} MiB").format(size=LONGEST_LINE >> 20)
            self._kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: it closed a pipe, or we did."""
        if fd != STDOUT:
            return
        if self._rest and not self.why:
            self._hear(self._rest)
        self._silent.set()

    def process_exited(self) -> None:
        """asyncio: it is gone, and so is what it has started, unless somebody has killed its guardian."""
        self._kill_group()
        self._gone.set()

    async def _await_end(self) -> None:
        """Of process and stdout one ends first; the other gets a moment, for last answers and the exit code."""
        began = time.monotonic()
        ends = [asyncio.create_task(event.wait()) for event in (self._silent, self._gone)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self.ended = True
        await asyncio.wait(ends, timeout=ENDS_WITHIN)
        self._kill()
        await self._gone.wait()
        self._transport.close()
        await asyncio.wait(ends)
        self.mute_for = 0.0 if self._answered else time.monotonic() - began
        self._settle(Outcome(Verdict.DIED, detail=self.last_words()))

    async def _hear_whether_it_runs(self) -> str:
        """Say why it does not; empty when it does."""
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                word = await asyncio.get_running_loop().sock_recv(self._channel, 16)
        except TimeoutError:
            return _("not started within {seconds:.0f} s").format(seconds=STARTS_WITHIN)
        except OSError:
            word = b""
        if not word:
            await self.gone()
            return self.last_words()
        return os.strerror(int(word)) if int(word) else ""

    def _kill(self) -> None:
        """Have its guardian kill it with all that it has started."""
        end_at_once(self._channel)

    def _kill_group(self) -> None:
        """What a guardian that was killed has left, and one that hangs. Not by asyncio's `kill`: that takes the exit code away from asyncio."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _stdin(self) -> asyncio.WriteTransport:
        return cast("asyncio.WriteTransport", self._transport.get_pipe_transport(STDIN))

    def _send(self, request: dict[str, Any]) -> None:
        stdin = self._stdin()
        if not stdin.is_closing():  # one that does not read has no answer either: its end or the deadline says so
            stdin.write(json.dumps(request).encode() + b"\n")

    def _hear(self, line: bytes | bytearray) -> None:
        answer = decode(line)
        number = answer.get("n")
        if type(number) is not int:
            number = 0  # nobody's
        asked = self._asked.get(number)
        if asked is not None and not asked.done():
            asked.set_result(self._outcome(answer))
            self._answered = True
        elif number in self._given_up:
            self._given_up.discard(number)
        else:
            self.note(answer)

    def _outcome(self, answer: dict[str, Any]) -> Outcome:
        if answer.get("error") is not None:
            return Outcome(Verdict.RAISED, detail=self.refusal(answer["error"]))
        if "reply" not in answer:
            return Outcome(Verdict.RAISED, detail=_("the bot's answer has no reply"))
        try:
            replies = read_replies(answer["reply"])
            msgspec.json.encode(replies)
        except BadReply as problem:
            return Outcome(Verdict.RAISED, detail=str(problem))
        except UnicodeEncodeError:  # JSON can hold half an emoji, which WhatsApp can't: JavaScript cuts them so
            return Outcome(Verdict.RAISED, detail=_("the reply is not valid Unicode"))
        return Outcome(Verdict.ANSWERED, replies, files=ANYWHERE)

    def _settle(self, outcome: Outcome) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(outcome)


class ProcessBot(ABC):
    """Keeps one such process running, behind the `delivery.bot.Bot` door. It is started when it is first needed."""

    at_once = 8
    pauses = (1.0, 2.0)
    grace = 0.0  # seconds from the end of its stdin to SIGKILL, when the manager ends

    def __init__(self, tell: Tell, *, deadline: float, memory: int, dice: Callable[[], float] = random.random) -> None:
        """``deadline`` in seconds for one message; ``memory`` in bytes, 0 for no limit; ``dice`` is uniform in [0, 1)."""
        self._tell = tell
        self._deadline = deadline
        self._memory = memory
        self._dice = dice
        self._child: Child | None = None
        self._children: set[Child] = set()
        self._starting: asyncio.Task[None] | None = None
        self._starts = 0  # in a row, without an answer
        self._failure = ""
        self._wake = asyncio.Event()
        self._closed = False

    @abstractmethod
    def new_child(self) -> Child:
        """A process that is not started yet."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What starts it."""

    async def ask(self, message: Message) -> Outcome:
        """See `delivery.bot.Bot`."""
        child = await self._running()
        if child is None:
            return Outcome(Verdict.RESTARTED)
        outcome = await child.ask(message, self._deadline)
        if outcome.verdict in {Verdict.ANSWERED, Verdict.RAISED}:
            self._starts = 1
        return outcome

    async def close(self) -> None:
        """See `delivery.bot.Bot`."""
        self._closed = True
        self._wake.set()
        await self._end_all()
        if self._starting is not None:
            await asyncio.wait({self._starting})
            await self._end_all()

    async def _end_all(self) -> None:
        await asyncio.gather(*(child.end(self.grace) for child in self._children))

    async def _running(self) -> Child | None:
        while not self._closed and (self._child is None or self._child.ended):
            await self._in_turn(self._try_to_start)
        return None if self._closed else self._child

    async def _in_turn(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start, or wait for the start that is under way. Who waits may be cancelled: it goes on for the others."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(start())
        starting = self._starting
        await asyncio.wait({starting})
        starting.result()

    async def _try_to_start(self) -> None:
        if self._child is not None:
            await self._child.gone()
        if self._starts:
            await self._pause(backoff.delay(self._starts - 1, self._dice()))
        if self._closed:
            return
        self._starts += 1
        try:
            self._child = await self._started()
        except NotStarted as problem:
            self._complain(str(problem))
        else:
            if self._failure:
                self.say(Trouble("BOT_BACK", _("the bot is started"), level="info"))
            self._failure = ""

    async def _started(self) -> Child:
        child = self.new_child()
        await child.start(self.command(), self._memory)
        self._children.add(child)
        child.over.add_done_callback(lambda _over: self._children.discard(child))
        if self._closed:
            await child.end()
        try:
            await child.ready()
        except NotStarted:
            await child.end()
            raise
        return child

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until there is something new."""
        self._wake.clear()
        if self._closed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _complain(self, failure: str) -> None:
        """Tell why the process does not start; the same failure once."""
        if failure != self._failure:
            sentence = _("the bot can't be started: {failure}; messages wait").format(failure=failure)
            self.say(Trouble("BOT_BROKEN", sentence, level="error"))
        self._failure = failure

    def say(self, trouble: Trouble) -> None:
        """Tell people, unless this is the end."""
        if not self._closed:
            self._tell(trouble)


def decode(line: bytes | bytearray) -> dict[str, Any]:
    """Read a line; one that is no JSON object says nothing."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def ending(code: int | None) -> str:
    """Say how a process ended."""
    if code is not None and code < 0:
        with suppress(ValueError):  # real-time signals have no name
            return _("its process was ended by {signal}").format(signal=signal.Signals(-code).name)
    return _("its process ended with exit code {code}").format(code=code)
