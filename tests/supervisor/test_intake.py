"""From the spool to the mailbox, with the place behind it; what is no mail to the keeper; nothing twice."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.mailbox import Mailbox
from wasess.errors import StoreError
from wasess.store.frame import frame
from wasess.store.lock import FileLock
from wasess.store.mail import MAIL_NAME
from wasess.store.mail_checkpoint import settle
from wasess.store.spool import POSITION_NAME, SPOOL_NAME, SpoolReader, depth
from wasess.supervisor import intake as intake_module
from wasess.supervisor.intake import FRAMES_AT_ONCE, Intake
from wasess.supervisor.state_reader import StateReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasess.store.inbox import State
    from wasess.supervisor.intake import Batch

MESSAGE, CONNECTED, MISSED, RECEIPT, POISON = 17, 3, 200, 201, 99


class Desk:
    """An intake over a spool that is written to by hand: a message's payload is its id and text. ``refusal``: of a disk, at the message with that id.

    ``told``: what the keeper hears of. Both are told of the worker, and read, as the keeper does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.poisoned: list[int] = []
        self.destroyed: list[int] = []
        self.told: list[object] = []
        self.refusal = ""
        self.open()

    def open(self) -> None:
        self.mailbox, _ = Mailbox.open("alice", self.folder, durable=False)
        self.intake = Intake(self.folder, self.mailbox, self._translate, self._wanted, lambda: 1.0)
        self.states = StateReader(self.folder, self._translate)

    def worker_starts(self) -> None:
        if self.intake.is_long:
            self.intake.compact()
        self.intake.worker_starts(self.states.worker_starts())

    def worker_started(self, at: int) -> None:
        self.states.worker_started(at)
        self.intake.worker_started(at)

    def worker_ended(self) -> None:
        self.tell()
        self.intake.worker_ended()

    def tell(self) -> None:
        self.told += [type(event).__name__ for event in self.states.read()]

    def reopen(self) -> None:
        """As the next manager does."""
        self.mailbox.close()
        self.open()

    @property
    def spool_file(self) -> Path:
        return self.folder / SPOOL_NAME

    def spool(self, *frames: bytes) -> None:
        descriptor = os.open(self.spool_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, b"".join(frames))
        os.close(descriptor)

    def say(self, *names: str) -> None:
        self.spool(*(frame(MESSAGE, name.encode()) for name in names))

    def batches(self) -> Iterator[Batch]:
        self.tell()
        while (batch := self.intake.take_next()) is not None:
            self.poisoned += [code for code, _error in batch.poisoned]
            if batch.destroyed:
                self.destroyed.append(batch.destroyed)
            yield batch

    def taken(self) -> list[str]:
        return [message.id for batch in self.batches() for message in batch.messages]

    def ids(self) -> list[str]:
        return [item.message.id for item in self.mailbox.inbox.items() if item.message]

    @staticmethod
    def _translate(code: int, payload: bytes) -> events.Event:
        return _translate(code, payload)

    def _wanted(self, message: Message) -> State:
        if message.id == self.refusal:
            raise StoreError("the disk is full")
        return "waiting"


def _translate(code: int, payload: bytes) -> events.Event:
    match code:
        case 17:
            return events.MessageReceived(Message(payload.decode(), "carol", "carol", payload.decode(), 0.0))
        case 3:
            return events.Connected()
        case 200:
            return events.Missed(payload.decode(), "carol", "carol", "old-counter")
        case 201:
            return events.ReceiptCame("read", "carol", (payload.decode(),))
        case 202:
            return events.SpoolLost(*map(int, payload.split()))
    raise ValueError(code)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tmp_path.chmod(0o700)
    made = Desk(tmp_path)
    yield made
    made.mailbox.close()


def test_each_message_is_taken_in_once_and_what_cannot_be_read_is_passed_over(desk: Desk):
    desk.spool(frame(MESSAGE, b"one"), frame(POISON, b"?"), frame(MESSAGE, b"two"), frame(MESSAGE, b"one"))
    assert desk.taken() == ["one", "two"]
    assert desk.taken() == []
    assert desk.poisoned == [POISON]
    assert desk.mailbox.inbox.waiting == 2


def test_poison_alone_is_passed_over_too(desk: Desk):
    desk.spool(frame(POISON, b"?"), frame(POISON, b"!"))
    assert desk.taken() == []
    desk.reopen()
    assert desk.taken() == []
    assert desk.poisoned == [POISON, POISON], "once each, and not by the next manager again"


def test_many_come_in_several_batches_each_with_its_place(desk: Desk):
    names = [f"{number}" for number in range(2 * FRAMES_AT_ONCE + 1)]
    desk.say(*names)
    reader = SpoolReader(desk.folder)
    ends = [found.end for found in reader.read_new()]
    places = []
    for batch in desk.batches():
        place = desk.mailbox.inbox.place()
        assert place is not None
        places.append((len(batch.messages), place.position))
    assert places == [(FRAMES_AT_ONCE, ends[199]), (FRAMES_AT_ONCE, ends[399]), (1, ends[-1])]
    assert desk.ids() == names


