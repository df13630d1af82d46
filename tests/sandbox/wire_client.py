"""A small WhatsApp client of the tests' own: proxy, TLS, WebSocket and Noise, sharing no code with the server but protobufs and nodes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from wasess.sandbox.nodes import Node, decode, encode
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.signal.curve import KeyPair

DEADLINE = 10


class Initiator:
    """The client's side, written from the Noise specification with another HKDF and no code of the server's."""

    def __init__(self) -> None:
        self.static = KeyPair.generate()
        self.ephemeral = KeyPair.generate()
        self.hash = self.chaining = self.key = b"Noise_XX_25519_AESGCM_SHA256" + bytes(4)
        self.counter = self.sent = self.received = 0
        self._bind(b"WA\x06\x03")

    def hello(self) -> bytes:
        self._bind(self.ephemeral.public)
        message = waWa6.HandshakeMessage(clientHello={"ephemeral": self.ephemeral.public}).SerializeToString()
        return b"WA\x06\x03" + self._frame(message)

    def finish(self, answer: bytes, payload: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the frame to send, the server's static key and its certificate chain."""
        assert int.from_bytes(answer[:3], "big") == len(answer) - 3
        hello = waWa6.HandshakeMessage.FromString(answer[3:]).serverHello
        self._bind(hello.ephemeral)
        self._mix(self.ephemeral.agree(hello.ephemeral))
        server_static = self._open(hello.static)
        self._mix(self.ephemeral.agree(server_static))
        chain = self._open(hello.payload)
        static = self._seal(self.static.public)
        self._mix(self.static.agree(hello.ephemeral))
        message = waWa6.HandshakeMessage(clientFinish={"static": static, "payload": self._seal(payload)}).SerializeToString()
        keys = self._derive(b"")
        self.write, self.read = AESGCM(keys[:32]), AESGCM(keys[32:])
        return self._frame(message), server_static, chain

    def encrypt(self, plaintext: bytes) -> bytes:
        self.sent += 1
        return self._frame(self.write.encrypt((self.sent - 1).to_bytes(12, "big"), plaintext, b""))

    def decrypt(self, frame: bytes) -> bytes:
        assert int.from_bytes(frame[:3], "big") == len(frame) - 3
        self.received += 1
        return self.read.decrypt((self.received - 1).to_bytes(12, "big"), frame[3:], b"")

    def _frame(self, data: bytes) -> bytes:
        return len(data).to_bytes(3, "big") + data

    def _bind(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _derive(self, secret: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 64, self.chaining, b"").derive(secret)

    def _mix(self, secret: bytes) -> None:
        keys = self._derive(secret)
        self.chaining, self.key, self.counter = keys[:32], keys[32:], 0

    def _nonce(self) -> bytes:
        self.counter += 1
        return (self.counter - 1).to_bytes(12, "big")

    def _seal(self, plaintext: bytes) -> bytes:
        ciphertext = AESGCM(self.key).encrypt(self._nonce(), plaintext, self.hash)
        self._bind(ciphertext)
        return ciphertext

    def _open(self, ciphertext: bytes) -> bytes:
        plaintext = AESGCM(self.key).decrypt(self._nonce(), ciphertext, self.hash)
        self._bind(ciphertext)
        return plaintext


class Client:
    """One connection, brought up step by step; each step is a method, and `dial` does them all."""

    def __init__(self, ca_file, user: str = "alice") -> None:
        self.user = user
        self.noise = Initiator()
        self.context = ssl.create_default_context(cafile=ca_file)
        self.url = "wss://web.whatsapp.com/ws/chat"
        self.payload = waWa6.ClientPayload(username=4915550001, passive=True).SerializeToString()
        self.close_code: int | None = None
        self.pongs: list[bytes] = []
        self._stream = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        self._tcp.abort()  # its owner after a failed TLS handshake is nobody; wait_closed would hang in Python 3.11

    async def dial(self, port: int) -> Self:
        await self.open(port)
        assert b" 200 " in await self.connect()
        await self.tls("web.whatsapp.com")
        assert (await self.upgrade()).status_code == 101
        await self.handshake()
        return self

    async def dial_directly(self, port: int) -> Self:
        self.url = f"wss://localhost:{port}/ws/chat?user={self.user}"
        await self.open(port)
        await self.tls("localhost")
        assert (await self.upgrade()).status_code == 101
        await self.handshake()
        return self

    async def open(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self._tcp = self.writer.transport

    async def connect(self, target: str = "web.whatsapp.com:443", authorization: str | None = None) -> bytes:
        basic = base64.b64encode(f"{self.user}:x".encode()).decode()
        header = f"Proxy-Authorization: {authorization if authorization is not None else 'Basic ' + basic}\r\n"
        self.writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")

    async def tls(self, host: str) -> None:
        await self.writer.start_tls(self.context, server_hostname=host)

    async def upgrade(self) -> Response:
        self.websocket = ClientProtocol(parse_uri(self.url), max_size=1 << 25)
        self.websocket.send_request(self.websocket.connect())
        self._flush()
        while True:
            self.websocket.receive_data(await self._read())
            for event in self.websocket.events_received():
                assert isinstance(event, Response)
                return event
            if self.websocket.handshake_exc is not None:
                raise self.websocket.handshake_exc

    async def handshake(self) -> None:
        self.send(self.noise.hello())
        frame, self.server_static, self.chain = self.noise.finish(await self.frame(), self.payload)
        self.send(frame)

    async def recv(self) -> Node:
        return decode(self.noise.decrypt(await self.frame()))

    def send_node(self, node: Node) -> None:
        self.send(self.noise.encrypt(encode(node)))

    def send(self, data: bytes) -> None:
        self.websocket.send_binary(data)
        self._flush()

    def ping(self, data: bytes) -> None:
        self.websocket.send_ping(data)
        self._flush()

    def close(self) -> None:
        self.websocket.send_close(1000)
        self._flush()

    async def frame(self) -> bytes:
        while len(self._stream) < 3 or len(self._stream) < 3 + int.from_bytes(self._stream[:3], "big"):
            await self._pump()
        end = 3 + int.from_bytes(self._stream[:3], "big")
        frame, self._stream = self._stream[:end], self._stream[end:]
        return frame

    async def pong(self) -> bytes:
        while not self.pongs:
            await self._pump()
        return self.pongs.pop(0)

    async def end(self) -> int | None:
        """Read until the server's end and return the code of its WebSocket close, if there was one."""
        try:
            while True:
                await self._pump()
        except EOFError:
            return self.close_code

    async def _pump(self) -> None:
        self.websocket.receive_data(await self._read())
        for event in self.websocket.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.BINARY:
                self._stream += event.data
            elif event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
            elif event.opcode is Opcode.CLOSE:
                self.close_code = int.from_bytes(event.data[:2], "big")
        self._flush()

    async def _read(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            data = await self.reader.read(1 << 16)
        if not data:
            raise EOFError
        return data

    def _flush(self) -> None:
        for data in self.websocket.data_to_send():
            if data:
                self.writer.write(data)
