"""The way of a file to us, without WhatsApp: proxies, and what the process that fetches it may say and have. With it: tests/wire/test_wire_files.py."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import threading

import pytest

from wasess.errors import FileUnavailable, NetworkDown, WorkerFailed
from wasess.link import fetcher
from wasess.link.fetch_process import socks, tunnel
from wasess.link.fetcher import HOST, Fetcher, environment_proxy
from wasess.link.requests import WantedFile

WANTED = WantedFile("/v/1", b"k" * 32, "WhatsApp Image Keys", b"e" * 32, b"d" * 32, 9, 1000)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "socks5://proxy:1080", "https_proxy": "x"}, "socks5://proxy:1080"),
        ({"HTTP_PROXY": "http://proxy:3128", "ALL_PROXY": "http://proxy:3128"}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com, localhost"}, "http://proxy:3128"),
        *(({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": name}, "") for name in ("*", "x,.whatsapp.net", "WhatsApp.net", HOST)),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "app.net"}, "http://proxy:3128"),
    ],
)
def test_files_take_the_proxy_that_the_library_takes(environ, proxy):
    assert environment_proxy(environ) == proxy


@pytest.fixture
async def outside(monkeypatch):
    """A fetcher for WhatsApp itself; nobody leaves this machine."""
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Fetcher(None)
    yield made
    await made.close()


async def test_a_proxy_of_an_unknown_kind_is_not_passed_by(outside, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy:21")
    with pytest.raises(FileUnavailable, match="this kind"):
        await outside.fetch("alice", tmp_path, WANTED, tmp_path / "file")


class Proxy:
    """Takes one connection and answers each thing it reads with the next of ``answers``; ``heard`` is what it read."""

    def __init__(self, *answers):
        self.heard = []
        self._answers = answers
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._server.accept()
        with connection, self._server:
            for answer in self._answers:
                self.heard.append(connection.recv(4096))
                connection.sendall(answer)
            self.heard.append(connection.recv(4096))

    def close(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


async def test_a_proxy_is_told_the_host_and_nothing_else(outside, tmp_path, monkeypatch):
    proxy = Proxy(b"HTTP/1.1 200 OK\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://us%40er:pass@{proxy.address}")
    with pytest.raises(NetworkDown):
        await outside.fetch("alice", tmp_path, WANTED, tmp_path / "file")
    await asyncio.to_thread(proxy.close)
    head, hello = proxy.heard
    assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.".encode())
    assert b"Proxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n" in head
    assert hello.startswith(b"\x16\x03")  # TLS
    assert HOST.encode() in hello
    assert WANTED.target.encode() not in head + hello
    assert list(tmp_path.iterdir()) == []


async def test_a_socks_proxy_connects_by_name(outside, tmp_path, monkeypatch):
    proxy = Proxy(b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://user:pass@{proxy.address}")
    with pytest.raises(NetworkDown):
        await outside.fetch("alice", tmp_path, WANTED, tmp_path / "file")
    await asyncio.to_thread(proxy.close)
    assert proxy.heard[:3] == [
        b"\x05\x01\x02",
        b"\x01\x04user\x04pass",
        b"\x05\x01\x00\x03" + bytes([len(HOST)]) + HOST.encode() + b"\x01\xbb",
    ]
    assert proxy.heard[3].startswith(b"\x16\x03")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((b"\x05\xff",), "another login"),
        ((b"\x05\x00", b"\x05\x05\x00\x01"), "SOCKS error 5"),
        ((b"HTTP/1.1 400",), "another login"),
        ((b"\x05",), "hung up"),
    ],
)
def test_a_socks_proxy_that_refuses_says_why(answers, words):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(answers))
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match=words):
            socks(ours, HOST, "", "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 \x1b[31mProxy\r\n\r\n", "answered 407$"),
        (b"garbage\r\n\r\n", "answered"),
        (b"HTTP/1.1 200", "hung up"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20_000, "hung up"),
    ],
)
def test_a_proxy_that_refuses_says_why(answer, words):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match=words):
            tunnel(ours, HOST, "", "")


@pytest.mark.parametrize(
    "said", ["", "no JSON", "[]", "7", "null", "[" * 5000, '{"fault": "anything"}', '{"fault": []}', "{}", "x" * 10_000]
)
async def test_whatever_the_process_says_is_no_more_than_a_file_that_is_not_there(outside, tmp_path, monkeypatch, said):
    monkeypatch.setattr(fetcher, "BOOTSTRAP", f"print({said!r}, end='', flush=True)")
    with pytest.raises((WorkerFailed, NetworkDown)):
        await outside.fetch("alice", tmp_path, WANTED, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_the_process_has_limits_for_good_and_sees_nothing_of_ours(tmp_path):
    """Its own start, up to where it would dial."""
    look = (
        "import json, os, resource, sys, wasess.link.fetch_process as process\n"
        "process._answer = lambda order: {'limits': {name: resource.getrlimit(getattr(resource, name)) for name in"
        " ('RLIMIT_DATA', 'RLIMIT_AS', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_CPU', 'RLIMIT_CORE')}}\n"
        "process.main()"
    )
    order = {"largest": 1000, "deadline": 30, "parent": os.getpid()}
    done = subprocess.run([sys.executable, "-c", look], input=json.dumps(order), capture_output=True, text=True, check=True)
    limits = json.loads(done.stdout)["limits"]
    assert {name: soft == hard for name, (soft, hard) in limits.items()} == dict.fromkeys(limits, True)
    assert limits["RLIMIT_FSIZE"][0] < 1100
    assert max(limits["RLIMIT_DATA"][0], 0) == 64 * 2**20
    assert limits["RLIMIT_CORE"][0] == 0
    assert all(soft != resource.RLIM_INFINITY for soft, _ in limits.values())
    order["parent"] = 1  # whoever started it is gone
    orphan = subprocess.run([sys.executable, "-c", look], input=json.dumps(order), capture_output=True, text=True, check=False)
    assert (orphan.returncode, orphan.stdout) == (1, "")