def test_a_disk_that_refuses_is_given_the_same_again_and_nothing_is_told_twice(desk: Desk):
    names = [f"{number}" for number in range(FRAMES_AT_ONCE + 50)]
    desk.say(*names)
    desk.spool(frame(POISON, b"?"))
    desk.refusal = f"{FRAMES_AT_ONCE + 20}"
    for _ in range(2):
        with pytest.raises(StoreError):
            desk.taken()
        assert desk.ids() == names[:FRAMES_AT_ONCE]
        assert desk.mailbox.inbox.waiting == FRAMES_AT_ONCE
    desk.say("later")
    desk.refusal = ""
    assert desk.taken() == [*names[FRAMES_AT_ONCE:], "later"]
    assert desk.ids() == [*names, "later"]
    assert desk.poisoned == [POISON]
    assert desk.mailbox.inbox.waiting == len(names) + 1


def test_whoever_stops_between_two_batches_goes_on_there(desk: Desk):
    names = [f"{number}" for number in range(FRAMES_AT_ONCE + 50)]
    desk.say(*names)
    for _batch in desk.batches():
        break
    desk.reopen()
    assert desk.taken() == names[FRAMES_AT_ONCE:]
    assert desk.ids() == names


def test_of_what_an_earlier_worker_wrote_the_keeper_is_told_nothing(desk: Desk):
    desk.spool(frame(CONNECTED, b""), frame(MESSAGE, b"old"), frame(MISSED, b"M"))
    desk.worker_starts()
    predecessor = desk.spool_file.stat().st_size
    desk.spool(frame(CONNECTED, b""))  # it was still there
    desk.worker_started(desk.spool_file.stat().st_size)
    assert desk.spool_file.stat().st_size > predecessor
    desk.spool(frame(CONNECTED, b""), frame(RECEIPT, b"X"), frame(MESSAGE, b"new"))
    assert desk.taken() == ["old", "new"]
    assert desk.told == ["Connected", "MessageArrived"], "and what concerns the mailbox alone, never"
    assert [gap.id for gap in desk.mailbox.gaps.entries()] == ["M"]


def test_a_receipt_is_told_when_it_is_for_a_reply_of_ours(desk: Desk):
    letter = desk.mailbox.outbox.queue("key", "carol", Reply("hello"), 1.0)
    desk.mailbox.outbox.sent(letter.seq, "OWN", 1.0)
    desk.spool(frame(RECEIPT, b"ELSE"))
    assert [batch.receipts for batch in desk.batches()] == [False]
    desk.spool(frame(RECEIPT, b"OWN"))
    assert [batch.receipts for batch in desk.batches()] == [True]
    assert desk.mailbox.outbox.letter(letter.seq).state == "read"


def test_another_file_is_taken_in_from_its_beginning(desk: Desk):
    desk.say("one", "two")
    desk.taken()
    desk.spool_file.unlink()
    desk.spool(frame(CONNECTED, b""))
    desk.say("three")
    assert desk.taken() == ["three"]
    desk.spool_file.rename(desk.folder / "away")
    desk.say("two", "four")
    assert desk.taken() == ["four"]
    assert desk.ids() == ["one", "two", "three", "four"]


# --- the place ----------------------------------------------------------------------------------------------------------


def test_a_later_intake_goes_on_at_the_place_in_the_mailbox(desk: Desk):
    desk.say("one")
    assert desk.taken() == ["one"]
    desk.say("two")
    desk.reopen()
    assert desk.taken() == ["two"]
    assert desk.ids() == ["one", "two"]


def test_those_who_look_from_outside_see_the_place_once_it_is_noted(desk: Desk):
    desk.intake.note_place()
    assert not (desk.folder / POSITION_NAME).exists()
    desk.say("one", "two")
    desk.taken()
    assert depth(desk.folder).frames == 2
    desk.intake.note_place()
    assert depth(desk.folder).frames == 0
    noted = (desk.folder / POSITION_NAME).stat().st_ino
    desk.intake.note_place()
    assert (desk.folder / POSITION_NAME).stat().st_ino == noted, "nothing was new"


def on_the_disk(desk: Desk) -> bytes:
    """What a power cut leaves of the mailbox: not the WAL."""
    return (desk.folder / MAIL_NAME).read_bytes()


def cut_the_power(desk: Desk, left: bytes) -> None:
    desk.mailbox.close()
    for path in desk.folder.glob(f"{MAIL_NAME}-*"):
        path.unlink()
    (desk.folder / MAIL_NAME).write_bytes(left)
    desk.open()


