"""What a mailbox looks up for a reply, a poll or a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from wasess.core import events
from wasess.core.message import Media, Message, Poll, Reply
from wasess.delivery.mailbox import Mailbox, Spooled, reply_key
from wasess.store.spool import Place

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.inbox import Item

CHATS = ("491701111111@s.whatsapp.net", "120363000000000000@g.us")
SENDERS = ("491701111111@s.whatsapp.net", "491702222222@s.whatsapp.net")


@pytest.fixture
def mailbox(tmp_path: Path) -> Any:
    made, _ = Mailbox.open("alice", tmp_path, durable=False)
    yield made
    made.close()


def arrive(mailbox: Mailbox, *messages: Message) -> list[Item]:
    before = mailbox.inbox.last()
    place = Place(1, "head", before + 1)
    mailbox.take_in([Spooled(events.MessageReceived(message), b"raw") for message in messages], place, 1.0, lambda _message: "waiting")
    return mailbox.inbox.items(after=before)


def test_what_is_to_be_fetched_keeps_its_event_until_it_was(mailbox: Mailbox):
    picture = Message("A", CHATS[0], SENDERS[0], "look", 0.0, kind="image", media=Media("image/png", 6))
    vote = Message("B", CHATS[0], SENDERS[0], "", 0.0, kind="vote", about="POLL")
    text = Message("C", CHATS[0], SENDERS[0], "hello", 0.0)
    items = arrive(mailbox, picture, vote, text)
    assert [item.raw for item in items] == [b"raw", b"raw", b""]
    mailbox.inbox.prepared(1, replace(picture, media=Media("image/png", 6, path="/x/1.png")))
    found = mailbox.inbox.item(1)
    assert found is not None
    assert found.message is not None
    assert (found.raw, found.message.media) == (b"", Media("image/png", 6, path="/x/1.png"))


def test_a_reply_quotes_the_message_it_answers_or_the_one_it_names(mailbox: Mailbox):
    first, second = (Message(name, CHATS[0], SENDERS[0], f"text {name}", 0.0) for name in "AB")
    items = arrive(mailbox, first, second)
    mailbox.answered(items[0], first, [Reply("re", quote=True)], 1.0)
    letter = mailbox.outbox.letters()[0]
    assert mailbox.quoted(letter, Reply(quote=True)) == first
    assert mailbox.quoted(letter, Reply(quote="B")) == second
    mailbox.outbox.sent(letter.seq, "OWN", 1.0)
    own = mailbox.quoted(letter, Reply(quote="OWN"))
    assert own is not None
    assert (own.id, own.text, own.from_me, own.sender) == ("OWN", "re", True, "")
    unknown = mailbox.quoted(letter, Reply(quote="NOWHERE"))
    assert unknown is not None
    assert (unknown.id, unknown.from_me, unknown.sender) == ("NOWHERE", False, CHATS[0])
    by_hand = mailbox.outbox.queue("key", CHATS[0], Reply("hello", quote=True), 1.0)
    assert mailbox.quoted(by_hand, Reply(quote=True)) is None


def test_the_options_of_a_poll_are_known_whoever_made_it(mailbox: Mailbox):
    poll = Poll("what?", ("tea", "coffee"))
    arrive(
        mailbox, Message("POLL", CHATS[0], SENDERS[0], "what?", 0.0, kind="poll", poll=poll), Message("A", CHATS[0], SENDERS[0], "", 0.0)
    )
    letter = mailbox.outbox.queue("key", CHATS[0], Reply(poll=Poll("which?", ("one", "two"))), 1.0)
    mailbox.outbox.sent(letter.seq, "OURS", 1.0)
    assert mailbox.options(CHATS[0], "POLL") == ("tea", "coffee")
    assert mailbox.options(CHATS[0], "OURS") == ("one", "two")
    assert mailbox.options(CHATS[0], "A") == mailbox.options(CHATS[0], "?") == mailbox.options(CHATS[1], "POLL") == ()


def test_a_key_tells_nobodys_address_and_is_another_for_each_message_and_reply():
    messages = [Message(name, chat, SENDERS[0], "", 0.0) for name in "AB" for chat in CHATS]
    made = {reply_key(message, number) for message in messages for number in range(3)}
    assert len(made) == 12
    assert all(key.startswith("reply:") and "4917" not in key for key in made)
    assert reply_key(messages[0], 1) == reply_key(replace(messages[0], text="other", session="bob"), 1)


def test_a_reply_may_go_to_somebody_else(mailbox: Mailbox):
    message = Message("A", CHATS[0], SENDERS[0], "", 0.0)
    [item] = arrive(mailbox, message)
    mailbox.answered(item, message, [Reply("here"), Reply("there", to=CHATS[1])], 1.0)
    assert [letter.chat for letter in reversed(mailbox.outbox.letters())] == list(CHATS)
    assert mailbox.outbox.chats() == list(CHATS)
