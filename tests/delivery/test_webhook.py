"""Webhooks over real connections to a receiver that checks signatures with the reference library."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace

import pytest
from reference_receiver import MESSAGE, OTHER_SECRET, SECRET, TEXT, TOKEN, Post, asking, http, receiving, saying, silence

from wasess.core.message import Location, Media, Message, Quote, Reply
from wasess.delivery import webhook_connection
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.webhook import WebhookBot

SOON = 10.0


async def test_a_message_arrives_signed_with_all_its_fields():
    message = replace(
        MESSAGE, kind="image", quote=Quote("Q", "s", "before"), location=Location(1.5, 2.5), mentions=("1@lid",), timestamp=1_779_984_000.0,
        media=Media("image/png", 7, "a.png", "/home/media/a.png"),
    )  # fmt: skip
    async with receiving() as receiver, asking(receiver.port) as ask:
        assert await ask(message) == Outcome(Verdict.ANSWERED)
    (post,) = receiver.posts
    assert post.line == f"POST /{TOKEN}?key={TOKEN} HTTP/1.1"
    assert post.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert post.headers["content-type"] == "application/json"
    assert post.content["type"] == "message"
    assert post.content["timestamp"] == "2026-05-28T16:00:00Z"
    assert set(post.content["data"]) == set(Message.__dataclass_fields__)
    assert post.content["data"]["text"] == TEXT
    assert post.content["data"]["media"]["path"] == "/home/media/a.png"


async def test_a_message_is_called_the_same_at_every_try_and_like_no_other():
    others = [replace(MESSAGE, **{name: "other"}) for name in ("session", "chat", "sender", "id")]
    async with receiving(http(500)) as receiver, asking(receiver.port) as ask:
        for message in (MESSAGE, MESSAGE, *others):
            await ask(message)
    first, again, *rest = [post.headers["webhook-id"] for post in receiver.posts]
    assert first == again
    assert len({first, *rest}) == 5
    assert receiver.posts[0].body == receiver.posts[1].body


async def test_a_moment_that_no_calendar_has_does_not_stop_a_message():
    async with receiving() as receiver, asking(receiver.port) as ask:
        for timestamp in (1e18, -5.0):
            assert (await ask(replace(MESSAGE, timestamp=timestamp))).verdict is Verdict.ANSWERED
    assert [post.content["timestamp"] for post in receiver.posts] == ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"]


@pytest.mark.parametrize("known", [SECRET, OTHER_SECRET])
async def test_while_secrets_change_a_receiver_may_know_either(known: str):
    async with receiving(secret=known) as receiver, asking(receiver.port, secrets=f"{OTHER_SECRET}\n{SECRET}\n") as ask:
        assert (await ask()).verdict is Verdict.ANSWERED
    assert len(receiver.posts) == 1


async def test_a_receiver_with_another_secret_refuses():
    async with receiving(secret=OTHER_SECRET) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.RAISED, detail="it answered 401")
    assert not receiver.posts


async def test_a_receiver_refuses_what_was_signed_ten_minutes_ago():
    async with receiving() as receiver, asking(receiver.port, clock=lambda: time.time() - 600) as ask:
        assert (await ask()).detail == "it answered 401"


async def test_the_answer_may_carry_replies():
    async with receiving(http(200, {"replies": ["one", {"react": "👍"}]})) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.ANSWERED, (Reply("one"), Reply(react="👍")))


async def test_an_answer_in_pieces_is_one():
    chunked = (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"reply\r\n6\r\n":"x"}\r\n0\r\n\r\n'
    )
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"

    async def answer(_post: Post, writer: asyncio.StreamWriter) -> None:
        for piece in (early, chunked[:40], chunked[40:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    async with receiving(answer) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.ANSWERED, (Reply("x"),))
        assert (await ask()).replies == (Reply("x"),)
    assert receiver.connections == 1


async def test_of_two_headers_the_first_counts():
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"reply": "x"}'
    async with receiving(answer) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.ANSWERED)


async def test_one_connection_carries_message_after_message():
    async with receiving(http(200, b"OK", "text/plain")) as receiver, asking(receiver.port) as ask:
        for _time in range(5):
            assert await ask() == Outcome(Verdict.ANSWERED)
    assert receiver.connections == 1
    assert len(receiver.posts) == 5


async def test_as_many_as_it_takes_are_asked_side_by_side():
    together = asyncio.Barrier(WebhookBot.at_once)

    async def answer(post: Post, writer: asyncio.StreamWriter) -> None:
        await together.wait()  # none is answered before all are there
        writer.write(http(200, {"reply": post.content["data"]["id"]}))

    messages = [replace(MESSAGE, id=f"M{number}") for number in range(WebhookBot.at_once)]
    async with receiving(answer) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        outcomes = await asyncio.gather(*map(ask, messages))
    assert [outcome.replies for outcome in outcomes] == [(Reply(message.id),) for message in messages]
    assert receiver.connections == WebhookBot.at_once


async def test_nobody_listens():
    async with receiving() as receiver:
        pass
    async with asking(receiver.port) as ask:
        for _time in range(3):
            assert await ask() == Outcome(Verdict.AWAY, detail="Connection refused")
        assert not ask.troubles  # that a bot is away is the dispatcher's to tell


async def test_a_receiver_that_asks_for_a_pause_gets_it():
    async with receiving(http(503, retry_after="120")) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.AWAY, detail="it answered 503", wait=120.0)


async def test_a_redirect_is_not_followed():
    async with receiving() as other:
        where = f"http://127.0.0.1:{other.port}/"
        async with receiving(http(307, location=where)) as receiver, asking(receiver.port) as ask:
            assert await ask() == Outcome(Verdict.RAISED, detail="it answered 307, and redirects are not followed")
    assert not other.connections


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 "])
async def test_an_answer_that_trickles_has_no_more_time_than_another(head: bytes):
    gone = asyncio.Event()

    async def trickle(_post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        gone.set()

    async with receiving(trickle) as receiver, asking(receiver.port, deadline=0.2) as ask, asyncio.timeout(SOON):
        assert await ask() == Outcome(Verdict.AWAY, detail="no answer within 0 s")
        await gone.wait()


async def test_no_answer_at_all():
    async with receiving(silence) as receiver, asking(receiver.port, deadline=0.2) as ask, asyncio.timeout(SOON):
        assert (await ask()) == Outcome(Verdict.AWAY, detail="no answer within 0 s")
        await receiver.ended[0].wait()


@pytest.mark.parametrize(("kind", "verdict"), [("application/json", Verdict.RAISED), ("text/plain", Verdict.ANSWERED)])
async def test_an_endless_answer_is_not_read_to_its_end(kind: str, verdict: Verdict):
    async def flood(_post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while True:
            writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
            await writer.drain()

    async with receiving(flood) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        outcome = await ask()
    assert outcome.verdict is verdict
    assert outcome.detail == ("its answer is longer than 8 MiB" if verdict is Verdict.RAISED else "")


async def test_a_head_without_end_is_no_http():
    async with receiving(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        assert await ask() == Outcome(Verdict.RAISED, detail="what it answered is no HTTP")


async def test_what_is_no_http_is_no_answer():
    async with receiving(b"220 mail.example.com ESMTP\r\n\r\n") as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.RAISED, detail="what it answered is no HTTP")


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_receiver_that_ends_before_it_has_answered(begun: bytes):
    async def end(_post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        writer.close()

    async with receiving(end) as receiver, asking(receiver.port) as ask:
        assert await ask() == Outcome(Verdict.DIED, detail="the connection ended before the answer")
    assert len(receiver.posts) == 1


async def test_an_answer_that_ends_with_the_connection():
    async def answer(_post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"reply": "old"}')
        writer.close()

    async with receiving(answer) as receiver, asking(receiver.port) as ask:
        for _time in range(2):
            assert (await ask()).replies == (Reply("old"),)
    assert receiver.connections == 2


async def test_a_connection_that_ended_while_it_was_idle_costs_nothing():
    """The receiver closes its connection just when the second message is under way: it is said again on another one."""
    first = True

    async def answer(_post: Post, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if len(receiver.posts) == 2 and first:
            first = False
            writer.transport.abort()
            return
        writer.write(http(200, {"reply": "here"}))

    async with receiving(answer) as receiver, asking(receiver.port) as ask:
        for _time in range(2):
            assert (await ask()).replies == (Reply("here"),)
    assert receiver.connections == 2


async def test_what_nobody_asked_for_is_not_taken_for_the_next_answer():
    async def answer(post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, {"reply": f"on {post.connection}"}) + http(200, {"reply": "smuggled"}))

    async with receiving(answer) as receiver, asking(receiver.port) as ask:
        assert [(await ask()).replies for _time in range(2)] == [(Reply("on 1"),), (Reply("on 2"),)]


async def test_what_comes_later_without_a_question_ends_the_connection():
    async with receiving(http(200, {"reply": "asked"})) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        await ask()
        receiver.writers[0].write(http(200, {"reply": "smuggled"}))
        await receiver.ended[0].wait()
        assert (await ask()).replies == (Reply("asked"),)
    assert receiver.connections == 2


async def test_to_close_ends_what_is_under_way():
    arrived = asyncio.Event()

    async def wait(post: Post, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await silence(post, writer)

    async with receiving(wait) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        asked = asyncio.create_task(ask())
        await arrived.wait()
        await ask.bot.close()
        assert await asked == Outcome(Verdict.RESTARTED)


async def test_who_no_longer_asks_leaves_no_answer_behind():
    arrived = asyncio.Event()

    async def wait(post: Post, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await silence(post, writer)

    async with receiving(wait) as receiver, asking(receiver.port) as ask, asyncio.timeout(SOON):
        asked = asyncio.create_task(ask())
        await arrived.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await receiver.ended[0].wait()
        receiver.answer = saying(http(200, {"reply": "new"}))
        assert (await ask()).replies == (Reply("new"),)
    assert receiver.connections == 2


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        async with asking(receiver.port) as ask:
            assert (await ask()).verdict is Verdict.ANSWERED
    assert not proxy.connections
    assert len(receiver.posts) == 1


def test_the_pauses_are_about_27_hours():
    assert 26 * 3600 < sum(WebhookBot.pauses) < 28 * 3600


async def test_an_answer_may_hold_megabytes_and_no_more_than_fit_the_memory_are_read_at_once(monkeypatch: pytest.MonkeyPatch):
    content = bytes(3 * 2**20)
    answer = http(200, {"reply": {"data": b64encode(content).decode(), "name": "a.bin"}})
    async with receiving(answer) as receiver, asking(receiver.port) as ask, asyncio.timeout(30):
        assert (await ask()).replies == (Reply(data=content, name="a.bin"),)
        monkeypatch.setattr(webhook_connection, "MOST_UNREAD", 5 * 2**20)
        outcomes = await asyncio.gather(*(ask(replace(MESSAGE, id=f"M{number}")) for number in range(8)))
        crowded = [outcome for outcome in outcomes if outcome.verdict is Verdict.AWAY]
        assert {outcome.detail for outcome in crowded} == {"other large answers are being read"}
        assert (await ask()).replies == (Reply(data=content, name="a.bin"),), "the memory is free again"
