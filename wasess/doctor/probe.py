"""Tries the way to WhatsApp, step by step: name, connection, TLS, and what time it is there. Bounded: each step has 3 s.

Nothing of a session is used, and nothing is sent but ``HEAD /``. Never raises for what the network does.
"""

from __future__ import annotations

import email.utils
import socket
import ssl
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "web.whatsapp.com"
PORT = 443
WITHIN = 3.0
LONGEST_HEAD = 16 * 1024

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Step:
    """``name``: ``dns``, ``tcp`` or ``tls``. ``problem``: why it failed, empty when it went well; ``bad_time``: a certificate of another time."""

    name: str
    seconds: float
    problem: str = ""
    detail: str = ""
    bad_time: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """The steps that were tried; the last one may have failed. ``skew``: seconds this machine's clock is ahead, None when not known."""

    host: str
    port: int
    steps: tuple[Step, ...]
    skew: float | None = None

    @property
    def open(self) -> bool:
        """Whether every step went well."""
        return bool(self.steps) and not self.steps[-1].problem


def whatsapp(
    host: str = HOST, port: int = PORT, context: ssl.SSLContext | None = None, resolve: Callable[..., Any] = socket.getaddrinfo
) -> Way:
    """Go the whole way. ``context``: what is trusted, the system's authorities when it is None."""
    begun = time.monotonic()
    try:
        found = _within(WITHIN, lambda: resolve(host, port, type=socket.SOCK_STREAM))
    except (OSError, TimeoutError) as error:
        return Way(host, port, (Step("dns", time.monotonic() - begun, _why(error)),))
    addresses = list(dict.fromkeys(address[:2] for *_, address in found))
    dns = Step("dns", time.monotonic() - begun, detail=addresses[0][0])
    channel, tcp = _connect(addresses)
    if channel is None:
        return Way(host, port, (dns, tcp))
    with channel:
        tls, skew = _greet(channel, host, context or ssl.create_default_context())
    return Way(host, port, (dns, tcp, tls), skew)


def stand_in(host: str, port: int) -> Way:
    """Only see whether a stand-in's proxy takes a connection: what is dialled there counts as a session's."""
    channel, step = _connect([(host, port)])
    if channel is not None:
        channel.close()
    return Way(host, port, (step,))


def begun(work: Callable[[], Way]) -> Future[Way]:
    """The way, tried in a thread of its own; a process that ends does not wait for it."""
    future: Future[Way] = Future()
    threading.Thread(target=_complete, args=(future, work), name="probe", daemon=True).start()
    return future


def _complete(future: Future[Answer], work: Callable[[], Answer]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
        future.set_exception(error)


def _within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """What ``work`` returns or raises; `TimeoutError` when that takes longer. A resolver can't be told to hurry."""
    future: Future[Answer] = Future()
    threading.Thread(target=_complete, args=(future, work), name="resolver", daemon=True).start()
    return future.result(seconds)


def _connect(addresses: list[tuple[str, int]]) -> tuple[socket.socket | None, Step]:
    """All addresses at once (the first four): where there is no IPv6, waiting for it would cost the time of IPv4."""
    begun = time.monotonic()
    pool = ThreadPoolExecutor(4)
    tries = [pool.submit(_dial, address) for address in addresses[:4]]
    problem = ""
    won: socket.socket | None = None
    for attempt in tries:
        try:
            channel = attempt.result()
        except OSError as error:
            problem = problem or _why(error)
            continue
        if won is None:
            won = channel
        else:
            channel.close()
    pool.shutdown()
    return won, Step("tcp", time.monotonic() - begun, "" if won else problem or "no address")


def _dial(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, WITHIN)


def _greet(channel: socket.socket, host: str, context: ssl.SSLContext) -> tuple[Step, float | None]:
    begun = time.monotonic()
    channel.settimeout(WITHIN)
    try:
        secure = context.wrap_socket(channel, server_hostname=host)
    except (OSError, ValueError) as error:
        return Step("tls", time.monotonic() - begun, _why(error), bad_time=_is_about_time(error)), None
    with secure:
        step = Step("tls", time.monotonic() - begun, detail=secure.version() or "")
        return step, _skew(secure, host, begun + 2 * WITHIN)


def _skew(secure: ssl.SSLSocket, host: str, deadline: float) -> float | None:
    """The difference to the ``Date`` of an answer, which is whole seconds: less than 2 s is none."""
    head = b""
    with suppress(OSError, ValueError):
        secure.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while b"\r\n\r\n" not in head and len(head) < LONGEST_HEAD and time.monotonic() < deadline:
            part = secure.recv(4096)
            if not part:
                break
            head += part
    return _difference(head, time.time())


def _difference(head: bytes, now: float) -> float | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"date":
            with suppress(ValueError, TypeError, OverflowError):
                return now - email.utils.parsedate_to_datetime(value.decode(errors="replace").strip()).timestamp()
    return None


def _is_about_time(error: Exception) -> bool:
    """X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in {9, 10}


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return f"no answer within {WITHIN:.0f} s"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
