"""A listener of another user of the machine, who takes what he is sent: run as ``impostor.py UID PLACE PORT MANNER SECRET``.

PLACE is an address, or the path of a unix socket. It says "listening PORT" and then, for every piece that it reads, that piece as JSON. MANNER:
``greedy`` answers each request with a reply that asks for the credentials; ``late`` does, but accepts nobody in the first second; ``silent`` never
answers; ``mirror`` sends the challenge back with its own signature; ``guess`` signs its answer with a secret of its own; ``honest`` knows the secret.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

GREED = {"reply": {"file": "/etc/passwd", "text": "take this", "to": "491709999999@s.whatsapp.net"}}
OWN_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def listener(place: str, port: int) -> socket.socket:
    if place.startswith("/"):
        found = socket.socket(socket.AF_UNIX)
        found.bind(place)
        Path(place).chmod(0o777)
    else:
        found = socket.socket(socket.AF_INET6 if ":" in place else socket.AF_INET)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((place, port))
    found.listen(64)
    return found


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def request(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    """Headers and body; empty at the end."""
    data = b""
    headers: dict[str, str] = {}
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < int(headers.get("content-length", 0)):
        piece = connection.recv(65_536)
        if not piece:
            return {}, b""
        say(json.dumps(piece.decode(errors="replace")))
        data += piece
        lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    return headers, data.partition(b"\r\n\r\n")[2]


def signed(secret: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
    now, name = datetime.now(UTC), headers.get("webhook-id", "")
    signature = Webhook(secret).sign(name, now, body.decode())
    return {"webhook-id": name, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def answer(manner: str, secret: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    content: Any = json.loads(body)
    if content.get("type") == "challenge" and manner in {"honest", "guess"}:
        proof = json.dumps({"challenge": content["challenge"]}).encode()
        return signed(secret if manner == "honest" else OWN_SECRET, headers, proof), proof
    if manner == "mirror":
        return {name: value for name, value in headers.items() if name.startswith("webhook-")}, body
    return {}, json.dumps(GREED if manner != "honest" else {"reply": "hello"}).encode()


def serve(connection: socket.socket, manner: str, secret: str) -> None:
    with connection, suppress(OSError, ValueError):
        while True:
            headers, body = request(connection)
            if not headers:
                return
            if manner == "silent":
                continue
            own, content = answer(manner, secret, headers, body)
            head = {"content-type": "application/json", "content-length": str(len(content)), **own}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            connection.sendall(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + content)


def main() -> None:
    uid, place, port, manner, secret = sys.argv[1:]
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    deadline = time.monotonic() + 10
    while True:
        try:
            found = listener(place, int(port))
            break
        except OSError:  # the one before is just ending
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    say(f"listening {found.getsockname()[1] if not place.startswith('/') else 0}")
    if manner == "late":
        time.sleep(1)
    while True:
        connection, _peer = found.accept()
        threading.Thread(target=serve, args=(connection, manner, secret), daemon=True).start()


if __name__ == "__main__":
    main()