def test_after_a_power_cut_the_place_in_the_mailbox_counts(desk: Desk):
    desk.say("one", "two")
    desk.taken()
    assert desk.mailbox.settle()
    left = on_the_disk(desk)
    desk.say("three", "four")
    desk.taken()
    reader = SpoolReader(desk.folder)
    reader.commit(reader.read_new()[-1].end)  # newer than what the mailbox will say
    cut_the_power(desk, left)
    assert depth(desk.folder).frames == 0
    assert desk.taken() == ["three", "four"]
    assert desk.ids() == ["one", "two", "three", "four"]


def test_a_place_is_noted_only_once_the_mailbox_is_on_the_disk(desk: Desk):
    """The first messages of a session: without a place in its mailbox, the note would be believed."""
    desk.mailbox.settle()
    desk.say("one", "two")
    desk.taken()
    desk.intake.note_place()
    assert (desk.folder / POSITION_NAME).exists()
    left = on_the_disk(desk)
    cut_the_power(desk, left)
    assert (desk.taken(), desk.ids()) == ([], ["one", "two"])


def test_no_place_is_noted_while_somebody_keeps_the_mailbox_from_the_disk(desk: Desk):
    with closing(sqlite3.connect(desk.folder / MAIL_NAME, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        desk.say("one")
        desk.taken()
        desk.intake.note_place()
        assert not (desk.folder / POSITION_NAME).exists()
    desk.intake.note_place()
    assert (desk.folder / POSITION_NAME).exists()


def test_a_spool_that_a_power_cut_has_shortened_is_taken_in_anew_and_nothing_twice(desk: Desk):
    desk.say("one", "two", "three")
    desk.taken()
    os.truncate(desk.spool_file, len(frame(MESSAGE, b"one")))
    desk.reopen()
    assert desk.taken() == []
    desk.say("four")
    assert desk.taken() == ["four"]
    assert desk.ids() == ["one", "two", "three", "four"]


def test_what_was_released_is_never_missed(desk: Desk):
    desk.say("one" * 3000, "two")
    desk.taken()
    assert settle(desk.folder)
    assert b"one" not in desk.spool_file.read_bytes()
    desk.say("three")
    assert desk.taken() == ["three"]
    desk.reopen()
    desk.say("four")
    assert desk.taken() == ["four"]


# --- compacting -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every spool is worth compacting."""
    monkeypatch.setattr(intake_module, "COMPACT_ABOVE", 1)


@pytest.mark.usefixtures("small")
def test_what_is_in_the_mailbox_is_dropped_before_a_worker_starts(desk: Desk):
    for number in range(5):
        desk.say(f"old {number}", f"older {number}")
        desk.taken()
        desk.spool(frame(MESSAGE, b"torn")[:-2])
        desk.worker_starts()
        assert desk.spool_file.read_bytes() == frame(MESSAGE, b"torn")[:-2]
        desk.worker_started(desk.spool_file.stat().st_size)
        desk.spool(frame(CONNECTED, b""))
        desk.say(f"new {number}")
        assert desk.taken() == [f"new {number}"]
        assert desk.told[-2:] == ["Connected", "MessageArrived"]
    assert len(desk.ids()) == 15
    desk.reopen()
    assert desk.taken() == []


@pytest.mark.usefixtures("small")
def test_a_spool_is_not_compacted_while_a_worker_or_a_reader_is_in_the_way(desk: Desk):
    desk.say("one")
    desk.taken()
    size = desk.spool_file.stat().st_size
    with FileLock.acquire(desk.folder / "lock", "worker"):
        desk.worker_starts()
    assert desk.spool_file.stat().st_size == size
    desk.say("two")
    with closing(sqlite3.connect(desk.folder / MAIL_NAME, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        desk.taken()
        desk.worker_starts()
        assert desk.spool_file.stat().st_size > size, "what is not on the disk elsewhere stays"
    desk.worker_starts()
    assert desk.spool_file.stat().st_size == 0


@pytest.mark.usefixtures("small")
def test_whoever_dies_behind_a_compaction_leaves_nothing_to_be_missed(desk: Desk):
    desk.say("one", "two")
    desk.taken()
    desk.worker_starts()
    desk.reopen()
    desk.spool(frame(MESSAGE, b"one"), frame(MESSAGE, b"three"))  # it begins as the one before
    assert desk.taken() == ["three"]
    assert desk.ids() == ["one", "two", "three"]


def test_the_last_word_of_a_worker_is_about_its_own_events_however_late_it_is_read(desk: Desk):
    desk.worker_starts()
    desk.worker_started(0)
    desk.say("one", "two")
    assert desk.taken() == ["one", "two"]
    desk.say("three")
    desk.spool(frame(202, b"3 0"))  # it had written three, and its file was cut
    desk.worker_ended()
    desk.worker_starts()
    desk.worker_started(desk.spool_file.stat().st_size)
    desk.say("four")
    assert desk.taken() == ["three", "four"]
    assert desk.destroyed == []
