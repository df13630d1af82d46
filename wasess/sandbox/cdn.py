"""WhatsApp's file server on loopback: companions upload and fetch encrypted files here, over TLS through the proxy (whatsmeow upload.go).

    POST /mms/TYPE/TOKEN?auth=…&token=…    TOKEN: the body's SHA-256; answered with JSON: url, direct_path, handle
    GET  DIRECT_PATH&hash=…&mms-type=…     answered with the body, or 404

It can't read what it holds. Each connection is for one request, so that a fault hits what it is about. What a stranger has put there may
go on after its body (`Behind`): nobody has to say how much he uploads.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from wasess.sandbox.dial import GARBAGE, HEAD_END, parse_request
from wasess.sandbox.trust import MEDIA_HOST

if TYPE_CHECKING:
    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.tunnel import Tunnel

MAX_BODY: Final = 1 << 27
"""More than WhatsApp takes of anything but documents."""
MAX_HEAD: Final = 1 << 14
CHUNK: Final = 1 << 16
TTL: Final = 3600
"""Seconds a companion may go on with the ``auth`` it was given."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What follows a file's body, or comes in its place.

    ``size``: so many zero bytes more, made as they are sent; ``announced``: in the Content-Length, too. ``pause``: seconds before each byte of
    the answer's body. ``redirect``: an address that is answered instead.
    """

    size: int = 0
    announced: bool = True
    pause: float = 0.0
    redirect: str = ""


class Cdn:
    """The files, by direct path. ``transfers`` counts what went well, as ``upload`` and ``download``, of each user; ``asked`` how often each file was asked for."""

    def __init__(self, faults: FaultBook) -> None:
        self.auth = secrets.token_urlsafe(32)
        self.transfers: dict[tuple[str, str], int] = {}
        self._faults = faults
        self.asked: dict[str, int] = {}
        self._files: dict[str, bytes] = {}
        self._behind: dict[str, Behind] = {}

    def put(self, body: bytes, behind: Behind | None = None) -> str:
        """Keep an encrypted file; returns its direct path, which ends in a query as WhatsApp's do."""
        path = f"/v/t62.7118-24/{secrets.token_hex(12)}.enc"
        self._files[path] = body
        if behind is not None:
            self._behind[path] = behind
        return f"{path}?ccb=11-4&oh=sandbox&oe=sandbox"

    def unhinder(self) -> None:
        """From now on every file is served as it is, with nothing behind it."""
        self._behind.clear()

    def get(self, direct_path: str) -> bytes:
        """The file at a direct path, as a phone fetches it. Raises KeyError when it is not there."""
        return self._files[urlsplit(direct_path).path]

    def url(self, direct_path: str) -> str:
        """The whole address of a file."""
        return f"https://{MEDIA_HOST}{direct_path}"

    async def serve(self, user: str, tunnel: Tunnel) -> None:
        """Answer one request of a user's companion."""
        head, start = await _read_head(tunnel)
        method, target, headers = parse_request(head)
        if method == "POST":
            body = await _read_body(tunnel, start, headers.get("content-length", ""))
            if body is not None and await self._goes_on(user, "upload", tunnel):
                status, answer = self._upload(target, body)
                await _answer(tunnel, status, answer)
                self._count(user, "upload", status)
        elif method == "GET":
            await self._send(user, target, tunnel)
        elif method:
            await _answer(tunnel, HTTPStatus.METHOD_NOT_ALLOWED)

    def _upload(self, target: str, body: bytes) -> tuple[HTTPStatus, bytes]:
        address = urlsplit(target)
        token = address.path.rpartition("/")[2]
        if parse_qs(address.query).get("auth") != [self.auth]:
            return HTTPStatus.UNAUTHORIZED, b""
        if not address.path.startswith("/mms/") or token != base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode():
            return HTTPStatus.BAD_REQUEST, b""
        path = self.put(body)
        return HTTPStatus.OK, json.dumps({"url": self.url(path), "direct_path": path, "handle": token}).encode()

    async def _send(self, user: str, target: str, tunnel: Tunnel) -> None:
        path = urlsplit(target).path
        self.asked[path] = self.asked.get(path, 0) + 1
        try:
            body = self.get(target)
        except KeyError:
            await _answer(tunnel, HTTPStatus.NOT_FOUND)
            return
        if not await self._goes_on(user, "download", tunnel, body):
            return
        if path in self._behind:
            await _answer_at_length(tunnel, body, self._behind[path])
        else:
            await _answer(tunnel, HTTPStatus.OK, body)
        self._count(user, "download", HTTPStatus.OK)

    def _count(self, user: str, what: str, status: HTTPStatus) -> None:
        if status == HTTPStatus.OK:
            self.transfers[user, what] = self.transfers.get((user, what), 0) + 1

    async def _goes_on(self, user: str, phase: str, tunnel: Tunnel, body: bytes = b"") -> bool:
        """Act out the user's faults of this phase; after any but a delay there is nothing left to do."""
        if delay := self._faults.take(user, "delay", phase):
            await asyncio.sleep(float(delay.value))
        for kind in ("reset", "fin", "http_status", "stall", "garbage"):
            if fault := self._faults.take(user, kind, phase):
                await _strike(tunnel, kind, fault.value, body)
                return False
        return True


