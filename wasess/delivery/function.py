"""A bot that is one Python function: ``--bot FILE.py:FUNCTION``.

The function takes one argument and returns what is answered: a text, a `Reply`, a list of these, or None. It may be a coroutine function::

    def reply(text: str) -> str | None:  # annotated str, or just named `text`: gets the message's text
        return text.upper()


    from wasess import Message, Reply


    async def reply(message: Message) -> Reply:  # anything else: gets the whole message; str(message) is its text
        return Reply(f"{message.push_name}: {message.text}", quote=True)

One that takes a text is asked only about messages that have one, and not about reactions, edits, deletions and votes.

It runs in a process of its own (`delivery.bot_process`): nothing it does can stop a session, and its ``print`` goes to stderr.
Up to eight messages are with it at once, of different chats. A call that takes longer than the deadline ends the process, which is
started again; a process that does not start is tried again with growing pauses, for ever, while the messages wait.

With ``reload`` the process is replaced by a new one when the bot's file changes, or a module that was loaded from its folder. The old one
finishes what it has. When the new file does not load, the old one goes on.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.delivery.bot import Trouble
from wasess.delivery.bot_process import levels
from wasess.delivery.child import DEADLINE, Child, NotStarted, ProcessBot, decode, ending
from wasess.delivery.launch import run_to_its_end
from wasess.errors import UsageError
from wasess.store.trust import CODE, require_trust
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasess.delivery.bot import Tell

START_DEADLINE = 60.0  # for importing the user's file
LONGEST_ERROR = 500
HINT = mark("Use --bot FILE.py:FUNCTION, a function that takes a message and returns the reply.")

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class BotSpec:
    """Where the function is. ``module``: the dotted name of its file, when that is one of a package."""

    file: Path
    function: str
    module: str = ""

    def command(self, *options: str) -> list[str]:
        """Return the command line of its process."""
        named = (f"--module={self.module}",) if self.module else ()
        return [sys.executable, "-P", "-m", "wasess.delivery.bot_process", str(self.file), self.function, *options, *named]


def validate_bot(text: str) -> BotSpec:
    """Read ``FILE.py:FUNCTION`` or ``PACKAGE.MODULE:FUNCTION``, and load the function once, in a process of its own.

    A package is looked for in the working directory. Raises `errors.UsageError` with what is wrong.
    """
    file, separator, function = text.rpartition(":")
    if not separator or not function.isidentifier():
        raise UsageError(_("The bot {bot!r} is not of the form FILE.py:FUNCTION.").format(bot=text), hint=_(HINT))
    spec = _in_a_package(file, function) or BotSpec(Path(file).absolute(), function)
    if not spec.file.is_file():
        raise UsageError(_("The bot's file {file} does not exist.").format(file=file), hint=_(HINT))
    require_trust(spec.file, CODE, imports=levels(spec.file, spec.module))
    problem = _check(spec)
    if problem:
        raise UsageError(_("The bot can't be loaded: {problem}.").format(problem=problem), hint=_(HINT))
    return spec


def _in_a_package(name: str, function: str) -> BotSpec | None:
    parts = name.split(".")
    if name.endswith(".py") or not all(part.isidentifier() for part in parts) or Path(name).is_file():
        return None
    path = Path(*parts).absolute()
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return BotSpec(file, function, name)


def _check(spec: BotSpec) -> str:
    """Say why the function can't be loaded; empty when it can."""
    try:
        code, written = run_to_its_end(spec.command("--check"), START_DEADLINE)
    except subprocess.TimeoutExpired:
        return _not_loaded_in_time()
    answer = decode(written.partition(b"\n")[0])
    return "" if answer.get("ready") else answer.get("failed") or ending(code)


