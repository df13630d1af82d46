"""DOES what `cli.pairing` decides: starts links, listens to them, keeps the clock, shows codes."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wasess.cli import pairing
from wasess.cli.code_view import Letters, Picture
from wasess.cli.fresh_events import FreshEvents
from wasess.cli.pairing import Phase
from wasess.cli.qr import modules
from wasess.errors import Interrupted, WorkerFailed
from wasess.link.port import LinkSpec
from wasess.store.preflight import obstacle
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from wasess.cli.code_files import CodeFiles
    from wasess.cli.screen import Screen
    from wasess.link.port import Link, LinkHost
    from wasess.store.sessions import Session

REFRESH = 1.0
STOPS_WITHIN = 5.0
INTERRUPTED_STOPS_WITHIN = 0.5  # Ctrl+C ends everything within a second


class PairingRun:
    """One pairing of one session. ``png`` is named on the screen."""

    def __init__(self, session: Session, host: LinkHost, screen: Screen, files: CodeFiles, png: Path | None = None) -> None:
        self._session = session
        self._host = host
        self._screen = screen
        self._files = files
        self._png = png
        self._events = FreshEvents(session.folder)
        self._inbox: asyncio.Queue[pairing.Happening | BaseException] = asyncio.Queue()
        self._link: Link | None = None
        self._stops_within = STOPS_WITHIN
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = False
        """The phone has accepted, and WhatsApp has not taken it back: the new credentials are good, whatever came after."""

    async def run(self, timeout: float, phone: str = "") -> None:
        """Come back once the session is linked and logged in; the link still runs. ``phone`` asks for a code to type.

        Raises the `WasessError` of a failed pairing, and `Interrupted` when cancelled. Call `end` in any case.
        """
        try:
            await self._converse(timeout, phone)
        except asyncio.CancelledError:
            self._stops_within = INTERRUPTED_STOPS_WITHIN
            raise Interrupted(self._interrupted()) from None
        finally:
            self._screen.close()
            self._files.clear()

    async def end(self) -> None:
        """End the link: drained when the phone has accepted, at once when there is nothing to lose."""
        for task in self._tasks:  # first: what a link says when it is told to end is no news
            task.cancel()
        self._tasks.clear()
        self._inbox = asyncio.Queue()
        link, self._link = self._link, None
        if link and self.accepted:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stops_within):
                    await link.stop()
            self._events.read()
            self._events.commit()
        if link:
            link.kill()

    def resized(self) -> None:
        """The window has another size."""
        self._inbox.put_nowait(pairing.Tick())

    async def _converse(self, timeout: float, phone: str) -> None:
        state, commands = pairing.begin(self._session.user, time.monotonic(), timeout, phone)
        while True:
            self.accepted = state.phase is Phase.LOGGING_IN
            for command in commands:
                if isinstance(command, pairing.Finish):
                    return
                if isinstance(command, pairing.Fail):
                    self.accepted = command.keep
                    raise command.error
                await self._carry_out(command)
            happened = await self._next(state.wake_at)
            state, commands = pairing.step(state, happened, time.monotonic())

    async def _next(self, wake_at: float) -> pairing.Happening:
        while True:
            self._screen.refresh(time.monotonic())
            wait = max(min(wake_at - time.monotonic(), REFRESH), 0)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    happened = await self._inbox.get()
                if isinstance(happened, BaseException):
                    raise happened
                return happened
            if time.monotonic() >= wake_at:
                return pairing.Tick()

    async def _carry_out(self, command: pairing.Command) -> None:
        user = self._session.user
        match command:
            case pairing.Start(mode=mode, after=pause):
                await self.end()
                await asyncio.sleep(pause)
                found = await asyncio.to_thread(obstacle, self._session) if mode == "run" else ("", "")
                self._link = await self._host.start(LinkSpec(user, self._session.folder, mode, found))
                self._in_background(self._listen(self._link))
            case pairing.Show(typed=True, code=text, until=until):
                self._screen.show(Letters(user, text, until), time.monotonic())
            case pairing.Show(code=text, number=number, until=until):
                code = modules(text)
                self._files.show(text, code)
                self._screen.show(Picture(user, code, number, until, self._png), time.monotonic())
            case pairing.AskPhoneCode(phone=phone):
                self._in_background(self._ask_phone_code(phone))
            case pairing.Say(sentence=sentence):
                self._screen.say(f"{user}: {sentence}")

    async def _listen(self, link: Link) -> None:
        async for signal in link.signals():
            if signal.kind != "spooled":
                self._inbox.put_nowait(signal)
            for event in self._events.read():
                self._inbox.put_nowait(event)

    async def _ask_phone_code(self, phone: str) -> None:
        if self._link:
            try:
                self._inbox.put_nowait(pairing.PhoneCode(await self._link.pairing_code(phone)))
            except WorkerFailed as error:
                self._inbox.put_nowait(pairing.PhoneRefused(str(error)))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._background_over)
        self._tasks.add(task)

    def _background_over(self, task: asyncio.Task[None]) -> None:
        """A bug in a background task ends the pairing, too."""
        if not task.cancelled() and (error := task.exception()):
            self._inbox.put_nowait(error)

    def _interrupted(self) -> str:
        user = self._session.user
        text = _("interrupted; {user} is linked already") if self.accepted else _("interrupted; {user} is as it was before")
        return text.format(user=user)
