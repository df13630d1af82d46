"""A client's established connection as the server sees it: stanzas in and out, and ways to end or hang it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Literal

from wasess.sandbox.nodes import Node, NodeError, decode, encode
from wasess.sandbox.noise import NoiseError, NoiseServer

if TYPE_CHECKING:
    from wasess.sandbox.tunnel import Tunnel
    from wasess.sandbox.websocket import WebSocket

PROTOCOL_ERROR: Final = 1002

_log = logging.getLogger(__name__)


class Wire:
    """One connection after its Noise handshake.

    `user` is the name it dialled under, `client_payload` the serialized waWa6.ClientPayload, `client_static` the client's Noise key (32
    bytes), `id` a number that no other connection of this gateway has. `ended_by` is empty while it lives, then "client", "server" (closed
    or FIN by us) or "reset" (by us). What is sent after the end is dropped, as on a real network; `recv` tells the end.
    """

    def __init__(self, user: str, number: int, tunnel: Tunnel, websocket: WebSocket, noise: NoiseServer) -> None:
        self.user = user
        self.id = number
        self.client_payload = noise.client_payload
        self.client_static = noise.client_static
        self.ended_by: Literal["", "client", "server", "reset"] = ""
        self._tunnel = tunnel
        self._websocket = websocket
        self._noise = noise
        self._stanzas: asyncio.Queue[Node | None] = asyncio.Queue()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, for whatever reason."""
        return self.ended_by != ""

    async def recv(self) -> Node | None:
        """Return the client's next stanza; None at the end, which every later call says again. One reader only."""
        node = await self._stanzas.get()
        if node is None:
            self._stanzas.put_nowait(None)
        return node

    async def send(self, node: Node) -> None:
        """Send a stanza: one frame in one message, written when this returns."""
        await self.send_raw_plain(encode(node))

    async def send_raw_plain(self, data: bytes) -> None:
        """Send any bytes as if they were a stanza, encrypted as they are: for hostile input."""
        if not self.closed:
            self._websocket.send(self._noise.encrypt(data))
            await self._tunnel.drain()

    async def close(self, code: int = 1000) -> None:
        """Send a WebSocket close with this code, then FIN."""
        self._websocket.close(code)
        self._end("server")

    def fin(self) -> None:
        """End our side of the TCP connection, with neither a WebSocket close nor a TLS goodbye."""
        self._tunnel.fin()
        self._end("server")

    def reset(self) -> None:
        """Cut the TCP connection with RST; what is on its way is lost."""
        self._tunnel.reset()
        self._end("reset")

    def ping(self) -> None:
        """Send a WebSocket ping. whatsmeow and Baileys both answer it."""
        self._websocket.ping()

    @property
    def pongs(self) -> int:
        """How many pings the client has answered."""
        return self._websocket.pongs

    @property
    def frozen(self) -> bool:
        """Whether it is a black hole now."""
        return self._tunnel.frozen

    def freeze(self) -> None:
        """Make a black hole of the connection: TCP stays up, nothing comes in, what is sent waits. A client's hang-up still ends it."""
        self._tunnel.freeze()

    def thaw(self) -> None:
        """End `freeze`: what both sides have sent meanwhile arrives, in order."""
        self._tunnel.thaw()

    async def pump(self, early: list[bytes]) -> None:
        """Take in what the client sends until it is gone (called by the gateway); `early` came with the handshake."""
        try:
            self._take(early)
            while data := await self._websocket.receive():
                self._take(self._noise.feed(data))
        except (NoiseError, NodeError) as error:
            _log.warning("%s sent what is no stanza: %s", self.user, error)
            await self.close(PROTOCOL_ERROR)
            await self._tunnel.until_gone()
        self._end("client")

    def _take(self, plaintexts: list[bytes]) -> None:
        for plaintext in plaintexts:
            if not self.closed:
                self._stanzas.put_nowait(decode(plaintext))

    def _end(self, by: Literal["client", "server", "reset"]) -> None:
        if not self.closed:
            self.ended_by = by
            self._stanzas.put_nowait(None)
