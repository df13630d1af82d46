"""A braked chat: nothing of the bot's goes out there, nothing is lost, and what an operator sends goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mail_desk import MailDesk, mail_desk
from test_courier import road

from wasess.core.message import Reply
from wasess.delivery.mailbox import MOST_HELD, REPLY, Mailbox

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_bot_is_not_asked_there_until_it_is_released(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.mailbox.brakes.enter("a", "", 1.0)
        desk.arrive("a", "one", "two")
        desk.arrive("b", "three")
        await desk.until(lambda: desk.replies == [("b", "three")] and not desk.dispatcher._turns.busy)
        assert desk.states() == {"a/one": "waiting", "a/two": "waiting", "b/three": "done"}
        assert [(one.chat, one.messages) for one in desk.mailbox.release((), 2.0, drop=False)] == [("a", 2)]
        desk.dispatcher.arrived("alice", "a")
        await desk.done()
        assert desk.replies == [("b", "three"), ("a", "one"), ("a", "two")]


async def test_it_stays_so_for_the_next_manager(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.mailbox.brakes.enter("a", "", 1.0)
        desk.arrive("a", "one")
    later = MailDesk(tmp_path, desk.dispatcher._bot)
    await later.open()
    later.arrive("b", "two")
    await later.until(lambda: later.replies == [("b", "two")])
    await later.until(lambda: not later.dispatcher._turns.busy)
    assert later.states() == {"a/one": "waiting", "b/two": "done"}
    await later.dispatcher.close()
    later.mailbox.close()


async def test_who_writes_on_in_a_braked_chat_does_not_fill_the_disk(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.mailbox.brakes.enter("a", "", 1.0)
        for number in range(MOST_HELD + 5):
            desk.arrive("a", str(number))
        assert desk.mailbox.inbox.counts() == {"waiting": MOST_HELD, "unasked": 5}


async def test_replies_wait_in_the_outbox_and_what_is_sent_by_hand_does_not(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as it:
        it.mailbox.brakes.enter("a", "", 1.0)
        for key, chat in ((f"{REPLY}1:0", "a"), ("by hand", "a"), (f"{REPLY}2:0", "b")):
            it.queue(key, chat)
        it.courier.online()
        await it.until(lambda: len(it.carried) == 2)
        await it.quiet()
        assert set(it.carried) == {"by hand", f"{REPLY}2:0"}
        [released] = it.mailbox.release(("a",), 2.0, drop=False)
        assert (released.chat, released.replies, released.messages) == ("a", 1, 0)
        it.courier.queued("a")
        await it.until(lambda: it.state(f"{REPLY}1:0") == "sent")


async def test_what_has_waited_is_given_up_when_that_is_wanted(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.mailbox.brakes.enter("a", "", 1.0)
        desk.mailbox.brakes.enter("b", "", 2.0)
        desk.arrive("a", "one")
        desk.arrive("b", "two")
        desk.mailbox.outbox.queue(f"{REPLY}1:0", "a", Reply("the bot's"), 1.0)
        desk.mailbox.outbox.queue("by hand", "a", Reply("a person's"), 1.0)
        [released] = desk.mailbox.release(("a", "c"), 3.0, drop=True)
        assert (released.chat, released.at, released.messages, released.replies) == ("a", 1.0, 1, 1)
        assert desk.states() == {"a/one": "done", "b/two": "waiting"}
        assert [letter.state for letter in desk.mailbox.outbox.letters()] == ["queued", "failed"]
        assert (desk.mailbox.brakes.chats, desk.mailbox.inbox.waiting) == ({"b"}, 1)


async def test_a_manager_hears_of_what_a_command_has_released_behind_its_back(tmp_path: Path):
    mailbox, _ = Mailbox.open("alice", tmp_path, durable=False)
    mailbox.brakes.enter("a", "", 1.0)
    other, _ = Mailbox.open("alice", tmp_path, durable=False)
    assert [one.chat for one in other.release((), 2.0, drop=False)] == ["a"]
    other.close()
    assert mailbox.brakes.chats == {"a"}
    assert [one.chat for one in mailbox.release(("a",), 3.0, drop=False)] == ["a"]
    assert mailbox.brakes.chats == frozenset()
    mailbox.close()
