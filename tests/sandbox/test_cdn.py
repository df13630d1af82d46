from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from wasess.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BODY = b"encrypted"
TOKEN = base64.urlsafe_b64encode(hashlib.sha256(BODY).digest()).decode()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox") as sandbox:
        yield sandbox


async def ask(box: Sandbox, request: str, body: bytes = b"", length: Any = None) -> tuple[int, bytes]:
    """One HTTP request to the file server, through the proxy and TLS; what the proxy says when it is not 200."""
    port = urlsplit(json.loads(box.contract_path.read_text())["proxy"]).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        name = base64.b64encode(b"alice:x").decode()
        writer.write(f"CONNECT mmg.whatsapp.net:443 HTTP/1.1\r\nProxy-Authorization: Basic {name}\r\n\r\n".encode())
        if (status := int((await reader.readuntil(b"\r\n\r\n")).split()[1])) != 200:
            return status, b""
        await writer.start_tls(ssl.create_default_context(cafile=box.ca_file), server_hostname="mmg.whatsapp.net")
        writer.write(f"{request} HTTP/1.1\r\nHost: mmg.whatsapp.net\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(5):
            head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), content
    finally:
        writer.close()


async def test_what_is_uploaded_can_be_fetched(box: Sandbox) -> None:
    status, answer = await ask(box, f"POST /mms/image/{TOKEN}?auth={box.cdn.auth}&token={TOKEN}", BODY)
    said = json.loads(answer)
    assert (status, said["url"]) == (200, f"https://mmg.whatsapp.net{said['direct_path']}")
    assert "?" in said["direct_path"]  # clients go on with &hash=
    assert await ask(box, f"GET {said['direct_path']}&hash={TOKEN}&mms-type=image&__wa-mms=") == (200, BODY)
    assert box.cdn.get(said["direct_path"]) == BODY
    assert box.cdn.transfers == {("alice", "upload"): 1, ("alice", "download"): 1}
    assert box.state.dials == {}  # a way to the files is no dial of the session


@pytest.mark.parametrize(
    ("request_", "length", "status"),
    [
        ("GET /v/nothing.enc?x", None, 404),
        ("PUT /mms/image/x", None, 405),
        (f"POST /mms/image/{TOKEN}?auth=wrong", None, 401),
        ("POST /mms/image/wrong?auth=AUTH", None, 400),
        (f"POST /elsewhere/{TOKEN}?auth=AUTH", None, 400),
        (f"POST /mms/image/{TOKEN}?auth=AUTH", 1 << 40, 413),
        (f"POST /mms/image/{TOKEN}?auth=AUTH", "many", 413),
    ],
)
async def test_what_is_refused(box: Sandbox, request_: str, length: Any, status: int) -> None:
    body = BODY if request_.startswith("POST") else b""
    assert (await ask(box, request_.replace("AUTH", box.cdn.auth), body, length))[0] == status
    assert box.cdn.transfers == {}


async def test_a_network_that_is_down_is_down_for_files_too(box: Sandbox) -> None:
    box.fault("alice", "http_status", "connect", "502")
    assert (await ask(box, "GET /v/nothing.enc?x"))[0] == 502


@pytest.mark.parametrize("kind", ["fin", "reset"])
async def test_a_download_is_cut_in_its_middle(box: Sandbox, kind: str) -> None:
    path = box.cdn.put(bytes(100_000))
    box.fault("alice", kind, "download", "count=1")
    try:
        status, content = await ask(box, f"GET {path}")
    except ConnectionResetError:
        assert kind == "reset"
    else:
        assert (kind, status, len(content)) == ("fin", 200, 50_000)
    assert await ask(box, f"GET {path}") == (200, bytes(100_000))
