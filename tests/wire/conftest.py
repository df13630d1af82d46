"""The real neonize library, in the real worker, against the sandbox; a test talks to both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from wasess.core import events
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSignal, LinkSpec
from wasess.link.translate import translate
from wasess.sandbox import Sandbox
from wasess.store.preflight import obstacle
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from wasess.link.port import Link
    from wasess.sandbox.state import Device


class Companion:
    """One session on a worker. Collects its signals and its translated events; ``linked`` pairs it by QR code."""

    def __init__(self, host: WorkerHost, home: Home, box: Sandbox, user: str) -> None:
        self.user = user
        self.box = box
        self.signals: list[LinkSignal] = []
        self.events: list[events.Event] = []
        self.payloads: dict[str, bytes] = {}  # of messages, by id
        self.link: Link
        self.session = home.session(user)
        self._host = host
        self._moved = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    async def start(self, mode: Any = "run") -> None:
        """Start a worker; what earlier workers left in the spool is read first."""
        self.session.create()
        self._spool = SpoolReader(self.session.folder)
        await self._read_spool()
        found = await asyncio.to_thread(obstacle, self.session) if mode == "run" else ("", "")
        self.link = await self._host.start(LinkSpec(self.user, self.session.folder, mode, found))
        self._reading = asyncio.create_task(self._read())

    async def pair(self, phone: str = "") -> Device:
        """Link by QR code and stay connected."""
        await self.start("pair")
        code = await self.signal("qr")
        device = await self.box.scan(self.user, code.value, phone=phone)
        await self.event(events.Connected)
        return device

    async def signal(self, kind: str, *, seconds: float = 15) -> LinkSignal:
        """Wait for a signal of this kind; returns the newest."""
        await self._until(lambda: any(s.kind == kind for s in self.signals), f"signal {kind}", seconds)
        return next(s for s in reversed(self.signals) if s.kind == kind)

    async def event(self, kind: type[events.Event], *, count: int = 1, seconds: float = 15) -> events.Event:
        """Wait until ``count`` events of a kind have come since the start; returns the newest."""
        await self._until(lambda: len(self.of(kind)) >= count, f"{count} x {kind.__name__}", seconds)
        return self.of(kind)[-1]

    async def text(self, text: str, *, seconds: float = 15) -> events.MessageReceived:
        """Wait for a message with this text."""
        await self._until(lambda: text in self.texts, f"text {text!r}", seconds)
        return next(e for e in self.of(events.MessageReceived) if isinstance(e, events.MessageReceived) and e.message.text == text)

    def of(self, kind: type[events.Event]) -> list[events.Event]:
        """The events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def texts(self) -> list[str]:
        """The texts received so far, in order."""
        return [event.message.text for event in self.events if isinstance(event, events.MessageReceived)]

    @property
    def log(self) -> str:
        """All log lines so far."""
        return "\n".join(s.value for s in self.signals if s.kind == "log")

    async def stop(self) -> None:
        """Drain, and read what came out."""
        await self.link.stop()
        await self.over()

    async def kill(self) -> None:
        """Kill -9 the worker."""
        self.link.kill()
        await self.over()

    async def over(self, seconds: float = 15) -> LinkSignal:
        """Wait for the worker's end; returns its last signal."""
        assert self._reading is not None
        async with asyncio.timeout(seconds):
            await self._reading
        return self.signals[-1]

    async def _read(self) -> None:
        async for signal in self.link.signals():
            if signal.kind == "spooled":
                await self._read_spool()
            self.signals.append(signal)
            await self._wake()

    async def _read_spool(self) -> None:
        while frames := self._spool.read_new():
            for frame in frames:
                event = translate(frame.code, frame.payload)
                self.events.append(event)
                if isinstance(event, events.MessageReceived):
                    self.payloads[event.message.id] = frame.payload
            self._spool.commit(frames[-1].end)
        await self._wake()

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"{self.user}: no {what} in {seconds} s; events {self.events[-8:]}; log {self.log[-1500:]}") from None


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox", claimed_pre_keys=1) as sandbox:
        yield sandbox


@pytest.fixture
async def companion(box: Sandbox, tmp_path: Path) -> AsyncIterator[Callable[[str], Companion]]:
    home = Home(tmp_path / "home").open(create=True)
    host = WorkerHost(Contract.load(box.contract_path))
    yield lambda user: Companion(host, home, box, user)
    await host.close()


@pytest.fixture
async def alice(companion: Callable[[str], Companion]) -> Companion:
    """A linked and connected session."""
    session = companion("alice")
    await session.pair()
    return session
