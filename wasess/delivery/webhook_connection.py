"""Posts to one webhook over HTTP/1.1 connections that are kept open and go to checked addresses.

asyncio and h11, which the manager has loaded for its control socket: ``create_connection(address, server_hostname=name)`` is all that it
takes to pin an address and still check the certificate for the name, and what isn't there can't be led astray: no redirects, no cookies, no
proxies out of the environment. (Measured: 1,700 to 2,600 requests a second, 32 at a time. httpx: 220, 0.14 s more at the start,
and its pool is private where the address must be pinned. aiohttp: seven packages, and its resolver hook is skipped for addresses.)
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

import h11

from wasess.delivery.webhook_address import refusal
from wasess.delivery.webhook_proof import (
    CHALLENGE_PATH,
    Challenge,
    listener_of,
    place_of,
    refusal_of_peer,
    refusal_of_socket,
)
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasess.delivery.webhook_address import Resolve
    from wasess.delivery.webhook_proof import Listener
    from wasess.delivery.webhook_spec import WebhookSpec

LONGEST_BODY = 8 * 2**20  # bytes of an answer: 6 MiB of files in base64
SMALL_BODY = 65_536  # more than this counts towards ...
MOST_UNREAD = 32 * 2**20  # ... the bytes of all answers that are being read
MOST_ADDRESSES = 4  # of one name that are tried; all are checked
IDLE_LIMIT = 15.0  # after this long a receiver may be about to close
NOT_ALLOWED, NOT_PROVEN = "WEBHOOK_NOT_ALLOWED", "WEBHOOK_NOT_PROVEN"
PROOF_SHARE = 0.9  # of the time for a connection
DIALED_AT_ONCE = 4  # to a port of this machine: the queue of a simple listener holds five
ACCEPT_PAUSES = (0.002, 0.01, 0.03, 0.05, 0.1)
FIRST_PAUSE = 0.02  # before a connection that the kernel does not know is tried again
LIFE = 300.0  # then the name is looked up again: it may have moved


class Unreachable(Exception):
    """Nobody could be asked: no message was sent. ``code``: what a person must look at, empty when it is only that nobody is there."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class Crowded(Exception):
    """The answers of others fill the memory: this one was not read."""


class HungUp(Exception):
    """The connection ended before the answer did. The receiver may or may not have read the message."""


