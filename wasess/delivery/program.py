"""A bot that is a program in any language: ``--program 'COMMAND ARGUMENT …'``.

It reads one line of JSON a message from its stdin, and writes one line of JSON an answer to its stdout::

    {"n": 1, "message": {"id": "3EB0…", "chat": "491701234567@s.whatsapp.net", "sender": "…", "text": "hello", "kind": "text", …}}

    {"n": 1, "reply": "hello yourself"}
    {"n": 1, "reply": {"text": "look", "file": "/srv/menu.pdf", "quote": true}}
    {"n": 1, "reply": ["first", {"react": "👍", "quote": true}]}
    {"n": 1, "reply": null}
    {"n": 1, "error": "no such customer"}

``n`` numbers the messages of one run of the program; the answers may come in any order, and each is written at once (flush stdout).
``message`` has all fields of `core.message.Message`, the same as a webhook's data; a reply as an object has those of `core.message.Reply`.
``null`` or an empty text is no reply. An ``error`` means: this message is tried again, and is given up in the end; its words may quote the
message, so they are shown to nobody. What the program has to say to people goes to its stderr, which is the manager's.

The command is split into words as a shell would (quotes and backslashes), once, and started without one: no ``$NAME``, ``~``, ``*``,
``|`` or ``>``. Who wants these writes ``--program "sh -c '…'"``.

The program has up to eight messages at a time, of different chats; each has to be answered within the deadline, which counts from when it
was written, so one that answers them one after the other has less time for each. When one is not answered in time, the program is killed
(and what it has started) and started again, as when it ends or closes its stdout. It should end when its stdin does.

It is ready when it is started. After it has ended it gets no message in the first second of its next run (when its last run ended without an
answer: not until it has lived a second longer than that one, at most ten seconds). One that ends before that can't be started: no message is
at fault, and all wait.
"""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.delivery.bot import Trouble
from wasess.delivery.child import DEADLINE, Child, NotStarted, ProcessBot
from wasess.errors import UsageError
from wasess.store.trust import CODE, require_trust
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.delivery.bot import Tell

SETTLES_WITHIN = 1.0
LONGEST_SETTLING = 10.0
HINT = mark("Use --program 'COMMAND ARGUMENT …'. No shell reads it; if you need one: --program \"sh -c '…'\".")


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """The words of the command; the first is an absolute path."""

    command: tuple[str, ...]

    def require_trust(self) -> None:
        """Refuse a program or a file of its command that others can have written. Raises `errors.UsageError`."""
        for file in map(Path, self.command):
            if file.is_file():
                require_trust(file, CODE)


def validate_program(text: str) -> ProgramSpec:
    """Split a command line and find its program. Raises `errors.UsageError` with what is wrong."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError(_("The quotes or backslashes of the program {text!r} do not match.").format(text=text), hint=_(HINT)) from None
    if not words or "\0" in text:
        raise UsageError(_("The program {text!r} is not a command.").format(text=text), hint=_(HINT))
    found = shutil.which(words[0])
    if found is None:
        raise UsageError(_why_not(words[0]), hint=_(HINT))
    spec = ProgramSpec((str(Path(found).absolute()), *words[1:]))
    spec.require_trust()
    return spec


def _why_not(command: str) -> str:
    if not Path(command).is_file():
        return _("The program's command {command!r} was not found.").format(command=command)
    if os.access(command, os.X_OK):
        return _("The program's command {command!r} was not found; for the file here write {path!r}.").format(
            command=command, path=f"./{command}"
        )
    return _("The program's command {command!r} is a file that may not be executed.").format(command=command)


class ProgramBot(ProcessBot):
    """The program behind the `delivery.bot.Bot` door."""

    grace = 0.5

    def __init__(
        self,
        spec: ProgramSpec,
        tell: Tell,
        *,
        deadline: float = DEADLINE,
        memory: int = 0,
        dice: Callable[[], float] = random.random,
        settles_within: float = SETTLES_WITHIN,
    ) -> None:
        """As `ProcessBot`; ``settles_within``: how long one that has ended before gets no message after its start, at least."""
        super().__init__(tell, deadline=deadline, memory=memory, dice=dice)
        self._spec = spec
        self._settles_within = settles_within
        self._run: Child | None = None
        self._strayed = False

    def command(self) -> tuple[str, ...]:
        """See `ProcessBot`."""
        return self._spec.command

    def new_child(self) -> Child:
        """See `ProcessBot`."""
        settling = 0.0
        if self._run is not None:
            settling = min(self._settles_within + self._run.mute_for, LONGEST_SETTLING)
        self._run = _Program(settling, self._stray)
        return self._run

    async def _started(self) -> Child:
        try:
            await asyncio.to_thread(self._spec.require_trust)  # each time: it may have changed since wasess was started
        except UsageError as error:
            raise NotStarted(str(error)) from None
        return await super()._started()

    def _stray(self) -> None:
        if not self._strayed:
            self._strayed = True
            sentence = _(
                "the program writes lines to its stdout that are no answers; they are ignored (what people should read goes to stderr)"
            )
            self.say(Trouble("BOT_STRAY_LINE", sentence))


class _Program(Child):
    """One run of it."""

    def __init__(self, settling: float, stray: Callable[[], None]) -> None:
        super().__init__()
        self._settling = settling
        self._stray = stray

    async def ready(self) -> None:
        """See `Child`."""
        if self._settling:
            await asyncio.wait({self.over}, timeout=self._settling)
        if self.ended:
            await self.gone()
            raise NotStarted(self.last_words())

    def note(self, line: dict[str, Any]) -> None:  # noqa: ARG002 - what it says is not looked at
        """See `Child`."""
        self._stray()

    def refusal(self, error: object) -> str:  # noqa: ARG002 - it may quote the message
        """See `Child`."""
        return _("the program said no")
