"""The control socket: its API, its guard, and what it does with peers that mean no good."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasess.control.address import SOCKET_NAME, connected, listening, peer_uid
from wasess.control.client import Client
from wasess.control.exchange import LONGEST_BODY
from wasess.control.server import LONGEST_HEAD, serving
from wasess.core.live import Live, ManagerInfo, Outcome
from wasess.core.states import State
from wasess.errors import Degraded, Locked, ManagerNotRunning, NotLinked, UsageError, WasessError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path
    from typing import Any

INFO = ManagerInfo(7, "1.2.3", "sandbox", 1000.5, ready=True, kept=1, online=1)
ALICE = Live("alice", State.ONLINE, "ONLINE", "", 1001.0, None, 0, 2, 1002.0, 12, 2**20, None, 1003.0, 4)
WELL = Outcome("alice", ok=True, state=State.ONLINE, code="ONLINE", detail="", seconds=0.5)


@dataclass
class Manager:
    """A `control.door.Manager` that writes down what it is asked. ``refuses``: with this."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    refuses: Exception | None = None
    post_office: Any = None

    def info(self) -> ManagerInfo:
        return INFO

    def lives(self) -> list[Live]:
        return [ALICE]

    async def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> AsyncIterator[Outcome]:
        self._note("reconnect", *users, timeout, *filter(None, [wa_version]))
        for user in users or ("alice", "bob"):
            await asyncio.sleep(0)
            yield Outcome(user, WELL.ok, WELL.state, WELL.code, WELL.detail, WELL.seconds)

    async def pause(self, user: str) -> None:
        self._note("pause", user)

    async def resume(self, user: str) -> None:
        self._note("resume", user)

    async def logout(self, user: str) -> str:
        self._note("logout", user)
        return "/home/kept"

    async def rename(self, user: str, name: str) -> None:
        self._note("rename", user, name)

    async def remove(self, user: str) -> None:
        self._note("remove", user)

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.refuses:
            raise self.refuses


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    return folder


async def answered(home: Path, call: Callable[[Client], Any], manager: Manager | None = None) -> Any:
    complaints: list[str] = []
    async with serving(home, manager or Manager(), complaints.append):
        result = await asyncio.to_thread(call, Client(home))
    assert not complaints
    return result


def raw(home: Path, *parts: bytes, patience: float = 5.0) -> bytes:
    """Say something to the socket as it is; return all that comes back until it is closed, or silent."""
    with closing(connected(home, patience)) as channel:
        try:
            for part in parts:
                channel.sendall(part)
            channel.shutdown(socket.SHUT_WR)
            got = bytearray()
            while piece := channel.recv(65536):
                got += piece
        except (BrokenPipeError, ConnectionResetError):
            return b""
    return bytes(got)


async def test_the_manager_tells_how_it_and_its_sessions_are(home: Path):
    report = await answered(home, lambda client: client.report())
    assert report.manager == INFO
    assert report.sessions == [ALICE]


async def test_outcomes_come_one_by_one(home: Path):
    manager = Manager()
    found = await answered(home, lambda client: list(client.reconnect(["bob", "alice"], 9.0)), manager)
    assert [outcome.user for outcome in found] == ["alice", "bob"]
    assert found[0] == WELL
    await answered(home, lambda client: list(client.reconnect(["bob"], 9.0, "2.3000.1053000000")), manager)
    assert manager.asked == [("reconnect", "alice", "bob", 9.0), ("reconnect", "bob", 9.0, "2.3000.1053000000")]


@pytest.mark.parametrize("verb", ["pause", "resume", "logout", "remove"])
async def test_a_command_reaches_the_manager(home: Path, verb: str):
    manager = Manager()
    answer = await answered(home, lambda client: client.command("alice", verb), manager)
    assert manager.asked == [(verb, "alice")]
    assert answer["ok"]
    assert answer.get("kept") == ("/home/kept" if verb == "logout" else None)


async def test_a_rename_brings_the_name(home: Path):
    manager = Manager()
    assert (await answered(home, lambda client: client.command("alice", "rename", name="bob"), manager))["user"] == "bob"
    assert manager.asked == [("rename", "alice", "bob")]


@pytest.mark.parametrize("error", [NotLinked, Locked, UsageError, Degraded, WasessError])
@pytest.mark.parametrize("call", [lambda client: client.command("alice", "pause"), lambda client: list(client.reconnect(["alice"], 1.0))])
async def test_what_the_manager_raises_is_raised_by_the_client(home: Path, error: type[WasessError], call: Callable[[Client], Any]):
    with pytest.raises(error, match="the sentence") as raised:
        await answered(home, call, Manager(refuses=error("the sentence", hint="the hint")))
    assert raised.value.hint == "the hint"
    assert type(raised.value) is error


class Newer(Manager):
    """Of a version that knows a code more."""

    def lives(self) -> list[Live]:
        return [replace(ALICE, code="QUANTUM_NOISE", state=State.WAITING)]

    async def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> AsyncIterator[Outcome]:
        self._note("reconnect", *users, timeout, *filter(None, [wa_version]))
        yield replace(WELL, ok=False, code="QUANTUM_NOISE", state=State.WAITING)


async def test_what_another_version_says_keeps_its_state_and_is_named(home: Path):
    report = await answered(home, lambda client: client.report(), Newer())
    [outcome] = await answered(home, lambda client: list(client.reconnect(["alice"], 1.0)), Newer())
    for found in (*report.sessions, outcome):
        assert (found.code, found.detail, found.state) == ("OTHER_VERSION", "QUANTUM_NOISE", State.WAITING)


