"""`wasess send`, `inbox` and `tail` with the real library: messages to contacts of the sandbox, dead letters, and a reader of the stream."""

from __future__ import annotations

import hashlib
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from homes import House, until

from wasess.cli.letterbox import letterbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from wasess.delivery.mailbox import Mailbox

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

BOT = """
from pathlib import Path

def reply(text):
    if Path(__file__).with_name("broken").exists():
        raise ValueError(text)
    return "echo " + text
"""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as built:
        await built.link("alice")
        yield built


async def said(house: House, *words: str, code: int = 0) -> dict[str, Any]:
    """The data of a command with --json."""
    running = await house.run(*words, "--json")
    assert await running.over(30) == code, running.text
    return dict(json.loads(running.out[0])["data"])


def on_disk(house: House, look: Callable[[Mailbox], Any]) -> Any:
    """Something of alice's mail."""
    with letterbox(house.home.session("alice")) as mailbox:
        assert mailbox
        return look(mailbox)


async def test_messages_reach_the_phone_of_a_contact(house: House):
    carol = house.box.contact("carol")
    number = f"+{carol.number}"
    early = await said(house, "send", "alice", number, "before anybody serves", "--wait", "queued")
    assert (early["state"], early["managed"]) == ("queued", False)
    serve = await house.serve()
    await until(lambda: carol.texts == ["before anybody serves"], lambda: f"it was sent:\n{serve.text}")

    hello = ("send", "alice", number, "hello", "--idempotency-key", "order 1", "--wait", "delivered")
    first, again = await said(house, *hello), await said(house, *hello)
    assert (first["state"], first["message_id"]) == ("delivered", carol.received[-1].id)
    assert (again["position"], again["message_id"]) == (first["position"], first["message_id"])
    assert carol.texts == ["before anybody serves", "hello"]
    house.box.receipt("carol", "alice", first["message_id"])
    await until(lambda: on_disk(house, lambda mail: mail.outbox.letter(first["position"]).state) == "read", "carol has read it")

    (house.folder / "menu.pdf").write_bytes(b"%PDF-1.4 soup")
    sent = await said(house, "send", "alice", number, "our menu", "--file", "menu.pdf", "--wait", "delivered")
    got = carol.received[-1]
    assert (got.id, got.kind, got.text) == (sent["message_id"], "document", "our menu")
    assert got.file
    assert (got.file.name, got.file.sha256) == ("menu.pdf", hashlib.sha256(b"%PDF-1.4 soup").hexdigest())

    asked = house.box.say("carol", "alice", "and the soup?")
    await until(lambda: on_disk(house, lambda mail: mail.inbox.last()), "the question came")
    await said(house, "send", "alice", number, "pea", "--reply-to", asked, "--wait", "delivered")
    assert (carol.received[-1].text, carol.received[-1].quote) == ("pea", asked)
    await said(house, "send", "alice", number, "--react", "👍", "--reply-to", asked, "--wait", "delivered")
    assert (carol.received[-1].kind, carol.received[-1].text, carol.received[-1].about) == ("reaction", "👍", asked)


async def test_an_outage_and_a_killed_manager_lose_no_message_and_double_none(house: House):
    carol = house.box.contact("carol")
    serve = await house.serve()
    await house.online(serve, "alice")
    house.box.fault("alice", "refuse")
    house.box.fault("alice", "rst")
    await until(lambda: not house.device("alice").online, "the outage began")
    hello = ("send", "alice", carol.number, "hello", "--idempotency-key", "order 1", "--wait", "delivered")
    late = await said(house, *hello, "--timeout", "0.5", code=3)
    assert late["state"] == "queued"
    await serve.kill()
    house.box.clear("alice")
    serve = await house.serve()
    await serve.said("manager starting")
    await until(lambda: house.device("alice").online, "the outage is over")
    found = await said(house, *hello)
    assert (found["state"], found["position"]) == ("delivered", late["position"])
    assert carol.texts == ["hello"]
    assert "hello" not in serve.text


async def test_dead_letters_are_tried_again_and_everything_is_in_the_stream(house: House):
    (house.folder / "broken").touch()
    serve = await house.serve(bot=BOT)
    await house.online(serve, "alice")
    stream = await house.run("tail", "alice", "--as", "crm", "--follow", "--json")
    for contact, words in (("carol", "one"), ("dave", "two"), ("erin", "three")):
        house.box.say(contact, "alice", words)
    await until(lambda: sum("gave up on message" in line for line in serve.log) == 3, lambda: f"three dead letters:\n{serve.text}", 30)
    listed = await said(house, "inbox")
    assert {row["state"] for row in listed["messages"]} == {"dead"}
    (house.folder / "broken").unlink()
    places = on_disk(house, lambda mail: {item.message.text: item.seq for item in mail.inbox.items() if item.message})
    dropped = await said(house, "inbox", "drop", "alice", str(places["one"]), "--yes")
    assert dropped == {"user": "alice", "dropped": [places["one"]], "refused": [], "managed": True}
    retried = await said(house, "inbox", "retry", "alice", "--all")
    assert retried["retried"] == sorted([places["two"], places["three"]])
    await until(lambda: house.answers("dave") == ["two"] and house.answers("erin") == ["three"], lambda: f"answers:\n{serve.text}")
    await until(lambda: len(stream.out) == 3, lambda: f"three lines:\n{stream.text}")
    stream.signal(signal.SIGINT)
    assert await stream.over() == 130
    told = [json.loads(line) for line in stream.out]
    assert sorted(line["message"]["text"] for line in told[:3]) == ["one", "three", "two"]
    assert house.answers("carol") == []
    assert [line["position"] for line in told[:3]] == [1, 2, 3]
    assert told[3]["error"]["code"] == "INTERRUPTED"
    again = await house.run("tail", "alice", "--as", "crm", "--json")
    assert (await again.over(), again.out) == (0, [])
