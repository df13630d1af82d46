"""One TCP connection under full control: TLS on demand, and every way a network can end or hang.

The sandbox does TLS itself, in memory, on top of the plain TCP transport. So a half-close, a reset and a black hole are real ones,
and a connection can start as an HTTP proxy request and become TLS later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Final

CHUNK: Final = 1 << 16
LINGER: Final = 5.0  # how long a client has to hang up after our half-close
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds


class Tunnel(asyncio.Protocol):
    """A connection as a stream of bytes, plain until `start_tls`.

    `read` and `write` are of the innermost layer. What is written after the end is dropped, as on a real network: `read` tells the end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.problem = ""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._tls: _MemoryTls | None = None
        self._inbox = bytearray()
        self._ended = False
        self._closed = False
        self._frozen = False
        self._held = bytearray()
        self._unsent = bytearray()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = loop.create_future()
        self._linger: asyncio.TimerHandle | None = None

    async def read(self) -> bytes:
        """Return what has arrived, at least one byte; nothing at the end, which every later call says again."""
        while not self._inbox and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    def unread(self, data: bytes) -> None:
        """Put bytes back before everything that `read` has not returned."""
        self._inbox[:0] = data

    def write(self, data: bytes) -> None:
        """Send bytes, in order, as soon as the network takes them."""
        if not self._ended:
            self._send(data if self._tls is None else self._tls.encrypt(data))

    async def drain(self) -> None:
        """Wait until the network has taken most of what was written. A frozen tunnel waits for nobody."""
        if not self._frozen:
            await self._writable.wait()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Answer the client's TLS handshake; from here on the stream is what TLS carries.

        Raises:
            ssl.SSLError: the client speaks no TLS or does not accept our certificate.
            EOFError: the client has hung up.
        """
        tls = _MemoryTls(context)
        while not self._shake_hands(tls):
            raw = await self.read()
            if not raw:
                raise EOFError("the client hung up in the TLS handshake")
            tls.feed(raw)
        self._tls = tls
        self._receive(b"")  # the client's first request may have come with the end of its handshake

    def _shake_hands(self, tls: _MemoryTls) -> bool:
        try:
            return tls.shake_hands()
        finally:
            self._send(tls.take_outgoing())  # an alert too

    async def until_gone(self) -> None:
        """Ignore whatever arrives until the client hangs up."""
        while await self.read():
            pass

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._ended

    @property
    def frozen(self) -> bool:
        """Whether it is a black hole now."""
        return self._frozen

    def freeze(self) -> None:
        """Turn into a black hole: nothing that arrives is seen, nothing that is written leaves; the TCP connection stays up."""
        self._frozen = True

    def thaw(self) -> None:
        """Let through, in order, what both sides have sent since `freeze`."""
        self._frozen = False
        held, unsent = bytes(self._held), bytes(self._unsent)
        self._held.clear()
        self._unsent.clear()
        self._send(unsent)
        self._receive(held)

    def fin(self) -> None:
        """Send what is pending, then FIN; a client that does not hang up in turn is cut off after 5 s."""
        if self._transport is None or self._transport.is_closing() or self._linger is not None:
            return
        self._linger = self._loop.call_later(LINGER, self._transport.abort)
        with contextlib.suppress(OSError):  # the client may have hung up a moment ago
            self._transport.write_eof()

    def reset(self) -> None:
        """Drop what is pending and send RST."""
        if self._transport is not None and not self._transport.is_closing():
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection now, whatever its state, and wait until it is."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
            await self._gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection (called by asyncio)."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (narrows a type that asyncio leaves open)
        self._transport = transport
        if self._closed:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes off the network (called by asyncio)."""
        if self._frozen:
            self._held += data
        else:
            self._receive(data)

    def eof_received(self) -> bool:
        """Note the client's FIN (called by asyncio), which then closes the connection."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end (called by asyncio)."""
        self.problem = self.problem or str(exc or "")
        self._end()
        if self._linger is not None:
            self._linger.cancel()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """Make `drain` wait (called by asyncio)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drain` go on (called by asyncio)."""
        self._writable.set()

    def _receive(self, data: bytes) -> None:
        try:
            self._inbox += data if self._tls is None else self._tls.decrypt(data)
        except ssl.SSLError as error:
            self.problem = str(error)
            self.reset()
            self._end()
        if self._tls is not None:
            self._send(self._tls.take_outgoing())  # answers to a renewal of keys
        self._news.set()

    def _send(self, data: bytes) -> None:
        if self._frozen:
            self._unsent += data
        elif data and self._transport is not None and self._linger is None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        self._ended = True
        self._news.set()
        self._writable.set()


class _MemoryTls:
    """The server's end of TLS between two buffers."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, raw: bytes) -> None:
        self._incoming.write(raw)

    def take_outgoing(self) -> bytes:
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        start = 0
        while start < len(data):  # one call takes one record at most
            start += self._object.write(memoryview(data)[start:])
        return self._outgoing.read()

    def decrypt(self, raw: bytes) -> bytes:
        self._incoming.write(raw)
        data = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self._object.read(CHUNK):  # empty: the client has said goodbye, and its FIN follows
                data += piece
        return bytes(data)
