"""Moves a session's events out of its spool: what is mail into its mailbox, in one commit with the place behind it; the rest to the keeper."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.delivery.mailbox import Spooled
from wasess.errors import Locked, StoreError
from wasess.store.spool import SPOOL_NAME, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.core.message import Message
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.inbox import State
    from wasess.store.spool import Frame, Place

COMPACT_ABOVE = 1024 * 1024
FRAMES_AT_ONCE = 200  # in one commit: others on the event loop wait for it

MAIL = (events.Missed, events.Departing, events.ReceiptCame, events.SpoolLost)
"""What concerns the mailbox alone."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken in with one commit.

    ``events``: for the keeper; of those that an earlier worker wrote only messages, the others tell a state of the past.
    ``messages``: those that are new.
    """

    events: tuple[events.Event, ...]
    messages: tuple[Message, ...]
    receipts: bool


class Intake:
    """``translate`` makes an event of a frame's code and payload; a frame over which it raises is given to ``poison`` and skipped.

    ``destroyed`` is told how many events in the spool can't be read: they stand in the gap ledger by then. ``wanted`` says what is to become of a message, ``now`` is Unix time.
    """

    def __init__(
        self,
        folder: Path,
        mailbox: Mailbox,
        translate: Callable[[int, bytes], events.Event],
        poison: Callable[[int, Exception], None],
        destroyed: Callable[[int], None],
        wanted: Callable[[Message], State],
        now: Callable[[], float],
    ) -> None:
        self._spool = folder / SPOOL_NAME
        self._mailbox = mailbox
        self._reader = SpoolReader(folder, mailbox.inbox.place())
        self._translate = translate
        self._poison = poison
        self._destroyed = destroyed
        self._wanted = wanted
        self._now = now
        self._place: Place | None = None
        self._noted: Place | None = None
        self._fresh_from = sys.maxsize  # until a worker is started, all there is comes from an earlier one
        self._read = 0  # frames of the worker that runs...
        self._early: list[int] = []  # ...and where those begin that were read before it was heard of (`worker_started`)
        self._read_before_cut: int | None = None
        self._over = True
        self._starting = False
        self._awaits_last_word = False

    @property
    def replaced(self) -> bool:
        """Whether the spool's name leads to another file than its worker appends to."""
        return self._reader.replaced

    def worker_starts(self) -> None:
        """Call before a worker is started: what is in the spool by now is news of an earlier one."""
        self._compact()
        self._starting, self._early = True, []
        try:
            self._fresh_from = self._spool.stat().st_size
        except FileNotFoundError:
            self._fresh_from = 0

    def worker_started(self, at: int) -> None:
        """The worker has the session to itself, and its events begin there: a predecessor may have written until then."""
        self._fresh_from = max(self._fresh_from, at)
        self._read, self._read_before_cut = sum(offset >= at for offset in self._early), None
        self._starting, self._over, self._awaits_last_word = False, False, True
        self._reader.hold()

    def worker_ended(self) -> None:
        """It appends nothing any more. Call `take` then: what is left is read, and what is at the spool's name."""
        self._over = True
        self._reader.let_go()

    def take(self) -> Iterator[Batch]:
        """Take in all that is new, some frames at a time. One iteration at a time.

        Raises `errors.StoreError` when the mailbox can't be written: what was not taken in comes again at the next call.
        """
        while frames := self._next():
            for first in range(0, len(frames), FRAMES_AT_ONCE):
                try:
                    batch = self._take(frames[first : first + FRAMES_AT_ONCE])
                except BaseException:
                    self._reader.rewind(frames[first].offset)
                    self._reader.lost += frames[first].damaged
                    raise
                yield batch

    def begin_anew(self) -> None:
        """The mailbox is another one: what the spool still holds comes again. Of that, all that is no message is of the past."""
        self._fresh_from = max(self._fresh_from, self._reader.here().position)
        self._reader.start_over()
        self._place = self._noted = None

    def _next(self) -> list[Frame]:
        """What is gone with a file is counted even when nothing new is there."""
        frames = self._reader.read_new()
        if self._reader.cut and self._read_before_cut is None:
            self._read_before_cut = self._read
        lost = self._reader.lost
        if lost and frames:
            frames[0] = replace(frames[0], damaged=frames[0].damaged + lost)
        elif lost:
            self._mailbox.take_in((), self._reader.here(), self._now(), self._wanted, lost)
            self._counted(lost)
        self._reader.lost = 0
        return frames

    def _counted(self, count: int) -> None:
        self._destroyed(count)
        if self._over:  # what a worker notes meanwhile stays
            self._reader.counted()

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

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
        spooled, told, poisoned = [], [], []
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
            if isinstance(event, events.MessageReceived) or (frame.offset >= self._fresh_from and not isinstance(event, MAIL)):
                told.append(event)
        took = self._mailbox.take_in(spooled, place, self._now(), self._wanted, destroyed)
        self._place = place
        self._read += sum(frame.offset >= self._fresh_from for frame in frames)
        if self._starting:
            self._early += [frame.offset for frame in frames]
        if destroyed:
            self._counted(destroyed)
        for code, problem in poisoned:  # not before: these frames may come again
            self._poison(code, problem)
        return Batch(tuple(told), took.messages, took.receipts)

    def _missed(self, lost: events.SpoolLost, read: int) -> int:
        """How many events a worker had written before its file was cut, and nobody has read."""
        self._reader.cut = self._awaits_last_word = False
        seen = self._read_before_cut if self._read_before_cut is not None else read - lost.after
        return max(0, lost.before - seen)

    def _compact(self) -> None:
        """Drop what is in the mailbox, once that is on the disk. A spool that somebody else writes to is left alone."""
        if self._place is None or self._place.position < COMPACT_ABOVE:
            return
        self.note_place()
        if self._noted == self._place:
            with suppress(StoreError, Locked, OSError):
                self._reader.compact()
                self._place = None
