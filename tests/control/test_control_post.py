"""The part of the control socket's API that is about messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from test_control_server import Manager, post, raw

from wasess.control.client import AT_A_TIME, Client
from wasess.control.post import LONGEST_LETTER
from wasess.control.server import serving
from wasess.core.message import Location, Poll, Reply
from wasess.core.sending import Released, Sending
from wasess.errors import NotLinked, UsageError, WasessError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

CAROL = "491701234567@s.whatsapp.net"
LETTER = Sending("alice", 7, "order-1", CAROL, "sent", "3EB0AB", 1, "it was busy", 1000.25, 1001.5, None, None)


class PostOffice:
    """A `control.door.PostOffice` that writes down what it is asked. ``refuses``: with this."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refuses = refuses

    async def send(self, user: str, to: str, reply: Reply, key: str) -> Sending:
        self._note("send", user, to, reply, key)
        return LETTER

    async def letter(self, user: str, position: int, wait: str, timeout: float) -> Sending:
        self._note("letter", user, position, wait, timeout)
        return LETTER

    async def retry(self, user: str, positions: Collection[int]) -> list[int]:
        self._note("retry", user, list(positions))
        return [position for position in positions if position % 2]

    async def drop(self, user: str, positions: Collection[int]) -> list[int]:
        self._note("drop", user, list(positions))
        return list(positions)

    async def release(self, user: str, chats: Collection[str], *, drop: bool) -> list[Released]:
        self._note("release", user, list(chats), drop)
        return [Released(CAROL, 5.25, 2, 1)]

    async def resend(self, user: str, positions: Collection[int]) -> list[int]:
        self._note("resend", user, list(positions))
        return list(positions)

    async def drop_replies(self, user: str, positions: Collection[int]) -> list[int]:
        self._note("drop-replies", user, list(positions))
        return list(positions)

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.refuses:
            raise self.refuses


async def answered(home: Path, call: Callable[[Client], Any], office: PostOffice) -> Any:
    manager = Manager()
    manager.post_office = office
    async with serving(home, manager, pytest.fail):
        return await asyncio.to_thread(call, Client(home))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    return folder


REPLIES = (
    Reply("hello"),
    Reply("\U0001f600" * 65_536),
    Reply("a\0b\n\u2028", quote="3EB0", mentions=(CAROL, "1@lid")),
    Reply(file="/srv/a b.pdf", text="look", mime="application/pdf"),
    Reply(file="/srv/a.ogg", voice=True),
    Reply(react="", quote="3EB0"),
    Reply(location=Location(1.5, -2.25, "here")),
    Reply(poll=Poll("when?", ("now", "later"), 0)),
)


async def test_messages_reach_the_manager_as_they_are(home: Path):
    office = PostOffice()
    told = await answered(home, lambda client: [client.send("alice", CAROL, reply, "order-1") for reply in REPLIES], office)
    assert told == [LETTER] * len(REPLIES)
    assert office.asked == [("send", "alice", CAROL, reply, "order-1") for reply in REPLIES]


async def test_a_wait_reaches_the_manager(home: Path):
    office = PostOffice()
    asked = [(2**63 - 1, "delivered", 2.5), (7,)]
    assert await answered(home, lambda client: [client.letter("alice", *one) for one in asked], office) == [LETTER, LETTER]
    assert office.asked == [("letter", "alice", 2**63 - 1, "delivered", 2.5), ("letter", "alice", 7, "queued", 0.0)]


@pytest.mark.parametrize("verb", ["retry", "drop", "resend", "drop-replies"])
async def test_any_number_of_messages_can_be_changed(home: Path, verb: str):
    office, positions = PostOffice(), list(range(1, AT_A_TIME + 3))
    changed = await answered(home, lambda client: client.change_inbox("alice", verb, positions), office)
    assert changed == (positions[::2] if verb == "retry" else positions)
    assert office.asked == [(verb, "alice", positions[:AT_A_TIME]), (verb, "alice", positions[AT_A_TIME:])]


async def test_chats_are_released(home: Path):
    office = PostOffice()
    released = await answered(home, lambda client: client.release("alice", [CAROL], drop=True), office)
    assert (released, office.asked) == ([Released(CAROL, 5.25, 2, 1)], [("release", "alice", [CAROL], True)])


CALLS: list[Callable[[Client], Any]] = [
    lambda client: client.send("alice", CAROL, Reply("x"), "k"),
    lambda client: client.letter("alice", 1),
    lambda client: client.change_inbox("alice", "drop", [1]),
    lambda client: client.release("alice", [CAROL], drop=True),
]


@pytest.mark.parametrize("error", [NotLinked, UsageError, WasessError])
async def test_what_the_post_office_raises_is_raised_by_the_client(home: Path, error: type[WasessError]):
    def ask_all(client: Client) -> None:
        for call in CALLS:
            with pytest.raises(error, match="the sentence") as raised:
                call(client)
            assert (type(raised.value), raised.value.hint) == (error, "the hint")

    await answered(home, ask_all, PostOffice(error("the sentence", hint="the hint")))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


NONSENSE = [
    (post("/v1/sessions/alice/send", b"{}"), 400),
    (post("/v1/sessions/alice/send", b'{"to": "1", "key": "k", "reply": "text"}'), 400),
    (post("/v1/sessions/alice/send", b'{"to": "1", "key": "k", "reply": {"text": 7}}'), 400),
    (post("/v1/sessions/alice/send", b'{"to": "1", "key": "k", "reply": {}, "more": 1}'), 400),
    (post("/v1/sessions/alice/send", b'{"to": "1", "key": "k", "reply": {"text": "\\ud83d"}}'), 400),
    (post("/v1/sessions/alice/send", b" " * (LONGEST_LETTER + 1)), 413),
    (post("/v1/sessions/alice/inbox/dance", b'{"positions": []}'), 400),
    (post("/v1/sessions/alice/inbox/retry", b"{}"), 400),
    (post("/v1/sessions/alice/inbox/retry", b'{"positions": [0]}'), 400),
    (post("/v1/sessions/alice/inbox/drop", b'{"positions": [9223372036854775808]}'), 400),
    (post("/v1/sessions/alice/inbox/drop", b'{"positions": [1.5]}'), 400),
    (post("/v1/sessions/alice/inbox/release", b'{"chats": []}'), 400),
    (post("/v1/sessions/alice/inbox/release", b'{"chats": [7], "drop": false}'), 400),
    (get("/v1/sessions/alice/letters/0"), 400),
    (get("/v1/sessions/alice/letters/9223372036854775808"), 400),
    (get("/v1/sessions/alice/letters/x"), 400),
    (get("/v1/sessions/alice/letters/1?wait=read"), 400),
    (get("/v1/sessions/alice/letters/1?timeout=nan"), 400),
    (get("/v1/sessions/alice/letters/1?timeout=1e9"), 400),
    (get("/v1/sessions/alice/letters/1?timeout=soon"), 400),
    (get("/v1/sessions/alice/inbox/retry"), 405),
]


async def test_nonsense_is_refused_in_words_and_reaches_nobody(home: Path):
    manager, office = Manager(), PostOffice()
    manager.post_office = office
    async with serving(home, manager, pytest.fail):
        for sent, status in NONSENSE:
            answer = await asyncio.to_thread(raw, home, sent)
            assert answer.split(b" ")[1:2] == [str(status).encode()], (sent[:200], answer[:300])
            assert b"Traceback" not in answer
    assert not office.asked
