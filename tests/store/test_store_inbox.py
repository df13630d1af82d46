"""The messages that came in: once each, in order, found by an index, and as fast as that must be."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mail_rows import CHAT, arrivals, message

from wasess.core.message import Contact, Location, Media, Poll, Quote
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailFile
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def inbox(mail: MailFile) -> Inbox:
    return Inbox(mail)


def test_a_message_comes_once_and_with_its_place(inbox: Inbox, folder: Path):
    assert inbox.place() is None
    assert inbox.take_in(arrivals(1, 2), Place(1, "head", 100)) == [message(1), message(2)]
    assert inbox.take_in(arrivals(2, 3, 3), Place(1, "head", 200)) == [message(3)]
    assert inbox.take_in(arrivals(3, chat="b@lid"), Place(1, "head", 300)) != [], "the same id in another chat is another message"
    other_sender = Arrival(replace(message(3), sender="c@lid"), 1.0)
    assert inbox.take_in([other_sender], None) != [], "and by another sender"
    assert (inbox.place(), inbox.waiting) == (Place(1, "head", 300), 5)
    with closing(MailFile(folder)) as again:
        assert Inbox(again).waiting == 5


def test_a_message_is_kept_as_it_is(inbox: Inbox):
    full = replace(
        message(1, "\N{PILE OF POO} \x00 'quoted' \u202e"),
        kind="poll",
        quote=Quote("A", "b@lid", "before"),
        mentions=("b@lid",),
        media=Media("image/png", 5, "x.png", "/x/1.png", "", 3),
        location=Location(1.5, -2.5, "here"),
        contacts=(Contact("Carol", "BEGIN:VCARD"),),
        poll=Poll("what?", ("tea", "coffee"), 2),
        votes=("tea",),
    )
    inbox.take_in([Arrival(replace(full, session="alice"), 1.0, "unasked", b"\x00raw")], None)
    item = inbox.item(1)
    assert item is not None
    assert (item.message, item.raw, item.state, item.received_at, item.finished_at) == (full, b"\x00raw", "unasked", 1.0, 1.0)


def test_the_next_of_a_chat_is_its_first_that_waits(inbox: Inbox):
    inbox.take_in(arrivals(1, 2), None)
    inbox.take_in(arrivals(3, chat="b@lid"), None)
    assert inbox.chats() == [(CHAT, 1), ("b@lid", 3)]
    inbox.postpone(1, 2, 50.0, "ValueError")
    first = inbox.next_waiting(CHAT)
    assert first is not None
    assert (first.seq, first.tries, first.retry_at, first.detail) == (1, 2, 50.0, "ValueError"), "a chat waits for it"
    inbox.finish(1, "done", 5.0)
    inbox.finish(1, "dead", 6.0, "too late")
    found = inbox.item(1)
    assert found is not None
    assert (found.state, found.finished_at, found.detail) == ("done", 5.0, ""), "what is finished stays so"
    assert inbox.chats() == [(CHAT, 2), ("b@lid", 3)]
    assert inbox.next_waiting("c@lid") is None
    assert inbox.waiting == 2


def test_dead_letters_are_tried_again_in_their_place(inbox: Inbox):
    inbox.take_in(arrivals(1, 2, 3), None)
    inbox.postpone(1, 7, 50.0, "ValueError")
    inbox.finish(1, "dead", 5.0, "ValueError")
    assert (inbox.dead(), inbox.waiting) == (1, 2)
    assert inbox.retry(1)
    assert not inbox.retry(1), "it waits already"
    assert not inbox.retry(99)
    found = inbox.next_waiting(CHAT)
    assert found is not None
    assert (found.seq, found.tries, found.retry_at, found.finished_at) == (1, 0, 0.0, None)
    assert (inbox.dead(), inbox.waiting) == (0, 3)


def test_what_is_given_up_is_not_asked_about_again(inbox: Inbox):
    inbox.take_in(arrivals(1, 2, 3), None)
    inbox.finish(1, "dead", 5.0)
    inbox.finish(2, "done", 5.0)
    assert [inbox.drop(seq, 6.0) for seq in (1, 2, 3, 99)] == [True, False, True, False]
    assert (inbox.waiting, inbox.counts()) == (0, {"done": 3})
    assert not inbox.retry(3)
    assert inbox.oldest_waiting() is None


def test_a_text_that_is_gone_can_not_be_tried_again(inbox: Inbox):
    inbox.take_in([Arrival(message(1), 1.0, "unasked")], None)
    inbox.forget(5.0, 0.0)
    assert not inbox.retry(1)
    assert inbox.find(CHAT, "ID1") is None
    assert inbox.holds(CHAT, CHAT, "ID1")
    item = inbox.item(1)
    assert item is not None
    assert item.message is None


def test_a_position_is_never_used_twice(inbox: Inbox):
    inbox.take_in([Arrival(message(1), 1.0, "unasked")], None)
    assert inbox.forget(5.0, 5.0)
    inbox.take_in(arrivals(2), None)
    assert ([item.seq for item in inbox.items()], inbox.last()) == ([2], 2)


def test_messages_are_listed_from_either_end(inbox: Inbox):
    inbox.take_in(arrivals(*range(1, 8)), None)
    for seq in (2, 4):
        inbox.finish(seq, "dead", 1.0)
    assert [item.seq for item in inbox.items(after=2, limit=3)] == [3, 4, 5]
    assert [item.seq for item in inbox.items(newest=True, limit=2)] == [7, 6]
    assert [item.seq for item in inbox.items(states=("dead",))] == [2, 4]
    assert [item.seq for item in inbox.items(states=("dead", "waiting"), limit=2)] == [1, 2]


def test_a_reader_goes_on_where_it_was(inbox: Inbox):
    assert inbox.position("crm") == 0
    inbox.advance("crm", 5, 1.0)
    inbox.advance("other", 2, 1.0)
    inbox.advance("crm", 7, 2.0)
    assert (inbox.position("crm"), inbox.position("other")) == (7, 2)


def test_the_longest_waiting_is_known_by_its_time(inbox: Inbox):
    inbox.take_in([Arrival(message(number), float(number)) for number in range(1, 4)], None)
    inbox.finish(1, "done", 9.0)
    assert inbox.oldest_waiting() == 2.0


# --- many ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailFile]:
    """100,000 messages that wait, in 1,000 chats, and a few that do not."""
    folder = tmp_path_factory.mktemp("crowd")
    folder.chmod(0o700)
    with closing(MailFile(folder)) as mail, mail.transaction():
        body = b'{"id":"1","chat":"c","sender":"c","text":"hello","timestamp":0.0}'
        mail.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 100999)"
            " INSERT INTO messages (chat, sender, id, kind, received_at, state, finished_at, body)"
            " SELECT 'chat-' || (i % 1000), 'c', i, 'text', i, iif(i < 100000, 'waiting', 'dead'), iif(i < 100000, NULL, i), ? FROM n",
            (body,),
        )
        yield mail


def test_a_hundred_thousand_that_wait_are_no_burden(crowd: MailFile):
    """Some 0.02 s for the chats; asked at each start, and not after each message."""
    began = time.process_time()
    inbox = Inbox(crowd)
    chats = inbox.chats()
    asked = [inbox.next_waiting(chat) for chat, _seq in chats]
    took = time.process_time() - began
    assert (inbox.waiting, inbox.dead(), inbox.oldest_waiting()) == (100_000, 1000, 0.0)
    assert (len(chats), chats[:2]) == (1000, [("chat-0", 1), ("chat-1", 2)])
    assert [item.seq for item in asked if item] == list(range(1, 1001))
    assert took < 1
    print(f"waiting, chats and the first of each of 1,000: {took:.3f} s")  # noqa: T201 - shown with -rP


WAITING = "SELECT seq FROM messages WHERE state = 'waiting'"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (f"{WAITING} AND chat = 'chat-7' ORDER BY seq LIMIT 1", "waiting_messages"),
        ("SELECT chat, min(seq) FROM messages WHERE state = 'waiting' GROUP BY chat ORDER BY 2", "waiting_messages"),
        ("SELECT count(*) FROM messages WHERE state = 'waiting'", "waiting_messages"),
        ("SELECT count(*) FROM messages WHERE state = 'dead'", "dead_messages"),
        ("SELECT 1 FROM messages WHERE chat = 'a' AND sender = 'b' AND id = 'c'", "sqlite_autoindex_messages_1"),
        ("UPDATE messages SET body = NULL WHERE finished_at < 5 AND state <> 'dead' AND body IS NOT NULL", "old_messages"),
        ("SELECT seq FROM outbox WHERE chat = 'a' AND state IN ('queued', 'sending') ORDER BY seq LIMIT 1", "open_replies"),
    ],
)
def test_what_is_asked_often_is_found_by_an_index(crowd: MailFile, query: str, index: str):
    plan = [str(row[3]) for row in crowd.rows(f"EXPLAIN QUERY PLAN {query}")]
    assert any(index in step for step in plan), plan


def test_ten_thousand_come_and_go_in_no_time(inbox: Inbox):
    """Some 1.5 s of this machine, each of them in two commits and one look-up."""
    began = time.process_time()
    for first in range(0, 10_000, 200):
        batch = [Arrival(message(number, chat=f"{number % 50}@lid"), 1.0) for number in range(first, first + 200)]
        inbox.take_in(batch, Place(1, "head", first))
    taken = time.process_time() - began
    served = 0
    for chat, _seq in inbox.chats():
        while item := inbox.next_waiting(chat):
            inbox.finish(item.seq, "done", 1.0)
            served += 1
    took = time.process_time() - began
    assert (served, inbox.waiting) == (10_000, 0)
    assert took < 10
    print(f"10,000 messages: taken in within {taken:.2f} s, all done within {took:.2f} s")  # noqa: T201 - shown with -rP