async def test_a_bug_in_the_manager_is_an_answer_too(home: Path):
    with pytest.raises(WasessError, match="ZeroDivisionError"):
        await answered(home, lambda client: client.command("alice", "pause"), Manager(refuses=ZeroDivisionError("x")))


async def test_nobody_answers_where_nobody_listens(home: Path):
    with pytest.raises(ManagerNotRunning):
        Client(home).report()
    await answered(home, lambda client: client.report())
    assert not (home / SOCKET_NAME).exists()
    with pytest.raises(ManagerNotRunning):
        Client(home / "nowhere").report()


async def test_the_socket_is_the_owners(home: Path):
    async with serving(home, Manager(), pytest.fail):
        status = (home / SOCKET_NAME).lstat()
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600


async def test_a_socket_that_was_left_behind_is_no_obstacle(home: Path):
    listening(home).close()
    assert (home / SOCKET_NAME).exists()
    assert (await answered(home, lambda client: client.report())).manager == INFO


@pytest.mark.parametrize("length", [100, 250, 1500])
async def test_a_home_may_have_a_very_long_path(tmp_path: Path, length: int):
    home = tmp_path
    while len(str(home)) < length:
        home /= "d" * 60
    home.mkdir(mode=0o700, parents=True)
    assert (await answered(home, lambda client: client.report())).manager == INFO


async def test_a_home_that_can_have_no_socket_is_told_and_done_without(home: Path):
    (home / SOCKET_NAME).mkdir()
    complaints: list[str] = []
    async with serving(home, Manager(), complaints.append):
        pass
    assert len(complaints) == 1


OTHER_USER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[1])
try:
    channel.sendall(b"GET /v1/sessions HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(channel.recv(1000))
except OSError:  # hung up on, before or after a word
    print(b"")
"""


def open_wide(home: Path) -> None:
    home.chmod(0o755)
    (home / SOCKET_NAME).chmod(0o666)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_another_users_process_hears_nothing(home: Path):
    """The folder's mode keeps it out; should that be too open one day, the peer's uid does."""
    manager = Manager()
    async with serving(home, manager, pytest.fail):
        open_wide(home)
        script = [sys.executable, "-c", OTHER_USER, SOCKET_NAME]  # from inside: the folders above are nobody's business
        run = partial(subprocess.run, script, cwd=home, capture_output=True, text=True, check=False, timeout=20)
        done = await asyncio.to_thread(run)
        assert done.stdout.strip() == "b''", done
        assert (await asyncio.to_thread(Client(home).report)).manager == INFO


async def test_a_peer_is_known_by_its_uid():
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert peer_uid(here) == os.geteuid()


def post(path: str, body: bytes, length: int | None = None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"DELETE /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
        (post("/v1/sessions/alice/dance", b"{}"), 400),
        (post("/v1/sessions/alice/rename", b"{}"), 400),
        (post("/v1/sessions/alice/rename", b'{"name": 7}'), 400),
        (post("/v1/sessions/alice/pause", b'{"name": "x"}'), 400),
        (post("/v1/sessions/alice/pause", b"\xff\xfe{"), 400),
        (post("/v1/reconnect", b'{"timeout": -1}'), 400),
        (post("/v1/reconnect", b'{"timeout": 1e9}'), 400),
        (post("/v1/reconnect", b'{"users": "alice"}'), 400),
        (post("/v1/reconnect", b'{"wa_version": "2.3000.1"}'), 400),
        (post("/v1/reconnect", b'{"wa_version": "2.3000.1053000000\\n"}'), 400),
        (post("/v1/reconnect", b"[" * 5000), 400),
        (post("/v1/reconnect", b" " * (LONGEST_BODY + 1)), 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"A" * (LONGEST_HEAD * 8), 400),
    ],
)
async def test_nonsense_is_refused_in_words_and_reaches_nobody(home: Path, sent: bytes, status: int):
    manager = Manager()
    async with serving(home, manager, pytest.fail):
        answer = await asyncio.to_thread(raw, home, sent)
        assert answer.split(b" ")[1:2] == [str(status).encode()] or (status == 400 and not answer), answer[:200]
        assert b"Traceback" not in answer
        assert (await asyncio.to_thread(Client(home).report)).manager == INFO
    assert not manager.asked


FRAGMENTS = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/v1/sessions", b"/v1/reconnect", b"/v1/sessions/alice/pause", b" HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n"),
        *(b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"{}", b"\0"),
        *(b"5\r\nabcde\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"\xff" * 50),
    ]
)


async def test_whatever_a_peer_says_the_manager_goes_on(home: Path):
    @settings(max_examples=300)
    @given(parts=st.lists(st.one_of(FRAGMENTS, st.binary(max_size=60)), max_size=8))
    def say_anything(parts: list[bytes]) -> None:
        assert b"Traceback" not in raw(home, *parts)
        assert Client(home).report().manager == INFO

    async with serving(home, Manager(), pytest.fail):
        await asyncio.to_thread(say_anything)


async def test_peers_that_say_nothing_do_not_keep_others_out(home: Path):
    async with serving(home, Manager(), pytest.fail):
        silent = [connected(home, 5.0) for _ in range(30)]
        try:
            for channel in silent[::2]:
                channel.sendall(random.Random(1).randbytes(3))
            assert (await asyncio.to_thread(Client(home).report)).manager == INFO
        finally:
            for channel in silent:
                channel.close()


async def test_the_end_does_not_wait_for_a_peer(home: Path):
    async with serving(home, Manager(), pytest.fail):
        channel = connected(home, 5.0)
        channel.sendall(b"GET /v1/sess")
    loop = asyncio.get_running_loop()
    began = loop.time()
    channel.close()
    assert loop.time() - began < 3
