from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from wasess.sandbox import Sandbox, content

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox") as sandbox:
        yield sandbox


async def ask(box: Sandbox, verb: str, **request: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(json.loads(box.contract_path.read_text())["control"])
    writer.write(json.dumps({"verb": verb, **request}).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return dict(answer)


async def say(box: Sandbox, text: str, **orders: Any) -> dict[str, Any]:
    return await ask(box, "say", contact="carol", user="alice", text=text, **orders)


@pytest.mark.parametrize(
    ("name", "options", "kind", "mime"),
    [
        ("a.jpg", {}, "image", "image/jpeg"),
        ("a.mp4", {}, "video", "video/mp4"),
        ("a.mp3", {}, "audio", "audio/mpeg"),
        ("a.mp3", {"voice": True}, "voice", "audio/ogg; codecs=opus"),
        ("a.webp", {}, "sticker", "image/webp"),
        ("a.pdf", {}, "document", "application/pdf"),
        ("a.unheard-of", {}, "document", "application/octet-stream"),
    ],
)
async def test_a_file_is_sent_as_what_its_name_says(box: Sandbox, tmp_path: Path, name: str, options: Any, kind: str, mime: str) -> None:
    (tmp_path / name).write_bytes(b"data")
    assert (await say(box, "", file=str(tmp_path / name), **options))["ok"]
    received = box.phone("alice").received[-1]
    assert (received.kind, received.file.mime, received.file.size) == (kind, mime, 4)
    assert received.file.name == (name if kind == "document" else "")


async def test_each_order_is_one_content(box: Sandbox) -> None:
    first = (await say(box, "hello"))["data"]["id"]
    poll = (await say(box, "Lunch?", poll=["yes", "no"]))["data"]["id"]
    for text, orders in (
        ("well", {"reply_to": first}),
        ("👍", {"react_to": first}),
        ("goodbye", {"edit": first}),
        ("", {"delete": first}),
        ("yes", {"vote": poll}),
        ("here", {"location": "1.5,-2"}),
    ):
        assert (await say(box, text, **orders))["ok"]
    told = [(m.kind, m.text, m.quote or m.about or m.votes or m.place or m.options) for m in box.phone("alice").received[1:]]
    assert told == [
        ("poll", "Lunch?", ("yes", "no")),
        ("text", "well", first),
        ("reaction", "👍", first),
        ("edit", "goodbye", first),
        ("delete", "", first),
        ("vote", "", poll),
        ("location", "here", (1.5, -2.0)),
    ]
    assert box.phone("alice").received[-2].votes == ("yes",)
    assert box.phone("alice").texts == ["hello", "well"]


@pytest.mark.parametrize(
    ("text", "orders", "words"),
    [
        ("x", {"react_to": "nobody"}, "no message 'nobody'"),
        ("x", {"vote": "nobody"}, "no message"),
        ("x", {"location": "north"}, "no LATITUDE,LONGITUDE"),
        ("x", {"file": "/nowhere"}, "can't be read"),
        ("x", {"edit": "a", "delete": "b"}, "one thing at a time"),
        ("x", {"dance": "a"}, "no dance"),
    ],
)
async def test_what_can_not_be_sent_is_answered_with_a_sentence(box: Sandbox, text: str, orders: Any, words: str) -> None:
    answer = await say(box, text, **orders)
    assert not answer["ok"]
    assert words in answer["error"]


async def test_phones_and_receipts_can_be_steered(box: Sandbox) -> None:
    assert (await ask(box, "phone", contact="carol", on=False))["ok"]
    assert next(a for a in (await ask(box, "state"))["data"]["accounts"] if a["name"] == "carol")["off"]
    assert "got nothing" in (await ask(box, "receipt", contact="carol", user="alice"))["error"]


async def test_a_vote_in_what_is_no_poll_and_a_message_to_a_group(box: Sandbox) -> None:
    box.group("club", "carol", "dave")
    first = box.post("carol", "club", content.text("hello"))
    with pytest.raises(ValueError, match="is no poll"):
        box.post("dave", "club", content.vote(first, "yes"))
    assert [box.contact(name).texts for name in ("carol", "dave")] == [[], ["hello"]]
