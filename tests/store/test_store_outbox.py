"""What goes out: the same key never twice, and a receipt is stronger than a guess."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from mail_rows import CHAT

from wasess.core.message import Location, Poll, Reply
from wasess.store.mail import MailFile
from wasess.store.outbox import OVER, Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def outbox(folder: Path) -> Iterator[Outbox]:
    with closing(MailFile(folder)) as mail:
        yield Outbox(mail)


def test_a_key_is_queued_once(outbox: Outbox):
    first = outbox.queue("key", CHAT, Reply("hello"), 1.0, about=7)
    again = outbox.queue("key", "b@lid", Reply("other"), 2.0)
    assert again == first
    assert (first.state, first.tries, first.about, first.reply, first.message_id) == ("queued", 0, 7, Reply("hello"), "")
    assert outbox.waiting() == 1
    outbox.sent(first.seq, "OWN", 3.0)
    assert outbox.queue("key", CHAT, Reply("hello"), 4.0).state == "sent"


def test_a_reply_is_kept_as_it_is(outbox: Outbox):
    for number, reply in enumerate(
        [Reply("a \N{PILE OF POO}", quote=True, mentions=("b@lid",)), Reply(poll=Poll("?", ("a", "b"))), Reply(react=""), Reply(quote="ID")]
    ):
        assert outbox.queue(f"{number}", CHAT, reply, 1.0).reply == reply
    assert outbox.queue("place", CHAT, Reply(location=Location(1.0, 2.0)), 1.0).reply == Reply(location=Location(1.0, 2.0))


def test_chats_are_served_in_order(outbox: Outbox):
    for key, chat in (("1", "b@lid"), ("2", CHAT), ("3", "b@lid")):
        outbox.queue(key, chat, Reply(key), 1.0)
    assert outbox.chats() == ["b@lid", CHAT]
    found = outbox.next_open("b@lid")
    assert found is not None
    assert found.key == "1"
    outbox.end(found.seq, "failed", "479", 2.0)
    found = outbox.next_open("b@lid")
    assert found is not None
    assert found.key == "3"
    assert outbox.chats() == [CHAT, "b@lid"]
    assert outbox.counts() == {"failed": 1, "queued": 2}
    assert [letter.key for letter in outbox.letters(("queued",), limit=1)] == ["3"]


def test_whatever_may_be_on_its_way_is_known_by_its_id(outbox: Outbox):
    letter = outbox.queue("key", CHAT, Reply("hello"), 1.0)
    outbox.departing("key", "OWN", 2.0)
    now = outbox.letter(letter.seq)
    assert (now.state, now.message_id, now.reply) == ("sending", "OWN", Reply("hello"))
    assert outbox.find("OWN") == now
    outbox.postpone(letter.seq, 1, "no connection")
    assert outbox.letter(letter.seq).message_id == ""
    assert outbox.find("OWN") is None


def test_one_that_a_power_cut_took_is_entered_so_that_it_goes_out_once(outbox: Outbox):
    outbox.departing("key", "OWN", 1.0)
    letter = outbox.queue("key", CHAT, Reply("hello"), 2.0)
    assert (letter.state, letter.message_id, letter.reply) == ("sending", "OWN", None)
    assert outbox.waiting() == 1


@pytest.mark.parametrize("state", [state for state in OVER if state != "unknown"])
def test_what_is_over_does_not_depart_again(outbox: Outbox, state: str):
    letter = outbox.queue("key", CHAT, Reply("hello"), 1.0)
    if state == "failed":
        outbox.end(letter.seq, "failed", "479", 1.0)
    else:
        outbox.sent(letter.seq, "OWN", 1.0)
        if state != "sent":
            outbox.receipt("OWN", "read" if state == "read" else "delivered", 1.0)
    assert outbox.letter(letter.seq).state == state
    outbox.departing("key", "LATER", 2.0)
    assert (outbox.letter(letter.seq).state, outbox.find("LATER")) == (state, None)


def test_a_receipt_proves_that_it_was_sent(outbox: Outbox):
    letter = outbox.queue("key", CHAT, Reply("hello"), 1.0)
    outbox.departing("key", "OWN", 2.0)
    outbox.end(letter.seq, "unknown", "no acknowledgement", 3.0)
    assert outbox.receipt("ELSE", "read", 4.0) is None
    assert outbox.receipt("OWN", "delivered", 4.0) == letter.seq
    now = outbox.letter(letter.seq)
    assert (now.state, now.sent_at, now.delivered_at, now.read_at) == ("delivered", 4.0, 4.0, None)
    outbox.receipt("OWN", "read", 5.0)
    outbox.receipt("OWN", "delivered", 6.0)
    now = outbox.letter(letter.seq)
    assert (now.state, now.sent_at, now.delivered_at, now.read_at) == ("read", 4.0, 4.0, 5.0), "a later one of another device is no news"


def test_what_a_receipt_has_proven_is_neither_sent_again_nor_called_failed(outbox: Outbox):
    letter = outbox.queue("key", CHAT, Reply("hello"), 1.0)
    outbox.departing("key", "OWN", 2.0)
    outbox.receipt("OWN", "delivered", 3.0)
    outbox.postpone(letter.seq, 1, "the connection broke")
    outbox.end(letter.seq, "failed", "the connection broke", 4.0)
    outbox.sent(letter.seq, "OTHER", 5.0)
    now = outbox.letter(letter.seq)
    assert (now.state, now.message_id, now.detail) == ("delivered", "OWN", "")
    assert outbox.next_open(CHAT) is None


def test_texts_go_before_keys_and_only_those_of_what_is_over(outbox: Outbox):
    for key in ("done", "open"):
        outbox.queue(key, CHAT, Reply(key), 1.0)
    outbox.sent(1, "OWN", 10.0)
    assert not outbox.forget(10.0, 5.0), "it is not older than that"
    assert outbox.forget(11.0, 5.0)
    assert [letter.reply for letter in outbox.letters()] == [Reply("open"), None]
    assert outbox.queue("done", CHAT, Reply("done"), 12.0).state == "sent"
    assert outbox.forget(11.0, 11.0)
    assert [letter.key for letter in outbox.letters()] == ["open"]
    assert not outbox.forget(11.0, 11.0)


def test_a_receipt_is_found_by_an_index(outbox: Outbox, monkeypatch: pytest.MonkeyPatch):
    """Many receipts come for what is none of ours."""
    asked: list[str] = []
    row = outbox._mail.row

    def noted(query: str, values: tuple[object, ...] = ()) -> object:
        asked.append(query)
        return row(query, values)

    monkeypatch.setattr(outbox._mail, "row", noted)
    outbox.receipt("OWN", "read", 1.0)
    outbox.find("OWN")
    plans = [str(outbox._mail.rows(f"EXPLAIN QUERY PLAN {query}", ("OWN",))) for query in asked]
    assert len(plans) == 2
    assert all("sent_replies" in plan for plan in plans), plans


def test_what_is_not_there(outbox: Outbox):
    with pytest.raises(KeyError):
        outbox.letter(1)
    assert outbox.find("X") is None
    assert outbox.next_open(CHAT) is None
    assert (outbox.letters(), outbox.chats(), outbox.waiting(), outbox.counts()) == ([], [], 0, {})
