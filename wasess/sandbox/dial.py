"""How a client gets from a TCP connection to an encrypted channel, phase by phase, and what can go wrong in each.

    connect: CONNECT web.whatsapp.com:443, answered 200    tls: the handshake    upgrade: to WebSocket    noise: three messages

A way to the file server, CONNECT mmg.whatsapp.net:443, ends after tls (cdn.py goes on there). One that asks for the web client's start page
(GET /) ends in upgrade, with that page.

In every phase the client speaks first. Only then the faults of that phase strike, so a fault hits exactly the answer it is about.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from wasess.sandbox.noise import NoiseError, NoiseServer, frame_of
from wasess.sandbox.trust import HOST, MEDIA_HOST
from wasess.sandbox.websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.signal.curve import KeyPair
    from wasess.sandbox.tunnel import Tunnel

TARGET: Final = f"{HOST}:443"
MEDIA_TARGET: Final = f"{MEDIA_HOST}:443"
HEAD_END: Final = b"\r\n\r\n"
MAX_REQUEST: Final = 1 << 14
GARBAGE: Final = b"\x00\xff this is not the protocol you are looking for\r\n\r\n" * 4


class DialEnded(Exception):
    """The connection will not be established; the message says in which phase and why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server shows to every client: its TLS certificate, its Noise key and the chain that vouches for it."""

    context: ssl.SSLContext
    static: KeyPair
    chain: bytes


class Dial:
    """One client's way in. `run` does all phases; after it `user`, `websocket`, `noise` and `early` (plaintexts) are set.

    ``to_media``: it leads to the file server; then only `user` is set.
    """

    def __init__(
        self, tunnel: Tunnel, identity: Identity, faults: FaultBook, on_dial: Callable[[str], None], start_page: Callable[[str], bytes]
    ) -> None:
        self.user = ""
        self.to_media = False
        self.websocket = WebSocket(tunnel)
        self.noise = NoiseServer(identity.static, identity.chain)
        self.early: list[bytes] = []
        self._tunnel = tunnel
        self._context = identity.context
        self._faults = faults
        self._on_dial = on_dial
        self._start_page = start_page

    async def run(self, *, direct: bool) -> None:
        """Bring the client in, as a proxy's or (`direct`) as that of a plain TLS port.

        Raises:
            DialEnded: the client gave up, spoke nonsense, or met a fault.
        """
        if not direct:
            await self._connect()
        await self._tls()
        if self.to_media:
            return
        await self._upgrade(named_in_path=direct)
        await self._noise()

    async def _connect(self) -> None:
        method, target, headers = parse_request(await self._read_request())
        self.to_media = target == MEDIA_TARGET
        if method != "CONNECT" or target not in (TARGET, MEDIA_TARGET):
            self._answer(HTTPStatus.BAD_GATEWAY)
            raise DialEnded(f"connect: {method} {target} leads nowhere, only CONNECT {TARGET} and {MEDIA_TARGET} do")
        self.user = user_of(headers.get("proxy-authorization", ""))
        if not self.user:
            self._answer(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, 'Proxy-Authenticate: Basic realm="sandbox"\r\n')
            raise DialEnded("connect: the proxy address names no user: http://NAME:x@HOST:PORT")
        if not self.to_media:
            self._on_dial(self.user)
        await self._faults_of("connect")
        self._tunnel.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def _read_request(self) -> bytes:
        request = b""
        while HEAD_END not in request:
            data = await self._tunnel.read()
            request += data
            if not data or len(request) > MAX_REQUEST:
                raise self._gave_up("connect")
        return request

    async def _tls(self) -> None:
        first = await self._tunnel.read()
        if not first:
            raise self._gave_up("tls")
        self._tunnel.unread(first)
        await self._faults_of("tls")
        try:
            await self._tunnel.start_tls(self._context)
        except (ssl.SSLError, EOFError) as error:
            raise DialEnded(f"tls: {error}") from error

    async def _upgrade(self, *, named_in_path: bool) -> None:
        request = await self.websocket.request()
        if request is None:
            raise self._gave_up("upgrade")
        if named_in_path:
            self.user = parse_qs(urlsplit(request.path).query).get("user", [""])[0]
            if not self.user:
                self.websocket.refuse(HTTPStatus.BAD_REQUEST, "The address names no user: wss://HOST:PORT/ws/chat?user=NAME\n")
                raise DialEnded("upgrade: the path names no user")
            self._on_dial(self.user)
        await self._faults_of("upgrade")
        if request.path == "/":
            self._show_start_page(request.headers)
        if not self.websocket.accept(request):
            raise DialEnded("upgrade: the client asked for no WebSocket")

    def _show_start_page(self, headers: Mapping[str, str]) -> None:
        """As WhatsApp does, to browsers only (Baileys#1929)."""
        browser = headers.get("User-Agent", "").startswith("Mozilla/") and headers.get("Sec-Fetch-Site") == "none"
        if browser:
            self._tunnel.write(self._start_page(self.user))
        else:
            self._answer(HTTPStatus.BAD_REQUEST)
        raise DialEnded("upgrade: the client asked for the start page")

    async def _noise(self) -> None:
        struck = False
        while not self.noise.established:
            data = await self.websocket.receive()
            if not data:
                raise self._gave_up("noise")
            if not struck:
                struck = True
                await self._faults_of("noise")
            try:
                self.early += self.noise.feed(data)
            except NoiseError as error:
                raise DialEnded(f"noise: {error}") from error
            if reply := self.noise.take_reply():
                self.websocket.send(reply)

    async def _faults_of(self, phase: str) -> None:
        """Act out the user's faults of this phase, if any; only a delay lets the dial go on."""
        if delay := self._faults.take(self.user, "delay", phase):
            await asyncio.sleep(float(delay.value))
        for kind in ("refuse", "reset", "fin", "http_status", "stall", "garbage"):
            if fault := self._faults.take(self.user, kind, phase):
                self._strike(kind, phase, fault.value)
                await self._tunnel.until_gone()
                raise DialEnded(f"{phase}: {kind}")

    def _strike(self, kind: str, phase: str, value: str) -> None:
        if kind in {"refuse", "reset"}:
            self._tunnel.reset()
        elif kind == "fin":
            self._tunnel.fin()
        elif kind == "garbage":
            self._send_garbage(phase)
        elif kind == "http_status" and phase == "connect":
            self._answer(HTTPStatus(int(value)))
        elif kind == "http_status":
            self.websocket.refuse(int(value), "The sandbox was told to answer so.\n")

    def _send_garbage(self, phase: str) -> None:
        if phase == "noise":
            self.websocket.send(frame_of(GARBAGE))
        else:
            self._tunnel.write(GARBAGE)

    def _gave_up(self, phase: str) -> DialEnded:
        return DialEnded(f"{phase}: the client hung up or sent no request {self._tunnel.problem}".rstrip())

    def _answer(self, status: HTTPStatus, headers: str = "") -> None:
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        self._tunnel.write(head.encode())
        self._tunnel.fin()


def parse_request(data: bytes) -> tuple[str, str, dict[str, str]]:
    """Return method, target and headers (names in lower case) of an HTTP request head; what is none has an empty method."""
    line, *fields = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/1."):
        return "", "", {}
    pairs = (name_and_value.partition(":") for name_and_value in fields)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


def user_of(authorization: str) -> str:
    """Return the name in a Basic authorization; empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    try:
        name = base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return name if scheme.lower() == "basic" else ""
