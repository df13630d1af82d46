"""The keeper's hold on its session's process: turns, starts, ends, questions. Whatever comes of them goes into the keeper's inbox."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

from wasess.core.events import DatabaseLost, Event, ProbeAnswered, ProbeFailed, TurnCame
from wasess.errors import NetworkDown, UnsupportedPlatform, WasessError, WorkerFailed
from wasess.link.port import LinkSignal, LinkSpec
from wasess.store.preflight import obstacle
from wasess.supervisor.clock import pause
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from wasess.core.clock import Alarm, Clock
    from wasess.core.message import Message, Reply
    from wasess.link.port import Link, LinkHost
    from wasess.store.sessions import Session
    from wasess.supervisor.gate import Gate, Place
    from wasess.supervisor.watch import Watch

PRESENCE_PAUSES = (60.0, 600.0)

logger = logging.getLogger(__name__)

Incoming = LinkSignal | Event | Exception


class Tether:
    """One session's link, or none. ``put`` takes what happens, in order. ``outdated``: as in `LinkSpec`, for the next start."""

    def __init__(self, session: Session, host: LinkHost, gate: Gate, clock: Clock, watch: Watch, put: Callable[[Incoming], None]) -> None:
        self.user = session.user
        self.outdated = False
        self._session = session
        self._host = host
        self._gate = gate
        self._clock = clock
        self._watch = watch
        self._put = put
        self._link: Link | None = None
        self._ending: Literal["", "stop", "kill"] = ""
        self._looking = False
        self._place: Place | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probe_alarm: Alarm | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- turns --------------------------------------------------------------------------------------------------------

    def ask_turn(self) -> None:
        """`TurnCame` will come."""
        self._beside(self._await_turn())

    def leave_place(self) -> None:
        """Let the next one dial."""
        if self._place is not None:
            self._place.leave()
            self._place = None

    async def _await_turn(self) -> None:
        place = await self._gate.turn()
        self.leave_place()
        self._place = place
        self._put(TurnCame())

    # --- life and death -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process; its end is always told."""
        self._ending = ""
        self._beside(self._live())

    def stop(self) -> None:
        """Drain it and let it end."""
        self._ending = "stop"
        self._beside(self._stop_link())

    def kill(self) -> None:
        """End it at once."""
        self._ending = "kill"
        if self._link is not None:
            self._link.kill()

    def ended(self) -> None:
        """The link has said its last word."""
        self._link = None
        self._end_probe()

    def close(self) -> None:
        """Kill it and forget what was under way."""
        self.kill()
        self.leave_place()
        self._end_probe()
        for task in self._tasks:
            task.cancel()

    async def _live(self) -> None:
        try:
            found = await asyncio.to_thread(obstacle, self._session)
            link = self._link = await self._host.start(LinkSpec(self.user, self._session.folder, "run", found, self.outdated))
            self._watch.begin(self._session.folder)
            if self._ending == "kill":
                link.kill()
            elif self._ending == "stop":
                self._beside(self._stop_link())
            async for signal in link.signals():
                self._put(signal)
        except UnsupportedPlatform:
            raise
        except (WasessError, OSError) as error:
            self._put(LinkSignal("ended", "crashed", str(error)))

    async def _stop_link(self) -> None:
        if self._link is None:
            return  # it is being started; `_live` sees what was asked for
        try:
            await self._link.stop()
        except WasessError:
            self.kill()

    # --- questions ------------------------------------------------------------------------------------------------------

    async def send(self, chat: str, reply: Reply, quoted: Message | None, key: str, kept: str) -> str:
        """Send a reply; return its id. ``key`` is noted with the id before it goes out; ``kept``: the copy of its file. Raises `errors.WasessError`."""
        return await self._running().send(chat, reply, quoted, key, kept)

    async def download(self, raw: bytes, path: Path, most: int) -> int:
        """Write the file of a message (its event from the spool) there, of ``most`` bytes; return its size. Raises `errors.WasessError`."""
        return await self._running().download(raw, path, most)

    async def votes(self, raw: bytes) -> tuple[str, ...]:
        """The hashes of what was voted for (the vote's event from the spool). Raises `errors.WasessError`."""
        return await self._running().votes(raw)

    async def mark_read(self, chat: str, sender: str, ids: Sequence[str]) -> None:
        """Tell a sender that messages were read. Raises `errors.WasessError`."""
        await self._running().mark_read(chat, sender, ids)

    async def typing(self, chat: str, *, on: bool) -> None:
        """Show a chat that an answer is being written, or no longer. Raises `errors.WasessError`."""
        await self._running().typing(chat, on=on)

    async def prove(self, deadline: float) -> None:
        """Ask WhatsApp something small, for somebody who waits. Raises `errors.WasessError` without an answer in ``deadline`` seconds."""
        try:
            async with asyncio.timeout(deadline):
                await self._running().probe()
        except TimeoutError:
            raise NetworkDown(_("no answer in {seconds:.0f} s").format(seconds=deadline)) from None

    async def logout(self) -> None:
        """Unlink the device at WhatsApp. Raises `errors.WasessError`."""
        await self._running().logout()

    def memory(self) -> int:
        """Resident bytes of the process, 0 when that is unknown."""
        return self._link.vitals().memory if self._link is not None else 0

    def probe(self, deadline: float) -> None:
        """Ask WhatsApp; the answer, or that there is none after ``deadline`` seconds, is told. A question that is out is dropped."""
        self._end_probe()
        self._probe_alarm = self._clock.call_later(
            deadline, lambda: self._no_answer(_("no answer in {seconds:.0f} s").format(seconds=deadline))
        )
        self._probing = self._beside(self._ask())

    async def _ask(self) -> None:
        try:
            await self._running().probe()
        except WasessError as error:
            self._no_answer(str(error))
        else:
            self._end_alarm()
            self._put(ProbeAnswered())

    def _running(self) -> Link:
        if self._link is None:
            raise WorkerFailed(_("The session is not running."))
        return self._link

    def _no_answer(self, why: str) -> None:
        self._end_alarm()
        if self._probing is not None and not self._probing.done() and self._probing is not asyncio.current_task():
            self._probing.cancel()
        self._put(ProbeFailed(why))

    def _end_probe(self) -> None:
        self._end_alarm()
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _end_alarm(self) -> None:
        if self._probe_alarm is not None:
            self._probe_alarm.cancel()
            self._probe_alarm = None

    def show_presence(self, *, seen: bool) -> None:
        """Be available for a moment when ``seen``, and in any case leave the phone its notifications."""
        self._beside(self._show_presence(seen=seen))

    async def _show_presence(self, *, seen: bool) -> None:
        """A device that was just linked has no name to be seen by; WhatsApp tells it soon."""
        link = self._link
        for seconds in (*PRESENCE_PAUSES, None):
            if link is None or link is not self._link:
                return
            try:
                if seen:
                    await link.presence(available=True)
                await link.presence(available=False)
            except WasessError as error:
                logger.debug("%s: presence was not shown: %s", self.user, error)
            else:
                return
            if seconds is not None:
                await pause(self._clock, seconds)

    def look(self) -> None:
        """Look at the process and its files from outside; what is wrong is told."""
        if self._link is not None and not self._ending:
            for event in self._watch.look(self._link):
                self._put(event)

    def look_at_database(self, said: DatabaseLost) -> None:
        """The library says that its database is lost. That is told once a look has found it so; one look at a time."""
        if not self._looking and self._link is not None and not self._ending:
            self._looking = True
            self._beside(self._confirm(said))

    async def _confirm(self, said: DatabaseLost) -> None:
        try:
            found = await asyncio.to_thread(self._watch.confirm, said)
        finally:
            self._looking = False
        if found is None:
            logger.warning("%s: the library says of device.db: %s; it was looked at, and is well", self.user, said.detail)
        elif self._link is not None and not self._ending:
            self._put(found)

    def _beside(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._put(error)  # a bug: what waits for the task's news would wait for ever
