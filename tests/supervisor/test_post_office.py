"""What people ask of a manager about messages, with scripted sessions, real mail files and real time."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from test_supervisor import QUICK, managing, ready
from village import EVENT, MoodyBot, Told, Village, link_device, spooled, text, translate, until

from wasess.core import events
from wasess.core.message import Poll, Reply
from wasess.core.sending import has_come
from wasess.delivery.mailbox import Mailbox
from wasess.errors import NotLinked, UsageError
from wasess.store.mail import MailFile
from wasess.supervisor import post_office
from wasess.supervisor.operations import Operations
from wasess.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasess.store.sessions import Home
    from wasess.supervisor.post_office import PostOffice

CAROL = "491701234567@s.whatsapp.net"


@asynccontextmanager
async def kept(
    home: Home, host: Village, *users: str, told: Told | None = None, **others: Any
) -> AsyncIterator[tuple[PostOffice, Operations]]:
    for user in users:
        link_device(home.session(user))
    told = told or Told()
    async with managing(home, host, told, settings=QUICK, **others) as (supervisor, _):
        await until(lambda: ready(told) or host.silent & host.links.keys())
        operations = Operations(supervisor, told, "sandbox", time.time)
        yield operations.post_office, operations


async def test_a_message_goes_out_and_is_followed_to_its_receipt(home: Home):
    host = Village()
    async with kept(home, host, "alice") as (office, _):
        queued = await office.send("alice", "+49 170 1234567", Reply("hello"), "order-1")
        assert (queued.state, queued.to, queued.key, queued.position) == ("queued", CAROL, "order-1", 1)
        sent = await office.letter("alice", 1, "sent", 5.0)
        assert sent.state == "sent"
        assert sent.message_id
        assert [(one.to, one.reply.text, one.key) for one in host.links["alice"].replies] == [(CAROL, "hello", "order-1")]
        waiting = asyncio.create_task(office.letter("alice", 1, "delivered", 5.0))
        host.links["alice"].frames(EVENT, spooled(events.ReceiptCame("delivered", CAROL, (sent.message_id,))))
        assert (await waiting).state == "delivered"
        assert (await office.letter("alice", 1, "queued", 0.0)).delivered_at


async def test_a_key_sends_once_and_belongs_to_one_message(home: Home):
    host = Village()
    async with kept(home, host, "alice") as (office, _):
        first = await office.send("alice", CAROL, Reply("hello"), "order-1")
        await office.letter("alice", first.position, "sent", 5.0)
        again = await office.send("alice", CAROL, Reply("hello"), "order-1")
        assert (again.position, again.state, again.queued_at) == (first.position, "sent", first.queued_at)
        for other in (Reply("bye"), Reply("hello", quote="3EB0")):
            with pytest.raises(UsageError, match="belongs to another message"):
                await office.send("alice", CAROL, other, "order-1")
        with pytest.raises(UsageError, match="belongs to another message"):
            await office.send("alice", "1203630@g.us", Reply("hello"), "order-1")
        assert len(host.links["alice"].sent) == 1


async def test_a_wait_ends_when_its_time_is_over_and_the_message_stays(home: Home):
    host = Village()
    host.silent.add("alice")
    async with kept(home, host, "alice") as (office, _):
        await office.send("alice", CAROL, Reply("hello"), "order-1")
        began = asyncio.get_running_loop().time()
        assert (await office.letter("alice", 1, "sent", 0.2)).state == "queued"
        assert 0.2 <= asyncio.get_running_loop().time() - began < 2
        host.links["alice"].frames(EVENT, spooled(events.Connected()))
        assert (await office.letter("alice", 1, "sent", 5.0)).state == "sent"


async def test_what_whatsapp_never_takes_has_failed(home: Home):
    host = Village()
    async with kept(home, host, "alice") as (office, _):
        await office.send("alice", CAROL, Reply(poll=Poll("which?", ("the only one",))), "order-1")
        failed = await office.letter("alice", 1, "delivered", 5.0)
        assert failed.state == "failed"
        assert "options" in failed.detail


async def test_a_file_is_sent_as_it_was_when_it_was_queued_and_none_of_the_home(home: Home, tmp_path: Path):
    host = Village()
    host.silent.add("alice")
    menu = tmp_path / "menu.pdf"
    menu.write_bytes(b"the menu")
    async with kept(home, host, "alice") as (office, _):
        await office.send("alice", CAROL, Reply(file=str(menu)), "order-1")
        menu.unlink()
        menu.symlink_to(home.session("alice").folder / "device.db")
        assert (await office.send("alice", CAROL, Reply(file=str(menu)), "order-1")).position == 1
        with pytest.raises(UsageError, match="home is never sent"):
            await office.send("alice", CAROL, Reply(file=str(menu)), "order-2")
        with pytest.raises(UsageError, match="can't be read"):
            await office.send("alice", CAROL, Reply(file="/nowhere/at all.pdf"), "order-3")
        host.links["alice"].frames(EVENT, spooled(events.Connected()))
        assert (await office.letter("alice", 1, "sent", 5.0)).state == "sent"
        (sent,) = host.links["alice"].replies
        assert (sent.reply, sent.content) == (Reply(file=str(menu)), b"the menu")


async def test_what_an_earlier_wasess_has_queued_is_judged_when_it_is_sent(home: Home, tmp_path: Path):
    """It noted the path alone. Nothing that waits is lost by an upgrade, and the credentials go out no more."""
    host = Village()
    (tmp_path / "menu.pdf").write_bytes(b"the menu")
    link_device(home.session("alice"))
    with closing(MailFile(home.session("alice").folder)) as mail:
        outbox = Mailbox("alice", mail).outbox
        outbox.queue("reply:1", CAROL, Reply(file=str(home.session("alice").folder / "device.db")), 1.0)
        outbox.queue("reply:2", CAROL, Reply(file=str(tmp_path / "menu.pdf")), 1.0)
    async with kept(home, host, "alice") as (office, _):
        failed, sent = [await office.letter("alice", position, "sent", 5.0) for position in (1, 2)]
        assert (failed.state, "home is never sent" in failed.detail) == ("failed", True)
        assert sent.state == "sent"
        assert [one.content for one in host.links["alice"].replies] == [b"the menu"]


async def test_more_than_a_few_are_not_kept_waiting(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(post_office, "MOST_WAITING", 2)
    host = Village()
    host.silent.add("alice")
    async with kept(home, host, "alice") as (office, _):
        await office.send("alice", CAROL, Reply("hello"), "order-1")
        patient = [asyncio.create_task(office.letter("alice", 1, "sent", 30.0)) for _ in range(2)]
        await asyncio.sleep(0)
        await until(lambda: office._waiting == 2)
        assert (await asyncio.wait_for(office.letter("alice", 1, "sent", 30.0), 1)).state == "queued"
        host.links["alice"].frames(EVENT, spooled(events.Connected()))
        assert [(await one).state for one in patient] == ["sent", "sent"]


async def test_the_end_of_the_manager_ends_a_wait(home: Home):
    host = Village()
    host.silent.add("alice")
    async with kept(home, host, "alice") as (office, _):
        await office.send("alice", CAROL, Reply("hello"), "order-1")
        waiting = asyncio.create_task(office.letter("alice", 1, "sent", 60.0))
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.done()


async def test_a_session_that_is_paused_sends_when_it_goes_on(home: Home):
    host = Village()
    async with kept(home, host, "alice") as (office, operations):
        await operations.pause("alice")
        assert (await office.send("alice", CAROL, Reply("hello"), "order-1")).state == "queued"
        assert (await asyncio.wait_for(office.letter("alice", 1, "sent", 30.0), 1)).state == "queued"
        await operations.resume("alice")
        await until(lambda: host.links["alice"].sent == [(CAROL, "hello")])


@pytest.mark.parametrize(
    ("to", "reply", "key", "problem"),
    [
        ("carol", Reply("x"), "k", "no WhatsApp address"),
        (CAROL, Reply("x"), "", "a key has"),
        (CAROL, Reply("x"), "k" * 129, "a key has"),
        (CAROL, Reply("x"), "a\nb", "a key has"),
        (CAROL, Reply("x"), "reply:1", "a key has"),
        (CAROL, Reply(), "k", "a reply is one of"),
        (CAROL, Reply("x", react="!", quote="3EB0"), "k", "no text beside"),
        (CAROL, Reply(react="!", file="/x", quote="3EB0"), "k", "a reply is one of"),
        (CAROL, Reply("x" * 65_537), "k", "65537 characters"),
        (CAROL, Reply("\ud83d"), "k", "half a character"),
        (CAROL, Reply("x", quote=True), "k", "named by its id"),
        (CAROL, Reply(react="!"), "k", "named by its id"),
        (CAROL, Reply(file="menu.pdf"), "k", "absolute"),
    ],
)
async def test_what_can_not_be_sent_is_never_queued(home: Home, to: str, reply: Reply, key: str, problem: str):
    link_device(home.session("alice"))
    supervisor = Supervisor(home, Village(), translate, Told())
    office = Operations(supervisor, Told(), "sandbox", time.time).post_office
    with pytest.raises(UsageError, match=problem):
        await office.send("alice", to, reply, key)
    assert not (home.path / "alice" / "inbox.db").exists()


async def test_who_does_not_exist_has_no_mail(home: Home):
    async with kept(home, Village(), "alice") as (office, _):
        for asked in (
            office.send("bob", CAROL, Reply("x"), "k"),
            office.letter("bob", 1, "sent", 1.0),
            office.retry("bob", [1]),
            office.drop("bob", [1]),
        ):
            with pytest.raises(NotLinked):
                await asked
        assert not (home.path / "bob").exists()
        with pytest.raises(UsageError, match="no message 99 in the outbox of alice"):
            await office.letter("alice", 99, "sent", 1.0)


async def test_a_dead_letter_is_tried_again_at_once(home: Home):
    host, bot = Village(), MoodyBot()
    async with kept(home, host, "alice", bot=bot) as (office, operations):
        host.links["alice"].frames(EVENT, spooled(text("one")), spooled(text("two")))
        await until(lambda: len(bot.asked) == 2 and operations.lives()[0].waiting == 0)
        bot.mended = True
        assert await office.retry("alice", [1, 2, 3]) == [1, 2]
        await until(lambda: [words for _to, words in host.links["alice"].sent] == ["thank you"] * 2)
        assert bot.asked == ["one", "two", "one", "two"]
        assert await office.retry("alice", [1]) == []


async def test_a_message_that_waits_for_its_next_try_can_be_hurried_and_dropped(home: Home):
    host, bot = Village(), MoodyBot(3600.0)
    async with kept(home, host, "alice", bot=bot) as (office, operations):
        host.links["alice"].frames(EVENT, spooled(text("one")), spooled(text("two")))
        await until(lambda: len(bot.asked) == 1)
        await until(lambda: postponed(home))
        bot.mended = True
        assert await office.drop("alice", [1, 7]) == [1]
        assert operations.lives()[0].waiting == 1
        assert await office.retry("alice", [1, 2]) == [], "the one was given up, the other waits already; but now it is its turn"
        await until(lambda: bot.asked == ["one", "two"])
        await until(lambda: operations.lives()[0].waiting == 0)


def postponed(home: Home) -> bool:
    with closing(MailFile(home.path / "alice", create=False)) as mail:
        item = Mailbox("alice", mail).inbox.item(1)
        return item is not None and item.tries == 1


@pytest.mark.parametrize(
    ("state", "wait", "come"),
    [
        ("queued", "queued", True),
        ("queued", "sent", False),
        ("sending", "sent", False),
        ("sent", "sent", True),
        ("sent", "delivered", False),
        ("delivered", "delivered", True),
        ("read", "sent", True),
        ("read", "delivered", True),
        ("failed", "delivered", True),
        ("unknown", "sent", True),
        ("teleported", "sent", False),
    ],
)
def test_when_somebody_has_waited_long_enough(state: str, wait: str, come: bool):
    assert has_come(state, wait) is come
