"""Moves a session's mail out of its spool into its mailbox, in one commit with the place behind it. Works on the session's mail thread."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.delivery.mailbox import Spooled
from wasess.errors import Locked, StoreError
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.core.message import Message
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.gaps import Cause
    from wasess.store.inbox import State
    from wasess.store.spool import Frame, Place

COMPACT_ABOVE = 1024 * 1024
FRAMES_AT_ONCE = 200  # in one commit


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken in with one commit.

    ``messages``: those that are new. ``receipts``: whether a reply of ours has moved on. ``destroyed``: how many events in the spool can't be
    read; they stand in the gap ledger. ``poisoned``: the codes of frames that were skipped, and what was raised over them. ``again`` and
    ``not_again``: see `delivery.mailbox.Took`.
    """

    messages: tuple[Message, ...] = ()
    receipts: bool = False
    destroyed: int = 0
    poisoned: tuple[tuple[int, Exception], ...] = ()
    again: tuple[str, ...] = ()
    not_again: tuple[Cause, ...] = ()


class Intake:
    """``translate`` makes an event of a frame's code and payload. ``wanted`` says what is to become of a message, ``now`` is Unix time.

    The spool's state is the keeper's matter (`supervisor.state_reader`): here every event that is no mail is passed over.
    """

    def __init__(
        self,
        folder: Path,
        mailbox: Mailbox,
        translate: Callable[[int, bytes], events.Event],
        wanted: Callable[[Message], State],
        now: Callable[[], float],
    ) -> None:
        self._mailbox = mailbox
        self._reader = SpoolReader(folder, mailbox.inbox.place())
        self._translate = translate
        self._wanted = wanted
        self._now = now
        self._frames: list[Frame] = []  # that were read, and are not taken in yet
        self._place: Place | None = None
        self._noted: Place | None = None
        self._fresh_from = sys.maxsize  # until a worker is started, all there is comes from an earlier one
        self._read = 0  # frames of the worker that runs...
        self._early: list[int] = []  # ...and where those begin that were read before it was heard of (`worker_started`)
        self._read_before_cut: int | None = None
        self._over = True
        self._starting = False
        self._awaits_last_word = False
        self._left: deque[Batch] = deque()  # taken in, and not returned yet

    def worker_starts(self, size: int) -> None:
        """A worker is about to be started: the ``size`` bytes that are in the spool by now are news of an earlier one.

        What that one has left is taken in before: its last word (`_missed`) is about its own events.
        """
        with suppress(StoreError):
            while (batch := self._take_following()) is not None:
                self._left.append(batch)
        self._starting, self._early = True, []
        self._fresh_from = size

    def worker_started(self, at: int) -> None:
        """The worker has the session to itself, and its events begin there: a predecessor may have written until then."""
        self._fresh_from = max(self._fresh_from, at)
        self._read, self._read_before_cut = sum(offset >= at for offset in self._early), None
        self._starting, self._over, self._awaits_last_word = False, False, True
        self._reader.hold()

    def worker_ended(self) -> None:
        """It appends nothing any more. Call `take_next` then: what is left is read, and what is at the spool's name."""
        self._over = True
        self._reader.let_go()

    def take_some(self) -> tuple[list[Batch], bool]:
        """Two commits, as a rule one and a look whether there is more; whether there may be. Raises as `take_next` does for the first."""
        first = self.take_next()
        if first is None:
            return [], False
        with suppress(StoreError):  # the next look says it, once the first is delivered
            second = self.take_next()
            return ([first], False) if second is None else ([first, second], True)
        return [first], True

    def take_next(self) -> Batch | None:
        """Take in what comes next, some frames in one commit; None when there is nothing new.

        Raises `errors.StoreError` when the mailbox can't be written: what was not taken in comes again at the next call.
        """
        return self._left.popleft() if self._left else self._take_following()

    def _take_following(self) -> Batch | None:
        if not self._frames:
            self._frames = self._read_on()
        if not self._frames:
            return self._count_lost()
        frames, self._frames = self._frames[:FRAMES_AT_ONCE], self._frames[FRAMES_AT_ONCE:]
        try:
            return self._take(frames)
        except BaseException:
            self._reader.rewind(frames[0].offset)
            self._reader.lost += frames[0].damaged
            self._frames = []
            raise

    def begin_anew(self) -> None:
        """The mailbox is another one: what the spool still holds comes again."""
        self._fresh_from = max(self._fresh_from, self._reader.here().position)
        self._frames = []
        self._reader.start_over()
        self._place = self._noted = None

    def _read_on(self) -> list[Frame]:
        """What is gone with a file counts as destroyed before the first of them."""
        frames = self._reader.read_new()
        if self._reader.cut and self._read_before_cut is None:
            self._read_before_cut = self._read
        if frames and self._reader.lost:
            frames[0] = replace(frames[0], damaged=frames[0].damaged + self._reader.lost)
            self._reader.lost = 0
        return frames

    def _count_lost(self) -> Batch | None:
        """It is counted even when nothing new is there."""
        lost = self._reader.lost
        if not lost:
            return None
        self._mailbox.take_in((), self._reader.here(), self._now(), self._wanted, lost)
        self._reader.lost = 0
        self._counted()
        return Batch(destroyed=lost)

    def _counted(self) -> None:
        if self._over:  # what a worker notes meanwhile stays
            self._reader.counted()

    def end(self, now: float) -> Path | None:
        """The last thing that is done with the mail; see `Mailbox.put_back`."""
        kept = None
        if self._mailbox.fault():
            kept = self._mailbox.put_back(now)
        else:
            self.note_place()
        self._reader.close()
        return kept

    def note_place(self) -> None:
        """Write down how far it has come, for those who look from outside (`store.spool.depth`); the place that counts is in the mailbox.

        Not before that is on the disk: a power cut must not leave this place alone. Now and then, for both take longer than taking in a message.
        """
        place = self._place
        if place and place != self._noted and place[:2] == self._reader.here()[:2]:
            with suppress(StoreError, Locked, OSError):
                if self._mailbox.settle():
                    self._reader.commit(place.position, mailed=True)
                    self._noted = place

    def _take(self, frames: list[Frame]) -> Batch:
        place = self._reader.place(frames[-1].end)
        if self._over and self._place and self._place.inode != place.inode:
            self._early = []
            if not self._starting:
                self._fresh_from = sys.maxsize  # another file, and nobody has appended to it yet
        spooled, poisoned = [], []
        destroyed = sum(frame.damaged for frame in frames)
        for read, frame in enumerate(frames, self._read):
            try:
                event = self._translate(frame.code, frame.payload)
            except Exception as error:  # noqa: BLE001 - the bytes come from outside, and one frame must not end the session
                poisoned.append((frame.code, error))
                continue
            if isinstance(event, events.SpoolLost) and self._awaits_last_word:
                destroyed += self._missed(event, read)
            spooled.append(Spooled(event, frame.payload))
        took = self._mailbox.take_in(spooled, place, self._now(), self._wanted, destroyed)
        self._place = place
        self._read += sum(frame.offset >= self._fresh_from for frame in frames)
        if self._starting:
            self._early += [frame.offset for frame in frames]
        if destroyed:
            self._counted()
        return Batch(took.messages, took.receipts, destroyed, tuple(poisoned), took.again, took.not_again)

    def _missed(self, lost: events.SpoolLost, read: int) -> int:
        """How many events a worker had written before its file was cut, and nobody has read."""
        self._reader.cut = self._awaits_last_word = False
        seen = self._read_before_cut if self._read_before_cut is not None else read - lost.after
        return max(0, lost.before - seen)

    @property
    def is_long(self) -> bool:
        """Whether so much of the spool is taken in that `compact` is worth its while."""
        place = self._place
        return place is not None and place.position >= COMPACT_ABOVE

    def compact(self) -> None:
        """Drop what is in the mailbox, once that is on the disk. A spool that somebody else writes to is left alone."""
        self.note_place()
        if self._noted == self._place:
            with suppress(StoreError, Locked, OSError):
                self._reader.compact()
                self._place = None
