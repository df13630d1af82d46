"""Whatever happens to a spool, each message in it is taken in or counted as missing, in the commit that carries the place."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest
from test_intake import CONNECTED, MESSAGE, Desk

from wasess.core import events
from wasess.errors import StoreError
from wasess.link.notes import read_note
from wasess.link.receipts import NOTE
from wasess.link.spool_file import SpoolFile
from wasess.store.frame import frame
from wasess.store.gaps import Cause
from wasess.store.spool import POSITION_NAME, depth
from wasess.supervisor import intake as intake_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Office(Desk):
    """A desk whose worker leaves notes, too."""

    @staticmethod
    def _translate(code: int, payload: bytes) -> events.Event:
        return read_note(payload) if code == NOTE else Desk._translate(code, payload)

    @property
    def missing(self) -> int:
        gaps = self.mailbox.gaps.entries()
        assert {(gap.id, gap.sender, gap.cause) for gap in gaps} <= {("", "", Cause.SPOOL_DAMAGED)}
        return sum(gap.count for gap in gaps)

    def serves(self) -> SpoolFile:
        """A worker begins to append."""
        self.worker_starts()
        file = SpoolFile(str(self.spool_file))
        self.worker_started(file.end)
        return file

    def ends(self) -> list[str]:
        """The worker is gone, and what it left is read."""
        self.worker_ended()
        return self.taken()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    tmp_path.chmod(0o700)
    made = Office(tmp_path)
    yield made
    made.mailbox.close()


def message(number: int) -> bytes:
    return frame(MESSAGE, b"%d" % number)


# --- damaged frames -------------------------------------------------------------------------------------------------------


def test_two_hundred_flips_lose_no_message_silently(tmp_path: Path):
    dice = random.Random(21)
    whole = b"".join(frame(MESSAGE, b"%d " % number + dice.randbytes(dice.randrange(60)).hex().encode()) for number in range(12))
    for flip in range(200):
        folder = tmp_path / str(flip)
        folder.mkdir(mode=0o700)
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        desk = Office(folder)
        desk.spool(bytes(damaged))
        taken = len(desk.taken())
        desk.spool(frame(CONNECTED, b""))  # the next worker
        taken += len(desk.taken())
        assert 12 - taken <= desk.missing <= 3
        assert sum(desk.destroyed) == desk.missing
        desk.reopen()
        assert (desk.taken(), desk.missing) == ([], sum(desk.destroyed)), "counted once"
        desk.mailbox.close()
        shutil.rmtree(folder)


def test_what_a_killed_writer_left_is_not_missing(desk: Office):
    desk.spool(message(1), message(2)[:-1], message(3), message(4)[:5])
    desk.spool(message(5))
    assert desk.taken() == ["1", "3", "5"]
    assert (desk.missing, desk.destroyed) == (0, [])


def test_a_damage_that_could_not_be_committed_is_counted_with_the_next_try(desk: Office):
    damaged = bytearray(message(1))
    damaged[-1] ^= 1
    desk.refusal = "2"
    desk.spool(bytes(damaged), message(2))
    with pytest.raises(StoreError):
        desk.taken()
    assert desk.missing == 0
    desk.refusal = ""
    assert desk.taken() == ["2"]
    assert desk.missing == 1


def test_one_damage_among_many_batches_is_counted_once(desk: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake_module, "FRAMES_AT_ONCE", 3)
    frames = [bytearray(message(number)) for number in range(20)]
    frames[10][4] ^= 0x80
    desk.spool(*map(bytes, frames))
    assert len(desk.taken()) == 19
    assert desk.missing == 1


# --- while a worker appends ---------------------------------------------------------------------------------------------


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(b"")
    copy.chmod(0o600)
    copy.replace(path)


def older(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes()[: len(message(0)) * 2])
    copy.chmod(0o600)
    copy.replace(path)


@pytest.mark.parametrize("damage", [removed, replaced, older])
def test_what_was_appended_is_read_from_the_open_file(desk: Office, damage: Callable[[Path], None]):
    file = desk.serves()
    for number in range(3):
        file.append(message(number))
    assert desk.taken() == ["0", "1", "2"]
    file.append(message(3))
    damage(desk.spool_file)
    file.append(message(4))
    assert file.fault(1)
    assert desk.states.replaced
    assert desk.taken() == ["3", "4"]
    file.append(message(5))
    file.sign_off()
    assert desk.ends() == ["5"]
    assert desk.missing == 0
    again = desk.serves()
    again.append(message(6))
    assert not again.fault()
    assert not desk.states.replaced
    assert desk.taken() == ["6"]
    assert desk.missing == 0


def test_what_was_read_before_the_worker_was_heard_of_is_not_missing(desk: Office):
    """A signal that something was spooled may stand before the one that the worker has started."""
    desk.spool(message(1))
    desk.worker_starts()
    desk.spool(message(2))  # by a predecessor
    file = SpoolFile(str(desk.spool_file))
    begin = file.end
    file.append(message(3))
    assert desk.taken() == ["1", "2", "3"]
    file.append(message(4))
    assert desk.taken() == ["4"]
    desk.worker_started(begin)
    desk.spool_file.unlink()
    file.append(message(5))
    assert file.fault(1)
    file.sign_off()
    assert desk.ends() == ["5"]
    assert desk.missing == 0


def test_what_a_new_worker_wrote_into_a_new_file_is_known_to_be_its_own(desk: Office):
    """As above, and the file before it was deleted."""
    desk.serves().append(message(1))
    desk.spool_file.unlink()
    assert desk.ends() == ["1"]
    desk.worker_starts()
    file = SpoolFile(str(desk.spool_file))
    file.append(frame(CONNECTED, b""))
    file.append(message(2))
    assert desk.taken() == ["2"]
    assert desk.told == ["MessageArrived", "Connected", "MessageArrived"]
    desk.worker_started(0)
    desk.spool_file.unlink()
    file.append(message(3))
    assert file.fault(1)
    file.sign_off()
    assert desk.ends() == ["3"]
    assert desk.missing == 0


def test_of_a_file_that_was_put_there_the_keeper_is_told_nothing(desk: Office):
    file = desk.serves()
    file.append(message(1))
    file.append(frame(CONNECTED, b""))
    assert desk.taken() == ["1"]
    desk.spool_file.unlink()
    desk.spool(frame(CONNECTED, b""), message(2))
    file.append(frame(CONNECTED, b""))
    assert desk.ends() == ["2"]
    assert desk.told == ["MessageArrived", "Connected", "Connected"]


@pytest.mark.parametrize("read", [0, 2, 5])
@pytest.mark.parametrize("left", [0, 1, 3])
@pytest.mark.parametrize("more", [0, 1, 30])
def test_what_a_cut_destroyed_before_it_was_read_is_counted(desk: Office, read: int, left: int, more: int):
    """``read`` of five were read, all but ``left`` are cut off, and ``more`` come before the worker is gone."""
    size = len(message(0))
    file = desk.serves()
    taken: list[str] = []
    for number in range(5):
        file.append(message(number))
        if number + 1 == read:
            taken += desk.taken()
    os.truncate(desk.spool_file, left * size)
    assert file.fault() or left * size >= file.end
    for number in range(more):
        file.append(message(5 + number))
    file.sign_off()
    taken += desk.ends()
    acknowledged = {str(number) for number in range(5)}
    assert len(acknowledged - set(taken)) <= desk.missing <= len(acknowledged - set(taken)) + max(left, read)


def test_a_cut_by_which_the_worker_died_is_counted_all_the_same(desk: Office):
    file = desk.serves()
    for number in range(4):
        file.append(message(number))
    assert len(desk.taken()) == 4
    os.truncate(desk.spool_file, 5)
    assert desk.ends() == []
    assert desk.missing == 1


# --- while nobody serves ------------------------------------------------------------------------------------------------


def test_a_spool_that_is_shorter_than_its_place_is_counted_once(desk: Office):
    desk.spool(message(1), message(2), message(3))
    desk.taken()
    os.truncate(desk.spool_file, len(message(1)) + 2)
    assert depth(desk.folder, desk.mailbox.inbox.place()).gone
    desk.reopen()
    assert desk.taken() == []
    assert desk.missing == 1
    desk.reopen()
    desk.spool(message(4))
    assert desk.taken() == ["4"]
    desk.reopen()
    assert desk.taken() == []
    assert desk.missing == 1
    assert not depth(desk.folder, desk.mailbox.inbox.place()).gone


@pytest.mark.parametrize("noted", [False, True])
def test_a_spool_that_is_gone_is_counted_once(desk: Office, noted: bool):
    desk.spool(message(1), message(2))
    desk.taken()
    if noted:
        desk.intake.note_place()
    desk.spool_file.unlink()
    assert depth(desk.folder, desk.mailbox.inbox.place()).gone
    for _ in range(2):
        desk.reopen()
        assert desk.taken() == []
        assert desk.missing == 1
    desk.serves().append(message(3))
    assert desk.taken() == ["3"]
    desk.reopen()
    assert desk.taken() == []
    assert desk.missing == 1


def test_a_copy_of_the_folder_goes_on_where_it_was(desk: Office):
    desk.spool(message(1), message(2))
    desk.taken()
    copy = desk.folder / "copy"
    shutil.copy2(desk.spool_file, copy)
    copy.replace(desk.spool_file)
    desk.spool(message(3))
    desk.reopen()
    assert desk.taken() == ["3"]
    assert desk.missing == 0


@pytest.mark.parametrize("at", range(12))
def test_a_flip_in_the_bytes_that_tell_a_spool_from_others_loses_nothing(desk: Office, at: int):
    desk.spool(message(1), message(2))
    desk.taken()
    desk.intake.note_place()
    desk.spool(message(3))
    with desk.spool_file.open("r+b") as file:
        data = bytearray(file.read())
        data[at] ^= 4
        file.seek(0)
        file.write(data)
    desk.reopen()
    assert desk.taken() == ["3"]
    assert desk.missing


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff" * 50, b'{"inode": 1, "head": "", "position": 1e999}'])
def test_a_damaged_position_costs_nothing(desk: Office, text: bytes):
    desk.spool(message(1), message(2))
    desk.taken()
    desk.intake.note_place()
    (desk.folder / POSITION_NAME).write_bytes(text)
    desk.spool(message(3))
    desk.reopen()
    assert desk.taken() == ["3"]
    assert desk.missing == 0


def test_the_last_word_of_an_earlier_worker_counts_nothing(desk: Office):
    desk.spool(message(1), frame(NOTE, b"\0".join((b"spool-lost", b"100", b"0"))))
    assert desk.taken() == ["1"]
    assert desk.missing == 0
    assert read_note(b"\0".join((b"spool-lost", b"100", b"1"))) == events.SpoolLost(100, 1)


def test_a_file_that_was_put_there_before_the_worker_began_is_held_from_then_on(desk: Office):
    desk.spool(message(1))
    assert desk.taken() == ["1"]
    desk.worker_starts()
    desk.spool(message(2))  # by a predecessor
    desk.spool_file.rename(desk.folder / "away")
    file = SpoolFile(str(desk.spool_file))
    desk.worker_started(file.end)
    file.append(message(3))
    assert desk.taken() == ["2", "3"]
    desk.spool_file.unlink()
    file.append(message(4))
    assert desk.taken() == ["4"]
    assert desk.missing == 0
