"""A gateway with its trust and faults, the clients that dial it, and waits with a deadline."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from wire_client import DEADLINE, Client

from wasess.sandbox.faults import FaultBook
from wasess.sandbox.gateway import Gateway, Wire
from wasess.sandbox.trust import Trust


class Rig:
    """A gateway, and its wires in the order they came up."""

    def __init__(self, tmp_path) -> None:
        self.ca_file = tmp_path / "ca.pem"
        self.trust = Trust()
        self.trust.write_ca(self.ca_file)
        self.faults = FaultBook()
        self.arrived: asyncio.Queue[Wire] = asyncio.Queue()
        self.gateway = Gateway(self.trust, self.faults, self.on_wire)

    async def on_wire(self, wire: Wire) -> None:
        self.arrived.put_nowait(wire)
        await until(lambda: wire.closed, deadline=60)

    def client(self, user: str = "alice") -> Client:
        return Client(self.ca_file, user)

    @asynccontextmanager
    async def connected(self):
        async with self.client() as client:
            await client.dial(self.gateway.port)
            yield client, await soon(self.arrived.get())


async def soon(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


async def until(condition, deadline: float = DEADLINE) -> None:
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110  (what is waited for is the state that callers see, and it has no event)
            await asyncio.sleep(0.005)
