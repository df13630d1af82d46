"""A message that its recipient could not decrypt, and that the library can't serve any more, is sent again: once, and not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Poll, Reply
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.delivery.resend import LONGEST_AGE, MOST_TIMES
from wasess.store.gaps import Cause
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasess.delivery.mailbox import Took
    from wasess.store.outbox import Letter

CAROL, LID, DAVE, GROUP = "491@s.whatsapp.net", "77@lid", "492@s.whatsapp.net", "12036300000000@g.us"


class Sender:
    """A mailbox whose messages go out at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.mailbox, _ = Mailbox.open("alice", folder, durable=False)
        self.now = 1e9
        self._position = 0

    def send(self, text: str = "hello", to: str = CAROL, reply: Reply | None = None, kept: str = "") -> Letter:
        letter = self.mailbox.outbox.queue(text, to, reply or Reply(text), self.now, kept=kept)
        return self.goes_out(letter)

    def goes_out(self, letter: Letter) -> Letter:
        self.mailbox.outbox.sent(letter.seq, f"ID{letter.seq}", self.now)
        return self.mailbox.outbox.letter(letter.seq)

    def asked(self, message_id: str, chat: str = CAROL, sender: str = "", device: int = 0) -> Took:
        self._position += 1
        event = events.AskedAgain(message_id, chat, sender or chat, device)
        return self.mailbox.take_in([Spooled(event)], Place(1, "head", self._position), self.now, lambda _message: "done")

    def open(self) -> list[Letter]:
        return self.mailbox.outbox.letters(("queued",))[::-1]

    def causes(self) -> list[tuple[str, int]]:
        return [(gap.cause, gap.count) for gap in self.mailbox.gaps.entries()]


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Sender]:
    sender = Sender(tmp_path / "alice")
    yield sender
    sender.mailbox.close()


@pytest.mark.parametrize("chat", [CAROL, LID])
@pytest.mark.parametrize("reply", [Reply("hello"), Reply(react="👍", quote="X"), Reply(poll=Poll("tea?", ("yes", "no")))])
def test_it_is_queued_again_as_it_was_and_its_record_says_so(it: Sender, chat: str, reply: Reply):
    sent = it.send(reply=reply)
    assert it.asked(sent.message_id, chat).again == (CAROL,)
    [new] = it.open()
    assert (new.chat, new.reply, new.about, new.message_id) == (sent.chat, sent.reply, sent.about, "")
    old = it.mailbox.outbox.letter(sent.seq)
    assert (old.state, old.detail) == ("sent", f"its recipient could not decrypt it; sent again as {new.seq}")
    assert (it.mailbox.outbox.resent(), it.causes()) == (1, [])


def test_once_whoever_asks_and_however_often(it: Sender):
    sent = it.send()
    took = [it.asked(sent.message_id, device=device) for device in (0, 0, 3, 4)]
    assert [one.again for one in took] == [(CAROL,), (), (), ()]
    it.goes_out(it.open()[0])
    assert it.asked(sent.message_id).again == ()
    assert it.causes() == []


def test_what_was_sent_in_its_place_may_be_asked_for_and_then_it_is_enough(it: Sender):
    sent = it.send()
    for _ in range(MOST_TIMES):
        assert it.asked(sent.message_id).again == (CAROL,)
        sent = it.goes_out(it.open()[0])
    assert it.asked(sent.message_id).not_again == (Cause.RESEND_TOO_OFTEN,)
    assert (it.open(), it.causes()) == ([], [("resend-too-often", 1)])
    assert it.mailbox.outbox.resent() == MOST_TIMES


def test_one_in_doubt_has_surely_gone_out(it: Sender):
    letter = it.mailbox.outbox.queue("key", CAROL, Reply("hello"), it.now)
    it.mailbox.outbox.departing("key", "ID", it.now)
    assert it.asked("ID").again == (CAROL,)
    assert it.mailbox.outbox.letter(letter.seq).state == "sent"
    assert [one.key for one in it.open()] != ["key"]


def test_a_linked_device_of_somebody_who_has_it_gets_nothing(it: Sender):
    sent = it.send()
    it.mailbox.outbox.receipt(sent.message_id, "delivered", it.now)
    took = it.asked(sent.message_id, device=3)
    assert (took.again, took.not_again, it.open(), it.causes()) == ((), (), [], [])
    assert it.asked(sent.message_id, device=0).again == (CAROL,)  # the phone itself has lost it


@pytest.mark.parametrize(
    ("to", "reply", "kept", "age", "cause"),
    [
        (GROUP, Reply("to all"), "", 0.0, Cause.RESEND_GROUP),
        ("1@broadcast", Reply("to all"), "", 0.0, Cause.RESEND_GROUP),
        (CAROL, Reply("caption", file="/home/alice/a.pdf"), "", 0.0, Cause.RESEND_FILE),
        (CAROL, Reply("caption"), "0" * 32, 0.0, Cause.RESEND_FILE),
        (CAROL, Reply("old"), "", LONGEST_AGE + 1, Cause.RESEND_OLD),
    ],
)
def test_what_can_not_be_sent_again_is_counted_once(it: Sender, to: str, reply: Reply, kept: str, age: float, cause: Cause):
    sent = it.send(to=to, reply=reply, kept=kept)
    it.now += age
    for _ in range(2):
        assert it.asked(sent.message_id, to, CAROL).not_again == (cause,)
    assert (it.open(), it.causes()) == ([], [(cause, 1)])
    assert it.mailbox.outbox.letter(sent.seq).detail == "its recipient could not decrypt it, and it could not be sent again"


def test_a_text_whose_time_is_over_is_counted(it: Sender):
    sent = it.send()
    it.mailbox.forget(it.now + 1, 0.0)
    assert it.asked(sent.message_id).not_again == (Cause.RESEND_ERASED,)
    assert it.causes() == [("resend-erased", 1)]


@pytest.mark.parametrize(
    ("message_id", "chat", "sender"),
    [("NEVER", CAROL, CAROL), ("ID1", DAVE, DAVE), ("ID1", GROUP, CAROL), ("ID1", CAROL, "490@s.whatsapp.net"), ("", CAROL, CAROL)],
)
def test_nobody_else_can_ask_for_it_and_strangers_fill_no_ledger(it: Sender, message_id: str, chat: str, sender: str):
    it.send()
    for _ in range(300):
        assert it.asked(message_id, chat, sender).not_again == (Cause.RESEND_UNKNOWN,)
    assert (it.open(), it.causes()) == ([], [("resend-unknown", 300)])


def test_a_failed_commit_sends_nothing_again(it: Sender):
    sent = it.send()

    def fail() -> None:
        with it.mailbox._mail.transaction():
            it.asked(sent.message_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert it.open() == []
    assert it.asked(sent.message_id).again == (CAROL,)
