"""WebSocket over a tunnel: binary messages in and out, pings answered, and a close that may come from either side."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from wasess.sandbox.tunnel import Tunnel

MAX_MESSAGE: Final = 1 << 25  # more than the largest Noise frame
UNSUPPORTED_DATA: Final = 1003

# The library logs what a client does wrong, and why it refuses one, as errors; here that is the client's business.
QUIET: Final = logging.getLogger("wasess.sandbox.websocket.library")
QUIET.setLevel(logging.CRITICAL)


class WebSocket:
    """The server's end of one WebSocket, without extensions."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._protocol = ServerProtocol(max_size=MAX_MESSAGE, logger=QUIET)
        self.pongs = 0

    async def request(self) -> Request | None:
        """Wait for the client's upgrade request; None when it hangs up or asks for something else."""
        while data := await self._tunnel.read():
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    return event
            if self._protocol.handshake_exc is not None:
                break
        return None

    def accept(self, request: Request) -> bool:
        """Answer the request with 101, or with what is wrong with it; whether it was 101."""
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._flush()
        return response.status_code == 101

    def refuse(self, status: int, text: str) -> None:
        """Answer the request with another HTTP status."""
        self._protocol.send_response(self._protocol.reject(status, text))
        self._flush()

    async def receive(self) -> bytes:
        """Return the bytes of the binary messages that have arrived, joined; nothing at the end.

        WhatsApp's channel is a stream with lengths of its own: the borders of messages mean nothing.
        """
        while data := await self._tunnel.read():
            self._protocol.receive_data(data)
            payload = b"".join(self._take_payloads())
            self._flush()
            if payload:
                return payload
        return b""

    def send(self, data: bytes) -> None:
        """Send one binary message; after the close it is dropped."""
        if self._protocol.state.name == "OPEN":
            self._protocol.send_binary(data)
            self._flush()

    def ping(self) -> None:
        """Send a ping; `pongs` counts the answers."""
        if self._protocol.state.name == "OPEN":
            self._protocol.send_ping(b"wasess")
            self._flush()

    def close(self, code: int) -> None:
        """Send a close frame, then FIN without waiting for the client's."""
        if self._protocol.state.name == "OPEN":
            self._protocol.send_close(code)
            self._flush()
        self._tunnel.fin()

    def _take_payloads(self) -> list[bytes]:
        payloads = []
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode in {Opcode.BINARY, Opcode.CONT}:
                payloads.append(bytes(event.data))
            elif event.opcode is Opcode.PONG:
                self.pongs += 1
            elif event.opcode is Opcode.TEXT:
                self._protocol.fail(UNSUPPORTED_DATA)
        return payloads

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._tunnel.write(data)
            else:
                self._tunnel.fin()
