"""From the spool to the mailbox, with the place behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Message
from wasess.delivery.mailbox import Mailbox
from wasess.store.frame import frame
from wasess.store.spool import SPOOL_NAME, depth
from wasess.supervisor.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasess.store.inbox import State

MESSAGE, POISON = 17, 99


class Desk:
    """An intake over a spool that is written to by hand: a frame's payload is the message's id and text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mailbox, _damaged = Mailbox.open("alice", folder, durable=False)
        self.poisoned: list[int] = []
        self.intake = Intake(folder, self.mailbox, _translate, lambda code, _error: self.poisoned.append(code), _wanted, lambda: 1.0)

    def spool(self, *frames: bytes) -> None:
        with (self.folder / SPOOL_NAME).open("ab") as file:
            file.write(b"".join(frames))
        (self.folder / SPOOL_NAME).chmod(0o600)

    def taken(self) -> list[str]:
        return [message.id for batch in self.intake.take() for message in batch.messages]


def _translate(code: int, payload: bytes) -> events.Event:
    if code != MESSAGE:
        raise ValueError(code)
    return events.MessageReceived(Message(payload.decode(), "carol", "carol", payload.decode(), 0.0))


def _wanted(_message: Message) -> State:
    return "waiting"


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


def test_a_later_intake_goes_on_at_the_place_in_the_mailbox(desk: Desk):
    desk.spool(frame(MESSAGE, b"one"))
    assert desk.taken() == ["one"]
    later = Intake(desk.folder, desk.mailbox, _translate, lambda *_: None, _wanted, lambda: 1.0)
    desk.spool(frame(MESSAGE, b"two"))
    assert [event.message.id for batch in later.take() for event in batch.events if isinstance(event, events.MessageReceived)] == ["two"]


def test_those_who_look_from_outside_see_the_place_once_it_is_noted(desk: Desk):
    desk.intake.note_place()
    assert not (desk.folder / "spool.pos").exists()
    desk.spool(frame(MESSAGE, b"one"), frame(MESSAGE, b"two"))
    desk.taken()
    assert depth(desk.folder).frames == 2
    desk.intake.note_place()
    assert depth(desk.folder).frames == 0
    noted = (desk.folder / "spool.pos").stat().st_ino
    desk.intake.note_place()
    assert (desk.folder / "spool.pos").stat().st_ino == noted, "nothing was new"