class FunctionBot(ProcessBot):
    """The function behind the `delivery.bot.Bot` door. ``look_every``: seconds between two looks at its files."""

    look_every = 1.0

    def __init__(
        self,
        spec: BotSpec,
        tell: Tell,
        *,
        deadline: float = DEADLINE,
        memory: int = 0,
        reload: bool = False,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """As `ProcessBot`; ``reload``: follow changes of its files."""
        super().__init__(tell, deadline=deadline, memory=memory, dice=dice)
        self._spec = spec
        self._reload = reload
        self._files = _Files(spec.file)
        self._looking: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._not_loaded = ""

    def command(self) -> list[str]:
        """See `ProcessBot`. Python takes compiled code for fresh whose source was changed in the same second: with reload none is written."""
        command = self._spec.command(*(["--files"] if self._reload else []))
        return [command[0], "-B", *command[1:]] if self._reload else command

    def new_child(self) -> Child:
        """See `ProcessBot`."""
        if self._reload and self._looking is None:
            self._looking = asyncio.create_task(self._follow_changes())
        self._files.loading()
        return _Function(self._files)

    async def close(self) -> None:
        """See `delivery.bot.Bot`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await super().close()
        await asyncio.gather(*self._retiring)

    async def _follow_changes(self) -> None:
        while True:
            await asyncio.sleep(self.look_every)
            if not self._files.changed():
                continue
            if self._child is None or self._child.ended:
                self._wake.set()  # it waits for its next try to start: now is a good time
            else:
                await self._in_turn(self._replace)

    async def _replace(self) -> None:
        old = self._child
        try:
            self._child = await self._started()
        except NotStarted as problem:
            self._complain_of_change(str(problem))
            return
        self._not_loaded = ""
        if old is not None:
            retiring = asyncio.create_task(old.retire())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    def _complain_of_change(self, problem: str) -> None:
        if problem != self._not_loaded:
            sentence = _("the bot's files have changed but can't be loaded: {problem}; what was loaded before goes on").format(
                problem=problem
            )
            self.say(Trouble("BOT_NOT_RELOADED", sentence))
        self._not_loaded = problem


class _Files:
    """What the function was loaded from, and how these files looked when their loading began."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._seen: dict[str, Stamp] = {}
        self._before: dict[str, Stamp] = {}

    def loading(self) -> None:
        """They are about to be loaded. What changes from now on may or may not be in what is loaded, so it is a change."""
        self._before = {file: _stamp(file) for file in {*self._seen, self._file}}

    def loaded(self, files: Iterable[str]) -> None:
        """These were."""
        self._seen = {file: self._before[file] if file in self._before else _stamp(file) for file in {*files, self._file}}

    def not_loaded(self, files: Iterable[str]) -> None:
        """They could not be, and nothing will be different until one of these, or of those that were loaded before, changes."""
        self.loaded({*files, *self._seen})

    def also(self, files: Iterable[str]) -> None:
        """These were loaded later."""
        for file in files:
            self._seen.setdefault(file, _stamp(file))

    def changed(self) -> bool:
        """Whether one is another than what was loaded."""
        return any(_stamp(file) != seen for file, seen in self._seen.items())


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116 - once a second for each module
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class _Function(Child):
    """One run of it. Its first line says whether the function could be loaded."""

    def __init__(self, files: _Files) -> None:
        super().__init__()
        self._files = files
        self._first: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def ready(self) -> None:
        """See `Child`."""
        ends: set[asyncio.Future[Any]] = {self._first, self.over}
        await asyncio.wait(ends, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        answer = self._first.result() if self._first.done() else {}
        if answer.get("ready"):
            self._files.loaded(_paths(answer))
            return
        self._files.not_loaded(_paths(answer))
        if not self.ended:
            raise NotStarted(answer.get("failed") or _not_loaded_in_time())
        await self.gone()
        raise NotStarted(answer.get("failed") or self.last_words())

    def note(self, line: dict[str, Any]) -> None:
        """See `Child`."""
        if not self._first.done():
            self._first.set_result(line)
        elif "files" in line:
            self._files.also(_paths(line))
        elif "failed" in line:
            self.why = str(line["failed"])

    def refusal(self, error: object) -> str:
        """See `Child`. Its process has said it by type and place."""
        return str(error)[:LONGEST_ERROR]


def _paths(line: dict[str, Any]) -> list[str]:
    files = line.get("files")
    return [file for file in files if isinstance(file, str)] if isinstance(files, list) else []


def _not_loaded_in_time() -> str:
    return _("not loaded within {seconds:.0f} s").format(seconds=START_DEADLINE)
