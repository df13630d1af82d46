"""A real host, a real home and the sandbox, with the few verbs that worker tests share."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.core import events
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSignal, LinkSpec
from wasess.link.translate import translate
from wasess.link.versions import Versions
from wasess.sandbox import Sandbox
from wasess.store.preflight import obstacle
from wasess.store.sessions import Home, Session
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from wasess.link.port import Link

PATIENCE = 20


class Follower:
    """Reads a link and its session's spool to the end; tests wait for what it has seen."""

    def __init__(self, link: Link, session: Session) -> None:
        self.link = link
        self.session = session
        self.signals: list[LinkSignal] = []
        self.events: list[events.Event] = []
        self.shown: list[str] = []
        self._reader = SpoolReader(session.folder)
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._follow())

    @property
    def logs(self) -> list[str]:
        return [signal.value for signal in self.signals if signal.kind == "log"]

    @property
    def hints(self) -> list[tuple[str, str]]:
        return [(signal.value, signal.detail) for signal in self.signals if signal.kind == "hint"]

    @property
    def pid(self) -> int:
        return next(int(signal.value) for signal in self.signals if signal.kind == "started")

    def messages(self) -> list[Any]:
        return [event.message for event in self.events if isinstance(event, events.MessageReceived)]

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(condition)

    async def event(self, kind: type[events.Event], seconds: float = PATIENCE) -> Any:
        """Wait for the next event of a kind, counted from the last wait; return it."""
        await self.until(lambda: self._find(kind) >= 0, seconds)
        found = self.events[self._find(kind)]
        self._seen = self.events.index(found) + 1
        return found

    async def qr(self, seconds: float = PATIENCE) -> str:
        await self.until(lambda: any(signal.kind in {"qr", "ended"} for signal in self.signals), seconds)
        return next(signal.value for signal in self.signals if signal.kind == "qr")

    async def ended(self, seconds: float = PATIENCE) -> LinkSignal:
        async with asyncio.timeout(seconds):
            await asyncio.shield(self._task)
        return self.signals[-1]

    _seen = 0

    def _find(self, kind: type[events.Event]) -> int:
        return next((at for at in range(self._seen, len(self.events)) if isinstance(self.events[at], kind)), -1)

    async def _follow(self) -> None:
        async for signal in self.link.signals():
            async with self._news:
                self.signals.append(signal)
                if signal.kind == "spooled":
                    self._read()
                self._news.notify_all()

    def _read(self) -> None:
        while frames := self._reader.read_new():
            self.events += [translate(frame.code, frame.payload) for frame in frames]
            with contextlib.suppress(OSError):  # a full disk: what is not committed comes again
                self._reader.commit(frames[-1].end)


class Rig:
    """One sandbox, one home, one host."""

    def __init__(self, box: Sandbox, home: Home) -> None:
        self.box = box
        self.home = home
        self.start_host()

    def start_host(self) -> None:
        """Another one: the first must be closed."""
        contract = Contract.load(self.box.contract_path)
        self.versions = Versions(contract)
        self.host = WorkerHost(contract, versions=self.versions)

    def session(self, user: str) -> Session:
        session = self.home.session(user)
        session.create()
        return session

    async def start(self, user: str, mode: Any = "run", *, wa_version: str = "") -> Follower:
        session = self.session(user)
        found = await asyncio.to_thread(obstacle, session) if mode == "run" else ("", "")
        self.versions.announce(user, wa_version)
        return Follower(await self.host.start(LinkSpec(user, session.folder, mode, found)), session)

    async def pair(self, user: str, *, wa_version: str = "") -> Follower:
        """Link a new device; return when it is online."""
        follower = await self.start(user, "pair", wa_version=wa_version)
        await self.box.scan(user, await follower.qr())
        await follower.event(events.Connected)
        return follower

    async def linked(self, user: str) -> None:
        """Link a new device and stop."""
        follower = await self.pair(user)
        await follower.link.stop()
        await follower.ended()

    async def online(self, user: str) -> Follower:
        """Link a new device and bring it up in run mode."""
        await self.linked(user)
        follower = await self.start(user)
        await follower.event(events.Connected)
        return follower


def figure(text: str) -> None:
    """Show a measurement; pytest -s or -rP lets it through."""
    print(text)  # noqa: T201 - that is all it is for


def mapped_files(pid: int) -> set[str]:
    return set(re.findall(r"/\S+", Path(f"/proc/{pid}/maps").read_text()))


@contextlib.asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    async with Sandbox(folder / "box", claimed_pre_keys=50) as box:
        made = Rig(box, Home(folder / "home").open(create=True))
        try:
            yield made
        finally:
            await made.host.close()
