"""The control socket when it is crowded, when peers are slow, and when what they send is odd: a command of ours always gets in."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_control_post import PostOffice
from test_control_server import INFO, Manager, post, raw

from wasess.control import protocol
from wasess.control.address import connected
from wasess.control.app import MOST_RECONNECTS
from wasess.control.client import Client
from wasess.control.protocol import MOST_AT_ONCE
from wasess.control.server import serving
from wasess.errors import Locked

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Collection, Iterator
    from pathlib import Path

    from wasess.core.live import Live, Outcome

QUICK = 0.3
GET = b"GET /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """All deadlines are short."""
    for name in ("HEAD_WITHIN", "BODY_WITHIN", "TAKEN_WITHIN"):
        monkeypatch.setattr(protocol, name, QUICK)


@contextmanager
def held(home: Path, count: int, *said: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that stay open, each of which has said something."""
    with ExitStack() as stack:
        channels = [stack.enter_context(closing(connected(home, 5.0))) for _ in range(count)]
        for channel in channels:
            for part in said:
                channel.sendall(part)
        yield channels


def told(home: Path) -> float:
    """Ask as a command does; return how many seconds that took."""
    began = time.monotonic()
    assert Client(home).report().manager == INFO
    return time.monotonic() - began


def hung_up_within(channel: socket.socket, seconds: float, word: bytes = b"") -> bytes:
    """What comes until the other end hangs up, while ``word`` is said byte by byte."""
    deadline = time.monotonic() + seconds
    channel.settimeout(0.02)
    got, rest = b"", word
    while time.monotonic() < deadline:
        try:
            if rest:
                channel.sendall(rest[:1])
                rest = rest[1:]
            piece = channel.recv(65536)
            if not piece:
                return got
            got += piece
        except TimeoutError:
            continue
        except OSError:
            return got
    raise AssertionError(f"the manager did not hang up within {seconds} s")


# --- a place for our own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [(), (b"GET /v1/sess",), (post("/v1/reconnect", b"{", 10),), (GET,)],
    ids=["nothing", "half a head", "half a body", "a request, and then nothing"],
)
@pytest.mark.parametrize("count", [MOST_AT_ONCE, 4 * MOST_AT_ONCE])
async def test_connections_that_are_held_keep_no_command_out(home: Path, said: tuple[bytes, ...], count: int):
    """Before issue 13, 64 of them did, for as long as they were held."""
    async with serving(home, Manager(), pytest.fail):

        def crowded() -> list[float]:
            with held(home, count, *said):
                return [told(home) for _ in range(20)]

        assert max(await asyncio.to_thread(crowded)) < 2


async def test_those_that_hold_on_are_let_go(home: Path, quick: None):
    async with serving(home, Manager(), pytest.fail):

        def all_gone() -> None:
            with held(home, 3) as silent, held(home, 3, b"GET /v1/sess") as slow, held(home, 3, GET) as idle:
                for channel in silent:
                    assert hung_up_within(channel, 10) == b""
                for channel in slow:
                    hung_up_within(channel, 10)
                for channel in idle:
                    assert hung_up_within(channel, 10).startswith(b"HTTP/1.1 200")

        await asyncio.to_thread(all_gone)


@pytest.mark.parametrize(
    "word",
    [GET[:-2] + b"X-A: " + b"a" * 5000, post("/v1/reconnect", b" " * 5000, 9000), GET + GET[:-2] + b"X-A: " + b"a" * 5000],
    ids=["head", "body", "second head"],
)
async def test_one_byte_at_a_time_is_not_enough(home: Path, quick: None, word: bytes):
    whole = word[: word.rfind(b"\r\n\r\n") + 4]
    async with serving(home, Manager(), pytest.fail):

        def trickle() -> float:
            with held(home, 1, whole) as [channel]:
                began = time.monotonic()
                hung_up_within(channel, 20, word[len(whole) :])
                return time.monotonic() - began

        assert await asyncio.to_thread(trickle) < 10 * QUICK


