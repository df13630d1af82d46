"""A Baileys in its own process, told what to do and asked what it saw."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.sandbox.usecases import Sandbox

SCRIPT = Path(__file__).with_name("baileys.mjs")
DEADLINE = 20
MAX_LINE = 1 << 20


class Baileys:
    """Talks to one `baileys.mjs`; the commands and events are described there. Every wait has a deadline."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.complaints: list[str] = []
        self._process = process
        self._events: defaultdict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self._reader = asyncio.create_task(self._read())

    async def next(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for the next event of a kind that nobody has waited for yet; it must have these fields."""
        waiting = asyncio.create_task(self._events[event].get())
        await asyncio.wait({waiting, self._reader}, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            pytest.fail(
                f"Baileys {'ended before it' if self._reader.done() else 'has not'} told of {event!r}; it complains: {self.complaints}"
            )
        told = waiting.result()
        assert told | fields == told
        return told

    async def link(self, box: Sandbox, user: str) -> None:
        """Show a QR code, have it scanned, obey the 515 and log in."""
        self.do("connect")
        await box.scan(user, (await self.next("qr"))["text"])
        await self.next("close", code=515)
        await self.connect()

    async def connect(self) -> None:
        """Dial with a new socket and wait until it is open."""
        self.do("connect")
        await self.next("open")

    async def send(self, address: object, text: str) -> str:
        """Send a text. Returns the message id."""
        self.do("send", to=str(address), text=text)
        message_id: str = (await self.next("sent"))["id"]
        return message_id

    def do(self, command: str, **fields: str) -> None:
        """Give a command without waiting for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **fields}).encode() + b"\n")

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if told["event"] == "complaint":
                self.complaints.append(told["text"])
            else:
                self._events[told["event"]].put_nowait(told)


@asynccontextmanager
async def baileys(box: Sandbox, user: str, session: Path, installed: Path) -> AsyncIterator[Baileys]:
    """Start a Baileys that keeps its credentials in the folder ``session``; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        "node",
        *(str(argument) for argument in (SCRIPT, box.contract_path, user, session, installed)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(box.ca_file)},
        limit=MAX_LINE,
    )
    client = Baileys(process)
    try:
        yield client
    finally:
        await client.kill()
