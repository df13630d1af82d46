"""Where clients arrive: two ports on loopback, a proxy for WhatsApp's hosts and a plain TLS port, and what becomes of each connection.

The proxy port knows a client by the name in its proxy address, `http://NAME:x@127.0.0.1:PORT`, before it has spoken any protocol; the
direct port by the address it dials, `wss://localhost:PORT/ws/chat?user=NAME` (for clients that can't use a proxy), so that there only
faults set for everyone can strike before the upgrade. No other interface is ever listened on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Final

from wasess.sandbox.dial import Dial, DialEnded, Identity
from wasess.sandbox.signal.curve import KeyPair
from wasess.sandbox.tunnel import Tunnel
from wasess.sandbox.versions import CURRENT, start_page
from wasess.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.trust import Trust

__all__ = ["Gateway", "Wire"]

HOST: Final = "127.0.0.1"
BACKLOG: Final = 1024  # a hundred clients redial in the same instant

_log = logging.getLogger(__name__)


class Gateway:
    """The two listening ports. `on_wire` runs in a task for each established connection and ends when its wire does.

    `on_dial` is told who dials, as soon as that is known and before any fault strikes. `on_media` serves a connection to the file server.
    `start_page` is the whole answer to a user who asks for the web client's start page.
    """

    def __init__(
        self,
        trust: Trust,
        faults: FaultBook,
        on_wire: Callable[[Wire], Awaitable[None]],
        on_dial: Callable[[str], None] = lambda _user: None,
        on_media: Callable[[str, Tunnel], Awaitable[None]] | None = None,
        start_page: Callable[[str], bytes] = lambda _user: start_page(CURRENT),
    ) -> None:
        self.port = 0
        self.direct_port = 0
        static = KeyPair.generate()
        self._identity = Identity(trust.server_context(), static, trust.certificate_chain(static.public))
        self._faults = faults
        self._on_wire = on_wire
        self._on_dial = on_dial
        self._on_media = on_media
        self._start_page = start_page
        self._numbers = itertools.count(1)
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], Tunnel] = {}

    async def start(self, port: int = 0, direct_port: int = 0) -> int:
        """Listen on both ports (0: any free one) and return the proxy's; `direct_port` has the other."""
        self.port = await self._listen(port, direct=False)
        self.direct_port = await self._listen(direct_port, direct=True)
        return self.port

    async def close(self) -> None:
        """Stop listening, cut all connections and wait until they and their tasks are gone."""
        for server in self._servers:
            server.close()
        connections = dict(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for tunnel in connections.values():  # a task cancelled before its first step has closed nothing
            await tunnel.close()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _listen(self, port: int, *, direct: bool) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._arrive(loop, direct=direct), HOST, port, backlog=BACKLOG)
        self._servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    def _arrive(self, loop: asyncio.AbstractEventLoop, *, direct: bool) -> Tunnel:
        tunnel = Tunnel(loop)
        task = loop.create_task(self._serve(tunnel, direct=direct))
        self._connections[task] = tunnel
        task.add_done_callback(self._connections.pop)
        return tunnel

    async def _serve(self, tunnel: Tunnel, *, direct: bool) -> None:
        dial = Dial(tunnel, self._identity, self._faults, self._on_dial, self._start_page)
        try:
            await dial.run(direct=direct)
            if dial.to_media:
                await self._serve_media(dial.user, tunnel)
                return
            wire = Wire(dial.user, next(self._numbers), tunnel, dial.websocket, dial.noise)
            await self._attend(wire, dial.early)
        except DialEnded as reason:
            _log.debug("%s does not get in: %s", dial.user or "a client", reason)
            tunnel.fin()
            await tunnel.until_gone()
        finally:
            await tunnel.close()

    async def _serve_media(self, user: str, tunnel: Tunnel) -> None:
        if self._on_media is not None:
            await self._on_media(user, tunnel)
        tunnel.fin()
        await tunnel.until_gone()

    async def _attend(self, wire: Wire, early: list[bytes]) -> None:
        attendant = asyncio.create_task(self._call(wire))
        try:
            await wire.pump(early)
            await attendant
        finally:
            attendant.cancel()
            await asyncio.gather(attendant, return_exceptions=True)

    async def _call(self, wire: Wire) -> None:
        try:
            await self._on_wire(wire)
        except Exception:  # noqa: BLE001  (a bug on the other side of this door: told in full, and only this connection pays)
            _log.exception("the server of %s's connection %d failed", wire.user, wire.id)
            wire.reset()
        else:
            await wire.close()