class Talkative(Manager):
    """Has much to say."""

    def lives(self) -> list[Live]:
        return [*super().lives()] * 20_000


async def test_an_answer_that_nobody_takes_is_dropped(home: Path, quick: None):
    async with serving(home, Talkative(), pytest.fail):

        def take_nothing() -> bytes:
            with held(home, 1, GET) as [channel]:
                time.sleep(4 * QUICK)
                return raw_rest(channel)

        got = await asyncio.to_thread(take_nothing)
    assert got.startswith(b"HTTP/1.1 200")
    assert len(got) < 1_000_000


def raw_rest(channel: socket.socket) -> bytes:
    got = b""
    try:
        while piece := channel.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


class Slow(Manager):
    """Takes its time to reconnect. ``begun`` once somebody has asked."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> AsyncIterator[Outcome]:
        self._note("reconnect", *users, timeout, *filter(None, [wa_version]))
        self.begun.set()
        await self.go_on.wait()
        for _ in ():
            yield _


async def test_repairs_that_take_long_leave_places(home: Path):
    manager = Slow()
    async with serving(home, manager, pytest.fail):

        def crowded() -> None:
            with held(home, MOST_AT_ONCE, post("/v1/reconnect", b'{"timeout": 3000}')):
                assert told(home) < 2
                with pytest.raises(Locked):
                    list(Client(home).reconnect([], 1.0))

        await asyncio.to_thread(crowded)
        assert len(manager.asked) == MOST_RECONNECTS
        manager.go_on.set()


# --- odd requests -----------------------------------------------------------------------------------------------------

DEEP = 100_000
ODD = {
    "no JSON": b"hello",
    "half of it": b'{"users": ["alice"',
    "two of them": b"{}{}",
    "an array": b"[]",
    "a number": b"7",
    "null": b"null",
    "NaN": b'{"timeout": NaN}',
    "infinity": b'{"timeout": 1e999}',
    "a huge number": b'{"timeout": ' + b"9" * 5000 + b"}",
    "a wrong type": b'{"timeout": "1"}',
    "a wrong type inside": b'{"users": [{}]}',
    "an unknown field": b'{"colour": "red"}',
    "deep": b"[" * DEEP,
    "deep inside": b'{"users": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep in an unknown field": b'{"x": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "no UTF-8": b'{"users": ["\xff\xfe"]}',
    "half an emoji": b'{"users": ["\\ud83d"]}',
    "a NUL": b'{"users": ["\\u0000"]}\0',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"timeout": 1}'.encode("utf-16"),
    "ten megabytes": b" " * 10_000_000,
}
PATHS = [
    b"/v1/sessions/alice/letters/" + b"9" * 5000,
    b"/v1/sessions/alice/letters/-1",
    b"/v1/sessions/alice/letters/1?wait=for%20ever",
    b"/v1/sessions/alice/letters/1?timeout=nan",
    b"/v1/sessions/alice/letters/1?timeout=" + b"9" * 5000,
    b"/v1/sessions/alice/letters/%00",
    b"/v1/sessions/alice/letters/%D9%A3",
    b"/v1/sessions/%ff%fe/letters/1?timeout=%ff",
    b"/v1/nothing",
    b"/v1/sessions/../../etc",
]


@contextmanager
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        yield
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def document_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def refused(home: Path, sent: bytes) -> None:
    """A status of 4xx, and a failure as a document."""
    answer = raw(home, sent)
    if not answer and len(sent) > 1_000_000:  # it was hung up on while it still spoke
        return
    assert answer, "an answer"
    status, document = document_of(answer)
    assert 400 <= status < 500, answer[:300]
    assert document["ok"] is False
    assert set(document["error"]) == {"code", "message", "retryable", "hint"}


@pytest.mark.parametrize("path", ["/v1/reconnect", "/v1/sessions/alice/pause", "/v1/sessions/alice/send", "/v1/sessions/alice/inbox/drop"])
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
async def test_an_odd_body_is_refused(home: Path, caplog: pytest.LogCaptureFixture, path: str, body: bytes):
    manager = Manager(post_office=PostOffice())
    with no_traceback(caplog):
        async with serving(home, manager, pytest.fail):
            await asyncio.to_thread(refused, home, post(path, body))
            assert await asyncio.to_thread(told, home) < 2
    assert not manager.asked
    assert not manager.post_office.asked


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:50].decode())
async def test_an_odd_address_is_refused(home: Path, caplog: pytest.LogCaptureFixture, path: bytes):
    with no_traceback(caplog):
        async with serving(home, Manager(post_office=PostOffice()), pytest.fail):
            await asyncio.to_thread(refused, home, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


CHUNKED = b"POST /v1/reconnect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "a chunk of no length": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative length": CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer": CHUNKED + b"2\r\n{}}}}}\r\n0\r\n\r\n",
    "two lengths": b"POST /v1/reconnect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"POST /v1/reconnect HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}",
    "a length of letters": b"POST /v1/reconnect HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n{}",
    "no host": b"GET /v1/sessions HTTP/1.1\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "a header of no name": b"GET /v1/sessions HTTP/1.1\r\n: x\r\n\r\n",
    "a header on and on": b"GET /v1/sessions HTTP/1.1\r\nX: " + b"x" * 200_000,
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_request_is_refused(home: Path, caplog: pytest.LogCaptureFixture, sent: bytes):
    with no_traceback(caplog):
        async with serving(home, Manager(), pytest.fail):
            await asyncio.to_thread(refused, home, sent)
            assert await asyncio.to_thread(told, home) < 2


PIECES = st.sampled_from(
    [
        *(GET, GET[:-2], CHUNKED, b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n", post("/v1/reconnect", b"{}"), post("/v1/reconnect", b"{", 5)),
        *(
            post("/v1/sessions/alice/pause", b" " * 70_000),
            GET.replace(b"1.1", b"1.0"),
            b"\r\n\r\n",
            b"\0",
            b"Expect: 100-continue\r\n\r\n",
        ),
        GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        post("/v1/sessions/alice/letters/1", b"x" * 100).replace(b"Connection: close", b"Expect: 100-continue"),
    ]
)


async def test_no_conversation_has_a_traceback(home: Path, caplog: pytest.LogCaptureFixture):
    """Also when the peer hangs up at any moment, in the middle of its request or of the answer."""

    @settings(max_examples=300)
    @given(parts=st.lists(st.one_of(PIECES, st.binary(max_size=60)), max_size=8), reads=st.booleans())
    def say_anything(parts: list[bytes], reads: bool) -> None:
        if reads:
            answer = raw(home, *parts)
            assert b"Traceback" not in answer
            assert b"500 Internal" not in answer
        else:
            with closing(connected(home, 5.0)) as channel:
                try:
                    channel.sendall(b"".join(parts))
                except OSError:
                    return

    loop = asyncio.get_running_loop()
    failures: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    with no_traceback(caplog):
        async with serving(home, Manager(post_office=PostOffice()), pytest.fail):
            await asyncio.to_thread(say_anything)
            assert await asyncio.to_thread(told, home) < 2
    assert not failures


async def test_a_peer_that_leaves_in_the_middle_is_no_error(home: Path, caplog: pytest.LogCaptureFixture):
    manager = Slow()
    with no_traceback(caplog):
        async with serving(home, manager, pytest.fail):
            for sent in (post("/v1/reconnect", b"{", 10), post("/v1/reconnect", b"{}")):
                channel = connected(home, 5.0)
                channel.sendall(sent)
                await asyncio.sleep(0.1)
                channel.close()
            await asyncio.wait_for(manager.begun.wait(), 10)
            manager.go_on.set()
            assert await asyncio.to_thread(told, home) < 2
