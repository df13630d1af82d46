"""Hands messages to the bot and its replies back: in order within a chat, chats side by side, at least once.

A message is done when its reply was sent, when there is none to send, or when it was given up after three tries that were its own
fault. Only then is it committed in the spool, so whatever the manager's death interrupts comes again at the next start. Until there
is a durable outbox this also means: a crash between the sending and the commit makes the bot answer twice.

When the bot's process dies, any of the messages it had may be the cause. Each of them is tried again alone, so that a message that
kills the bot is found out and no other is ever given up for it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core import backoff
from wasess.delivery.bot import Trouble, Verdict
from wasess.errors import WasessError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from wasess.core.message import Message
    from wasess.delivery.bot import Bot, Outcome, Tell

AT_ONCE = 8  # as many as the bot process has threads
TRIES = 3


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way. ``reply(chat, text)`` sends, waiting for the session to be online; ``done()`` is called once, at the end."""

    session: str
    message: Message
    reply: Callable[[str, str], Awaitable[object]]
    done: Callable[[], None]


class Dispatcher:
    """One for all sessions. Needs a running event loop."""

    def __init__(self, bot: Bot, tell: Tell, *, dice: Callable[[], float] = random.random) -> None:
        self._bot = bot
        self._tell = tell
        self._dice = dice
        self._chats: dict[tuple[str, str], deque[Parcel]] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._alone = asyncio.Lock()
        self._gate = asyncio.Event()
        self._gate.set()
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, parcel: Parcel) -> None:
        """Queue a message behind the others of its chat. Own messages and those without a text are done at once."""
        if parcel.message.from_me or not parcel.message.text:
            parcel.done()
            return
        key = (parcel.session, parcel.message.chat)
        if key in self._chats:
            self._chats[key].append(parcel)
            return
        self._chats[key] = deque([parcel])
        self._tasks[key] = asyncio.create_task(self._serve(key))

    async def drain(self, patience: float) -> None:
        """Give the bot nothing new, and wait up to ``patience`` seconds for what it has, replies included."""
        self._gate.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._working:
                    await self._idle.wait()

    async def forget(self, session: str | None = None) -> None:
        """Drop what is queued or under way, of one session or of all. It stays in the spool."""
        doomed = [task for key, task in self._tasks.items() if session in {None, key[0]}]
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)

    async def _serve(self, key: tuple[str, str]) -> None:
        queue = self._chats[key]
        try:
            while queue:
                await self._deliver(queue[0])
                queue.popleft().done()
        finally:
            del self._chats[key], self._tasks[key]

    async def _deliver(self, parcel: Parcel) -> None:
        text = await self._answer(parcel)
        if text is None:
            return
        try:
            with self._work():
                await parcel.reply(parcel.message.chat, text)
        except WasessError as error:
            self._tell(Trouble("REPLY_GIVEN_UP", _("a reply could not be sent: {error}").format(error=error), parcel.session, "error"))

    async def _answer(self, parcel: Parcel) -> str | None:
        faults = 0
        alone = False
        while True:
            outcome = await self._ask(parcel.message, alone=alone)
            if outcome.verdict is Verdict.ANSWERED:
                return outcome.text
            if outcome.verdict is Verdict.RESTARTED:
                continue
            if outcome.verdict is Verdict.DIED and not alone:
                alone = True
                continue
            faults += 1
            self._tell(_trouble(parcel, outcome, faults))
            if faults == TRIES:
                return None
            await asyncio.sleep(backoff.delay(faults, self._dice()))

    async def _ask(self, message: Message, *, alone: bool) -> Outcome:
        while True:
            await self._gate.wait()
            async with self._room(alone=alone):
                if self._gate.is_set():
                    with self._work():
                        return await self._bot.ask(message)

    @asynccontextmanager
    async def _room(self, *, alone: bool) -> AsyncIterator[None]:
        """One of the slots, or all of them. Only one task at a time collects all, so none waits for another's."""
        taken = 0
        async with self._alone if alone else nullcontext():
            try:
                for _ in range(AT_ONCE if alone else 1):
                    await self._slots.acquire()
                    taken += 1
                yield
            finally:
                for _ in range(taken):
                    self._slots.release()

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Count a call to the bot or a sending, for `drain`."""
        self._working += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()


def _trouble(parcel: Parcel, outcome: Outcome, faults: int) -> Trouble:
    what = {
        Verdict.RAISED: _("the bot failed on a message"),
        Verdict.STUCK: _("the bot took too long over a message and was started again"),
        Verdict.DIED: _("the bot's process ended over a message"),
    }[outcome.verdict]
    if faults < TRIES:
        again = _("{what} ({detail}); trying it again").format(what=what, detail=outcome.detail)
        return Trouble(f"BOT_{outcome.verdict.name}", again, parcel.session)
    sentence = _("{what} ({detail}); gave up on message {message} after {tries} tries").format(
        what=what, detail=outcome.detail, message=parcel.message.id, tries=TRIES
    )
    return Trouble("BOT_GAVE_UP", sentence, parcel.session, "error")
