"""The process that fetches the file of one message, started by `link.fetcher`: whatever a stranger has put there hits this process alone.

stdin holds one JSON object, `Order`; stdout gets one JSON object, then the process is over::

    {"size": 1234}                            the file is in the descriptor it was given, and on the disk
    {"fault": FAULT, "detail": "in English"}  it is not, and what is in the descriptor is worth nothing

``long``: there is more of it than was declared or is allowed · ``forged``: it is not what its message says · ``refused``: the file server does
not have it (any more) · ``network``, ``disk``: try again.

It asks one host, over TLS, once, and follows no redirect. It needs the same memory for every file, and may not have more; what it writes, its
CPU time and its descriptors have limits too, and it dies with the manager.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import unquote, urlsplit

from wasess.link.media_cipher import BLOCK_BYTES, Forged, PlainFile, SealedFile
from wasess.link.process import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, control_process

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 443
DIALS_FOR = 3.0  # each of the addresses of a name
SILENT_FOR = 20.0
LONGEST_HEAD = 1 << 14
CHUNK = 1 << 16
# Measured: 12 MiB for a file of any size, of which 3 are the machine's certificates. Address space is counted with all libraries.
LARGEST_MEMORY = 64 * 2**20
LARGEST_SPACE = 512 * 2**20
MOST_FILES = 32
MOST_CPU = 60
NICENESS = 10  # a file that is large is work for long; messages go first
# The host's own deadline comes first; this is for a host that stands still.
ALARM_AFTER = 5
LONGEST_DETAIL = 200
# As a browser says it (whatsmeow download.go).
HEADERS = {"Origin": "https://web.whatsapp.com", "Referer": "https://web.whatsapp.com/", "Accept-Encoding": "identity"}
# The server is too busy, or did not understand us in time. Anything else but 200 is its last word.
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

SOCKS_VERSION, SOCKS_NO_LOGIN, SOCKS_PASSWORD, SOCKS_CONNECT, SOCKS_NAME, SOCKS_DONE = 5, 0, 2, 1, 3, 0
SOCKS_ADDRESS_BYTES = {1: 4, 4: 16}


class Errand(TypedDict):
    """``proxy``: a URL, empty for none; ``ca_file``: instead of the machine's authorities; ``largest``: bytes that may be written."""

    host: str
    proxy: str
    ca_file: str
    largest: int
    deadline: int
    parent: int


class Order(Errand):
    """``most``: bytes of what comes, ``largest``: of the file.

    ``key`` in hex, empty for a file that is not encrypted; ``words``: of the key's derivation; the SHA-256 of what comes and of the file in hex.
    """

    target: str
    key: str
    words: str
    sealed_digest: str
    digest: str
    most: int
    descriptor: int


class Refused(Exception):
    """The file server's last word."""


class TooLong(Exception):
    """There is more than was declared or is allowed."""


def main() -> None:
    """Carry out the order that stands in stdin."""
    order: Order = json.load(sys.stdin)
    confine(order)
    json.dump(_answer(order), sys.stdout)


def confine(order: Errand) -> None:
    """Give up what this process does not need; it ends with its parent, and soon after its deadline."""
    control_process(PR_SET_PDEATHSIG, signal.SIGKILL)
    control_process(PR_SET_DUMPABLE, 0)
    if os.getppid() != order["parent"]:
        os._exit(1)  # it died before we could be told
    os.nice(NICENESS)
    limits = {
        resource.RLIMIT_DATA: LARGEST_MEMORY,
        resource.RLIMIT_AS: LARGEST_SPACE,
        resource.RLIMIT_FSIZE: order["largest"] + BLOCK_BYTES,
        resource.RLIMIT_NOFILE: MOST_FILES,
        resource.RLIMIT_CPU: MOST_CPU,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        allowed = resource.getrlimit(limit)[1]
        wanted = value if allowed == resource.RLIM_INFINITY else min(value, allowed)
        resource.setrlimit(limit, (wanted, wanted))
    signal.alarm(order["deadline"] + ALARM_AFTER)


def _answer(order: Order) -> dict[str, Any]:
    try:
        return {"size": _fetch(order)}
    except TooLong:
        return {"fault": "long"}
    except Forged as error:
        return {"fault": "forged", "detail": str(error)}
    except Refused as error:
        return {"fault": "refused", "detail": str(error)}
    except _Unwritten as error:
        return {"fault": "disk", "detail": str(error)}
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"fault": "network", "detail": _plain(str(error)) or type(error).__name__}


