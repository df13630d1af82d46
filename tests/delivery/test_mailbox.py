"""A mailbox against a simple model of one, whatever comes in whatever order, and whatever is lost in between."""

from __future__ import annotations

import copy
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.mailbox import Mailbox, Spooled, reply_key
from wasess.store.gaps import Cause
from wasess.store.mail import MAIL_NAME
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.store.inbox import Item, State

CHATS = ("491701111111@s.whatsapp.net", "120363000000000000@g.us")
SENDERS = ("491701111111@s.whatsapp.net", "491702222222@s.whatsapp.net")
EARLIER = {
    "delivered": {"queued", "sending", "unknown", "sent"},
    "read": {"queued", "sending", "unknown", "sent", "delivered"},
}

chats, senders = some.sampled_from(CHATS), some.sampled_from(SENDERS)
ids = some.sampled_from([f"ID{number}" for number in range(6)])
own_ids = some.sampled_from([f"OWN{number}" for number in range(4)])
keys = some.sampled_from(["key-a", "key-b", "key-c"])
causes = some.sampled_from(list(Cause))
spoolable = some.one_of(
    some.builds(lambda id_, chat, sender: events.MessageReceived(Message(id_, chat, sender, f"text of {id_}", 0.0)), ids, chats, senders),
    some.builds(events.Undecryptable, ids, chats, senders),
    some.builds(events.Missed, ids, chats, senders, causes),
    some.builds(events.Departing, keys, own_ids),
    some.builds(lambda kind, one: events.ReceiptCame(kind, SENDERS[0], (one,)), some.sampled_from(["delivered", "read", "retry"]), own_ids),
)


@dataclass
class Row:
    seq: int
    key: tuple[str, str, str]
    state: str = "waiting"
    has_text: bool = True
    finished_at: float | None = None


@dataclass
class Out:
    key: str
    chat: str
    state: str = "queued"
    message_id: str = ""
    has_text: bool = True
    finished_at: float | None = None


@dataclass
class Model:
    """What a mailbox is to hold. ``taken``: events of the spool."""

    taken: int = 0
    last: int = 0
    rows: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    out: dict[str, Out] = field(default_factory=dict)
    gaps: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict)

    def take(self, event: events.Event, now: float, wanted: str) -> None:
        match event:
            case events.MessageReceived(message) if message.key not in self.rows:
                self.last += 1
                self.rows[message.key] = Row(self.last, message.key, wanted, finished_at=None if wanted == "waiting" else now)
            case events.Undecryptable(id_, chat, sender) if (chat, sender, id_) not in self.rows:
                self.gaps.setdefault((chat, sender, id_), ("undecryptable", now))
            case events.Missed(id_, chat, sender, cause) if (chat, sender, id_) not in self.rows:
                self.gaps.setdefault((chat, sender, id_), (cause, now))
            case events.Departing(key, id_):
                letter = self.out.setdefault(key, Out(key, "", has_text=False))
                if letter.state in {"queued", "sending"}:
                    letter.state, letter.message_id = "sending", id_
            case events.ReceiptCame(kind, _, (one,)) if kind in EARLIER:
                for letter in [found for found in self.out.values() if found.message_id == one][:1]:
                    letter.state = kind if letter.state in EARLIER[kind] else letter.state
                    letter.finished_at = letter.finished_at or now

    def arrived(self, before: set[tuple[str, str, str]]) -> None:
        """What is new is not missing any more."""
        for _chat, sender, id_ in self.rows.keys() - before:
            self.gaps = {key: gap for key, gap in self.gaps.items() if key[1:] != (sender, id_)}

    def waiting(self, chat: str = "") -> list[Row]:
        found = [row for row in self.rows.values() if row.state == "waiting" and chat in {"", row.key[0]}]
        return sorted(found, key=lambda row: row.seq)

    def open(self, chat: str) -> list[Out]:
        return [letter for letter in self.out.values() if letter.chat == chat and letter.state in {"queued", "sending"}]


