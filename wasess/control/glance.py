"""One question to the manager without `http.client`, whose import takes longer than the answer: `verify` runs every minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wasess.control.address import connected

if TYPE_CHECKING:
    from pathlib import Path

HEAD_END = b"\r\n\r\n"
CHUNK = 256 * 1024


def got(home: Path, path: str, within: float, longest: int) -> tuple[int, bytes]:
    """GET ``path`` from the manager of ``home``; return the status and the body.

    HTTP/1.0: the answer ends with the connection. Raises OSError when there is none within so many seconds, when it is cut off, longer
    than ``longest`` bytes, or no HTTP.
    """
    deadline = time.monotonic() + within
    with connected(home, within) as channel:
        channel.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = bytearray()
        while len(answer) <= longest:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
            more = channel.recv(CHUNK)
            if not more:
                return _parsed(bytes(answer))
            answer += more
    raise ConnectionError("the answer is too long")


def _parsed(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(HEAD_END)
    try:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status, length = int(status_line.split()[1]), int(fields["content-length"])
    except (ValueError, KeyError, IndexError) as error:
        raise ConnectionError("the answer is no HTTP") from error
    if len(body) != length:
        raise ConnectionError("the answer was cut off")
    return status, body