def _plain(words: str) -> str:
    """What a server or a proxy may have said, harmless for a terminal and a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in words[:LONGEST_DETAIL])


class _Unwritten(Exception):
    """The disk does not take it."""


def _fetch(order: Order) -> int:
    """Return how many bytes the file has."""
    connection = connection_to(order)
    connection.request("GET", order["target"], headers=HEADERS)
    response = connection.getresponse()
    if response.status != http.client.OK:
        raise (ConnectionError if response.status in TRY_AGAIN else Refused)(f"HTTP status {response.status}")
    size = _save(response, order)
    connection.close()
    return size


def _save(response: http.client.HTTPResponse, order: Order) -> int:
    if response.length is not None and response.length > order["most"]:
        raise TooLong
    announced, come, size = response.length, 0, 0
    file = _file(order)
    write = _writer(order["descriptor"])
    while piece := response.read(min(CHUNK, order["most"] + 1 - come)):
        come += len(piece)
        if come > order["most"]:
            raise TooLong
        size += write(file.feed(piece))
    if announced is not None and come < announced:
        raise ConnectionError("the connection ended in the middle of the file")
    size += write(file.finish())
    if size > order["largest"]:
        raise TooLong
    try:
        os.fsync(order["descriptor"])
    except OSError as error:
        raise _Unwritten(error.strerror) from error
    return size


def _file(order: Order) -> PlainFile | SealedFile:
    digest = bytes.fromhex(order["digest"])
    if not order["key"]:
        return PlainFile(digest)
    return SealedFile(bytes.fromhex(order["key"]), order["words"].encode(), bytes.fromhex(order["sealed_digest"]), digest)


def _writer(descriptor: int) -> Callable[[bytes], int]:
    def write(data: bytes) -> int:
        at = 0
        try:
            while at < len(data):
                at += os.write(descriptor, memoryview(data)[at:])
        except OSError as error:
            raise _Unwritten(error.strerror) from error
        return at

    return write


# --- the way there ------------------------------------------------------------------------------------------------------


def connection_to(order: Errand) -> http.client.HTTPSConnection:
    """To the host, perhaps through a proxy, which never sees more than its name. Raises OSError."""
    host, proxy = order["host"], urlsplit(order["proxy"])
    user, password = unquote(proxy.username or ""), unquote(proxy.password or "")
    if not proxy.hostname:
        plain = _dial(host, PORT)
    elif proxy.scheme == "http":
        plain = _dial(proxy.hostname, proxy.port or 80)
        tunnel(plain, host, user, password)
    else:
        plain = _dial(proxy.hostname, proxy.port or 1080)
        socks(plain, host, user, password)
    context = ssl.create_default_context(cafile=order["ca_file"] or None)
    connection = http.client.HTTPSConnection(host, PORT, context=context)
    connection.sock = context.wrap_socket(plain, server_hostname=host)
    return connection


def _dial(host: str, port: int) -> socket.socket:
    """One address after the other, each for a moment: where IPv6 leads nowhere, IPv4 must have its turn in time."""
    channel = socket.create_connection((host, port), DIALS_FOR)
    channel.settimeout(SILENT_FOR)
    return channel


def tunnel(channel: socket.socket, host: str, user: str, password: str) -> None:
    """Have an HTTP proxy connect us to a host (RFC 9110, CONNECT). Raises OSError."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    authorization = f"Proxy-Authorization: Basic {login}\r\n" if user else ""
    channel.sendall(f"CONNECT {host}:{PORT} HTTP/1.1\r\nHost: {host}:{PORT}\r\n{authorization}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = channel.recv(1)  # nothing behind it
        if not byte or len(head) > LONGEST_HEAD:
            raise ConnectionError("the proxy hung up")
        head += byte
    status = head.partition(b" ")[2][:3].decode(errors="replace")
    if not status.startswith("2"):
        raise ConnectionError(f"the proxy answered {status}")


def socks(channel: socket.socket, host: str, user: str, password: str) -> None:
    """Have a SOCKS 5 proxy (RFC 1928, RFC 1929) connect us to a host. Raises OSError."""
    stream = channel.makefile("rb", buffering=0)
    channel.sendall(bytes([SOCKS_VERSION, 1, SOCKS_PASSWORD if user else SOCKS_NO_LOGIN]))
    if _exactly(stream, 2) != bytes([SOCKS_VERSION, SOCKS_PASSWORD if user else SOCKS_NO_LOGIN]):
        raise ConnectionError("the proxy wants another login")
    if user:
        channel.sendall(b"\x01" + b"".join(bytes([len(word)]) + word for word in (user.encode()[:255], password.encode()[:255])))
        if _exactly(stream, 2)[1] != SOCKS_DONE:
            raise ConnectionError("the proxy refuses the login")
    channel.sendall(bytes([SOCKS_VERSION, SOCKS_CONNECT, 0, SOCKS_NAME, len(host)]) + host.encode() + PORT.to_bytes(2))
    _version, answer, _reserved, kind = _exactly(stream, 4)
    if answer != SOCKS_DONE:
        raise ConnectionError(f"the proxy can't connect: SOCKS error {answer}")
    _exactly(stream, (SOCKS_ADDRESS_BYTES.get(kind) or _exactly(stream, 1)[0]) + 2)


def _exactly(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            raise ConnectionError("the proxy hung up")
        data += piece
    return data


if __name__ == "__main__":
    main()