class Mail(RuleBasedStateMachine):
    """The spool is never lost; the mailbox loses, now and then, what came after the last time that it was brought to the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wasess-mailbox-"))
        self.spool: list[events.Event] = []
        self.model = Model()
        self.now = 100.0

    @initialize()
    def begin(self) -> None:
        self.mailbox, _ = Mailbox.open("alice", self.folder, durable=False)
        self.bring_to_the_disk()

    def teardown(self) -> None:
        self.mailbox.close()
        shutil.rmtree(self.folder)

    # --- the spool's side -------------------------------------------------------------------------------------------

    @rule(found=some.lists(spoolable, min_size=1, max_size=5))
    def hear(self, found: list[events.Event]) -> None:
        self.spool += found

    @rule(count=some.integers(1, 6), wanted=some.sampled_from(["waiting", "waiting", "waiting", "unasked"]))
    def take_in(self, count: int, wanted: State) -> None:
        batch = self.spool[self.model.taken :][:count]
        if not batch:
            return
        took = self._take_in(batch, lambda _message: wanted)
        before = set(self.model.rows)
        for event in batch:
            self.model.take(event, self.now, wanted)
        self.model.arrived(before)
        self.model.taken += len(batch)
        assert [message.key for message in took.messages] == [key for key in self.model.rows if key not in before]
        assert all(message.session == "alice" for message in took.messages)

    @rule()
    def fail_to_take_in(self) -> None:
        batch = [*self.spool[self.model.taken :], events.MessageReceived(Message("LAST", CHATS[0], SENDERS[0], "", 0.0))]

        def wanted(message: Message) -> State:
            if message.id == "LAST":
                raise ZeroDivisionError
            return "waiting"

        with pytest.raises(ZeroDivisionError):
            self._take_in(batch, wanted)

    @rule()
    def fail_to_answer(self) -> None:
        """Also what was counted on the way is taken back."""
        with pytest.raises(ZeroDivisionError):
            self._finish_all_and_fail()

    # --- the bot's side -----------------------------------------------------------------------------------------------

    @rule(chat=chats, replies=some.integers(0, 2))
    def answer(self, chat: str, replies: int) -> None:
        if item := self._next(chat):
            assert item.message
            for _ in range(2):  # a bot may be asked twice, and answers once
                self.mailbox.answered(item, item.message, [Reply(f"re {number}") for number in range(replies)], self.now)
            self._finish(item, "done")
            for number in range(replies):
                key = reply_key(item.message, number)
                self.model.out.setdefault(key, Out(key, chat))

    @rule(chat=chats)
    def postpone(self, chat: str) -> None:
        if item := self._next(chat):
            self.mailbox.inbox.postpone(item.seq, item.tries + 1, self.now + 5, "ValueError")
            again = self.mailbox.inbox.next_waiting(chat)
            assert again is not None
            assert (again.seq, again.tries, again.retry_at) == (item.seq, item.tries + 1, self.now + 5)

    @rule(chat=chats)
    def bury(self, chat: str) -> None:
        if item := self._next(chat):
            self.mailbox.inbox.finish(item.seq, "dead", self.now, "ValueError")
            self._finish(item, "dead")

    @rule(chat=chats)
    def prepare(self, chat: str) -> None:
        if item := self._next(chat):
            assert item.message
            self.mailbox.inbox.prepared(item.seq, replace(item.message, votes=("tea",)))

    # --- people's side ------------------------------------------------------------------------------------------------

    @rule(seq=some.integers(1, 12))
    def retry(self, seq: int) -> None:
        row = self._row(seq)
        possible = row is not None and row.state in {"dead", "unasked"} and row.has_text
        assert self.mailbox.inbox.retry(seq) == possible
        if row and possible:
            row.state, row.finished_at = "waiting", None

    @rule(seq=some.integers(1, 12))
    def drop(self, seq: int) -> None:
        row = self._row(seq)
        possible = row is not None and row.state in {"dead", "waiting"}
        assert self.mailbox.inbox.drop(seq, self.now) == possible
        if row and possible:
            row.state, row.finished_at = "done", self.now

    @rule(key=keys, chat=chats)
    def send(self, key: str, chat: str) -> None:
        letter = self.mailbox.outbox.queue(key, chat, Reply("by hand"), self.now)
        found = self.model.out.setdefault(key, Out(key, chat))
        assert (letter.key, letter.chat, letter.state) == (found.key, found.chat, found.state)

    # --- the courier's side -------------------------------------------------------------------------------------------

    @rule(chat=some.sampled_from([*CHATS, ""]), outcome=some.sampled_from(["sent", "postponed", "failed", "unknown"]), own=own_ids)
    def carry(self, chat: str, outcome: str, own: str) -> None:
        letter = self.mailbox.outbox.next_open(chat)
        expected = self.model.open(chat)
        assert (letter.key if letter else None) == (expected[0].key if expected else None)
        if letter is None:
            return
        found = expected[0]
        if outcome == "sent":
            self.mailbox.outbox.sent(letter.seq, own, self.now)
            found.state, found.message_id, found.finished_at = "sent", own, self.now
        elif outcome == "postponed":
            self.mailbox.outbox.postpone(letter.seq, letter.tries + 1, "no connection")
            found.state, found.message_id = "queued", ""
        else:
            self.mailbox.outbox.end(letter.seq, "failed" if outcome == "failed" else "unknown", "479", self.now)
            found.state, found.finished_at = outcome, self.now

    # --- time, and what goes wrong --------------------------------------------------------------------------------------

    @rule(texts=some.integers(0, 30), rows=some.integers(0, 30))
    def forget(self, texts: int, rows: int) -> None:
        """What is old here is some rules old."""
        texts_before, rows_before = self.now - texts, self.now - texts - rows
        self.mailbox.forget(texts_before, rows_before)
        for row in list(self.model.rows.values()):
            if row.finished_at is not None and row.state != "dead":
                row.has_text &= row.finished_at >= texts_before
                if row.finished_at < rows_before:
                    del self.model.rows[row.key]
        for letter in list(self.model.out.values()):
            if letter.finished_at is not None:
                letter.has_text &= letter.finished_at >= texts_before
                if letter.finished_at < rows_before:
                    del self.model.out[letter.key]
        self.model.gaps = {key: gap for key, gap in self.model.gaps.items() if gap[1] >= rows_before}

    @rule()
    def bring_to_the_disk(self) -> None:
        assert self.mailbox.settle()
        self.saved, self.model_saved = (self.folder / MAIL_NAME).read_bytes(), copy.deepcopy(self.model)

    @rule()
    def reopen(self) -> None:
        self.mailbox.close()
        self._open()
        self.bring_to_the_disk()

    @precondition(lambda self: hasattr(self, "saved"))
    @rule()
    def lose_what_is_not_on_the_disk(self) -> None:
        self.mailbox.close()
        for path in self.folder.glob(f"{MAIL_NAME}-*"):
            path.unlink()
        (self.folder / MAIL_NAME).write_bytes(self.saved)
        self.model = copy.deepcopy(self.model_saved)
        self._open()

    # --- what always holds ----------------------------------------------------------------------------------------------

    @invariant()
    def time_goes_on(self) -> None:
        self.now += 1

    @precondition(lambda self: hasattr(self, "mailbox"))
    @invariant()
    def it_is_as_it_should_be(self) -> None:
        inbox, model = self.mailbox.inbox, self.model
        assert [(item.seq, item.state, item.message.key if item.message else None) for item in inbox.items()] == [
            (row.seq, row.state, row.key if row.has_text else None) for row in sorted(model.rows.values(), key=lambda row: row.seq)
        ]
        assert (inbox.waiting, inbox.last()) == (len(model.waiting()), model.last)
        firsts = {row.key[0]: row.seq for row in reversed(model.waiting())}
        assert inbox.chats() == sorted(firsts.items(), key=lambda pair: pair[1])
        place = inbox.place()
        assert (place.position if place else 0) == model.taken

    @precondition(lambda self: hasattr(self, "mailbox"))
    @invariant()
    def what_goes_out_and_what_is_missing_are_as_they_should_be(self) -> None:
        letters = [
            (found.key, found.chat, found.state, found.message_id, found.reply is not None)
            for found in reversed(self.mailbox.outbox.letters())
        ]
        assert letters == [(found.key, found.chat, found.state, found.message_id, found.has_text) for found in self.model.out.values()], (
            "every key is queued once"
        )
        entries = {(gap.chat, gap.sender, gap.id): (gap.cause, gap.at) for gap in self.mailbox.gaps.entries()}
        assert entries == self.model.gaps
        assert not entries.keys() & self.model.rows.keys(), "what is here is not missing"

    # --- the hands of all this --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.mailbox, kept = Mailbox.open("alice", self.folder, durable=False)
        assert kept is None

    def _take_in(self, batch: list[events.Event], wanted: Callable[[Message], State]) -> Any:
        place = Place(1, "head", self.model.taken + len(batch))
        return self.mailbox.take_in([Spooled(event, b"raw") for event in batch], place, self.now, wanted)

    def _finish_all_and_fail(self) -> None:
        with self.mailbox._mail.transaction():
            for row in self.model.waiting():
                self.mailbox.inbox.finish(row.seq, "done", self.now)
            self.mailbox.gaps.forget(self.now + 1)
            raise ZeroDivisionError

    def _next(self, chat: str) -> Item | None:
        item = self.mailbox.inbox.next_waiting(chat)
        expected = self.model.waiting(chat)
        assert (item.seq if item else None) == (expected[0].seq if expected else None)
        return item

    def _finish(self, item: Item, state: str) -> None:
        assert item.message
        row = self.model.rows[item.message.key]
        row.state, row.finished_at = state, self.now

    def _row(self, seq: int) -> Row | None:
        return next((row for row in self.model.rows.values() if row.seq == seq), None)


TestMail = Mail.TestCase
TestMail.settings = settings(max_examples=20, stateful_step_count=40)