class NotHttp(Exception):
    """What came back is no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names in lower case; of several of one name the first. ``whole``: the body ended within `LONGEST_BODY`."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = True


class Connections:
    """To one webhook. The loop that calls `post` must call `close`."""

    def __init__(
        self,
        spec: WebhookSpec,
        resolve: Resolve,
        tls: ssl.SSLContext | None,
        connect_deadline: float,
        *,
        idle_limit: float = IDLE_LIMIT,
        life: float = LIFE,
    ) -> None:
        self._spec = spec
        self._resolve = resolve
        self._tls = tls
        self._connect_deadline = connect_deadline
        self._idle_limit = idle_limit
        self._life = life
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._unread = _Unread()
        self._dialing = asyncio.Semaphore(DIALED_AT_ONCE)

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """Raises `Unreachable`, `HungUp`, `NotHttp` or `Crowded`. Has no deadline for the answer: cancel it."""
        request = h11.Request(method="POST", target=self._spec.target, headers=[*headers, ("content-length", str(len(body)))])
        used = self._take_idle()
        if used is not None:
            try:
                return await self._exchange(used, request, body)
            except HungUp:
                if used.heard:
                    raise
                # The receiver closed it as idle while we were asking. It reads each message once at the least, so say it again.
        return await self._exchange(await self._connect(), request, body)

    async def close(self) -> None:
        """End all connections at once."""
        doomed = list(self._open)
        for connection in doomed:
            connection.abort()
        for connection in doomed:
            await connection.lost.wait()
        self._idle.clear()
        self._open.clear()

    async def _exchange(self, connection: _Connection, request: h11.Request, body: bytes) -> Answer:
        try:
            answer = await connection.exchange(request, body)
        except BaseException:
            connection.abort()
            raise
        if connection.ready_again():
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh(self._idle_limit, self._life):
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        self._open = {connection for connection in self._open if not connection.lost.is_set()}
        try:
            async with asyncio.timeout(self._connect_deadline):
                connection = await (self._reach_socket() if self._spec.socket else self._reach(await self._addresses()))
        except TimeoutError:
            raise Unreachable(_("no connection within {seconds:.0f} s").format(seconds=self._connect_deadline)) from None
        self._open.add(connection)
        return connection

    async def _addresses(self) -> list[str]:
        """Return where to connect to, all of them checked."""
        if self._spec.literal is not None:
            found: Sequence[str] = [self._spec.host]
        else:
            try:
                found = await self._resolve(self._spec.host, self._spec.port)
            except OSError as error:
                raise Unreachable(_("its name can't be resolved: {problem}").format(problem=error.strerror or _words(error))) from None
        for address in found:
            self._check(address)
        return list(found[:MOST_ADDRESSES])

    def _check(self, address: str) -> None:
        reason = refusal(ip_address(address), loopback=self._spec.loopback, allowed=self._spec.allowed)
        if reason:
            sentence = _("its name leads to {address}, {reason}, which is not allowed")
            raise Unreachable(sentence.format(address=address, reason=_(reason)), NOT_ALLOWED)

    async def _reach(self, addresses: list[str]) -> _Connection:
        """Connect to the first that takes the connection and proves itself; each gets its share of the time."""
        problem, code = _("its name has no address"), ""
        for address in addresses:
            try:
                share = self._connect_deadline / len(addresses)
                async with asyncio.timeout(share):
                    return await self._dial(address, share * PROOF_SHARE)
            except Unreachable as error:
                problem, code = str(error), error.code
            except OSError as error:  # TimeoutError is one, too
                problem = problem if code else _words(error)
        raise Unreachable(problem, code)

    async def _reach_socket(self) -> _Connection:
        """Its owner is looked at before it is opened, and who listens there before anything is sent."""
        path = self._spec.socket
        try:
            if reason := refusal_of_socket(path):
                raise Unreachable(reason, NOT_PROVEN)
            _transport, connection = await asyncio.get_running_loop().create_unix_connection(self._new, path)
            if reason := refusal_of_peer(connection.own_socket):
                connection.abort()
                raise Unreachable(reason, NOT_PROVEN)
        except OSError as error:
            raise Unreachable(_words(error)) from None
        return connection

    async def _dial(self, address: str, proof_within: float) -> _Connection:
        if self._tls is not None:
            return await self._open_to(address)
        loop = asyncio.get_running_loop()
        pause, patient_until = FIRST_PAUSE, loop.time() + proof_within / 3
        while True:
            async with self._dialing:
                connection = await self._open_to(address)
                try:
                    listener = await self._listener(connection)
                except BaseException:
                    connection.abort()
                    raise
            if listener.known or loop.time() + pause > patient_until:
                break
            connection.abort()  # perhaps its listener has more room in a moment
            await asyncio.sleep(pause)
            pause *= 2
        if listener.refusal or not listener.known:
            try:
                await self._challenge(connection, listener.refusal or _("nobody knows whose its listener is"), proof_within / 2)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _open_to(self, address: str) -> _Connection:
        name = self._spec.server_name if self._tls else None
        loop = asyncio.get_running_loop()
        _transport, connection = await loop.create_connection(self._new, address, self._spec.port, ssl=self._tls, server_hostname=name)
        return connection

    async def _listener(self, connection: _Connection) -> Listener:
        """Who listens; waits a moment until they have accepted, or others would find their queue full."""
        server, client = place_of(connection.own_socket.getpeername()), place_of(connection.own_socket.getsockname())
        for pause in ACCEPT_PAUSES:
            found = await asyncio.to_thread(listener_of, server, client)
            if found.accepted or not found.known:
                return found
            await asyncio.sleep(pause)
        return await asyncio.to_thread(listener_of, server, client)

    async def _challenge(self, connection: _Connection, reason: str, within: float) -> None:
        """Return when it knows the secret. Raises `Unreachable`, with the ``reason`` why it has to."""
        challenge = Challenge(self._spec, time.time())
        length = ("content-length", str(len(challenge.body)))
        try:
            request = h11.Request(method="POST", target=CHALLENGE_PATH, headers=[*challenge.headers, length])
            async with asyncio.timeout(within):
                answer = await connection.exchange(request, challenge.body)
        except (HungUp, NotHttp, Crowded, TimeoutError):
            answer = None
        if answer is None or not challenge.met(answer.status, answer.headers, answer.body) or not connection.ready_again():
            raise Unreachable(
                _("{reason}, and it has not proven that it knows the secret").format(
                    reason=reason or _("nobody knows whose its listener is")
                ),
                NOT_PROVEN,
            )

    def _new(self) -> _Connection:
        return _Connection(self._unread)


class _Unread:
    """How many bytes of large answers are in memory."""

    def __init__(self) -> None:
        self.count = 0


class _Connection(asyncio.Protocol):
    """One request at a time. ``heard``: something has come back since it was sent; ``lost``: the connection has ended."""

    def __init__(self, unread: _Unread) -> None:
        self._unread, self._counted = unread, 0
        self.heard = False
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._opened = self._used = self._loop.time()
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._response: h11.Response | None = None
        self._body = bytearray()

    @property
    def own_socket(self) -> socket.socket:
        """Its socket."""
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        if self.lost.is_set():
            raise HungUp
        self._answer = self._loop.create_future()
        self.heard = False
        self._body.clear()
        parts = (self._http.send(event) or b"" for event in (request, h11.Data(body), h11.EndOfMessage()))
        self._transport.write(b"".join(parts))
        try:
            return await self._answer
        finally:
            self._unread.count -= self._counted
            self._counted = 0

    def ready_again(self) -> bool:
        """Whether it can carry another request; makes it ready."""
        if self.lost.is_set() or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        if self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        self._used = self._loop.time()
        return True

    def fresh(self, idle_limit: float, life: float) -> bool:
        now = self._loop.time()
        return not self.lost.is_set() and now - self._used < idle_limit and now - self._opened < life

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a TCP connection it is one that can be written to

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody has asked: it would be taken for the answer to the next message
            return
        self.heard = True
        self._read(data)

    def eof_received(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._read(b"")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        self.lost.set()
        self._fail(HungUp())

    def _read(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError:
            self._fail(NotHttp() if data else HungUp())

    def _take(self, event: object) -> bool:
        """Note what has come; return whether there may be more."""
        if isinstance(event, h11.Response):
            self._response = event
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > LONGEST_BODY:
                self._settle(whole=False)
                return False
            if len(self._body) > SMALL_BODY:
                self._unread.count += len(self._body) - self._counted
                self._counted = len(self._body)
                if self._unread.count > MOST_UNREAD:
                    self._fail(Crowded())
                    return False
        elif isinstance(event, h11.EndOfMessage):
            self._settle(whole=True)
            return False
        return isinstance(event, (h11.Response, h11.Data, h11.InformationalResponse))

    def _settle(self, *, whole: bool) -> None:
        if self._answer is None or self._answer.done() or self._response is None:
            return
        headers: dict[str, str] = {}
        for name, value in self._response.headers:
            headers.setdefault(name.decode(), value.decode("latin-1"))
        self._answer.set_result(Answer(self._response.status_code, headers, bytes(self._body), whole))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _words(error: OSError) -> str:
    """Say why a connection failed, without what asyncio adds."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _("its certificate is not accepted: {problem}").format(problem=error.verify_message)
    if isinstance(error, ssl.SSLError):
        return _("it does not speak TLS as it should: {problem}").format(problem=error.reason or type(error).__name__)
    if isinstance(error, socket.gaierror) or not error.errno:
        return type(error).__name__
    with suppress(ValueError):
        return os.strerror(error.errno)
    return type(error).__name__