async def _strike(tunnel: Tunnel, kind: str, value: str, body: bytes) -> None:
    if kind == "http_status":
        await _answer(tunnel, HTTPStatus(int(value)))
    elif kind == "garbage":
        await _answer(tunnel, HTTPStatus.OK, secrets.token_bytes(len(body)) if body else GARBAGE)
    else:  # a file is cut in its middle; whoever uploads one hears nothing at all
        await _write(tunnel, _head(HTTPStatus.OK, len(body)) + body[: len(body) // 2] if body else b"")
        if kind == "stall":
            await tunnel.until_gone()
        elif kind == "reset":
            tunnel.reset()


async def _read_head(tunnel: Tunnel) -> tuple[bytes, bytes]:
    """The head of a request, and what has come of its body; nothing when the client hangs up."""
    data = b""
    while HEAD_END not in data and len(data) <= MAX_HEAD:
        piece = await tunnel.read()
        if not piece:
            return b"", b""
        data += piece
    head, _, start = data.partition(HEAD_END)
    return head + HEAD_END, start


async def _read_body(tunnel: Tunnel, start: bytes, length: str) -> bytes | None:
    """The whole body; None when the client hangs up, or (answered) when it does not say a length that is accepted."""
    size = int(length) if length.isascii() and length.isdigit() else MAX_BODY + 1
    if size > MAX_BODY:
        await _answer(tunnel, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return None
    body = bytearray(start)
    while len(body) < size:
        piece = await tunnel.read()
        if not piece:
            return None
        body += piece
    return bytes(body[:size])


def _head(status: HTTPStatus, length: int) -> bytes:
    kind = "Content-Type: application/octet-stream\r\n"
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode()


async def _answer(tunnel: Tunnel, status: HTTPStatus, body: bytes = b"") -> None:
    await _write(tunnel, _head(status, len(body)) + body)


async def _answer_at_length(tunnel: Tunnel, body: bytes, behind: Behind) -> None:
    """Answer with a file and what is behind it; stops when the client hangs up."""
    if behind.redirect:
        head = f"HTTP/1.1 302 Found\r\nLocation: {behind.redirect}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        await _write(tunnel, head.encode())
        return
    length = f"Content-Length: {len(body) + behind.size}\r\n" if behind.announced else ""
    await _write(tunnel, f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode())
    if behind.pause:
        for byte in body:
            await _write(tunnel, bytes([byte]))
            await asyncio.sleep(behind.pause)
            if tunnel.gone:
                return
    else:
        await _write(tunnel, body)
    left = behind.size
    while left > 0 and not tunnel.gone:
        await _write(tunnel, bytes(min(left, CHUNK)))
        await asyncio.sleep(0)  # a client that takes it as fast as it comes keeps nobody else waiting
        left -= CHUNK


async def _write(tunnel: Tunnel, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(data), CHUNK):
            tunnel.write(data[at : at + CHUNK])
            await tunnel.drain()
