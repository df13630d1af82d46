"""Moves a session's events out of its spool: what is mail into its mailbox, in one commit with the place behind it; the rest to the keeper."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
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

MAIL = (events.Missed, events.Departing, events.ReceiptCame)
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

    ``wanted`` says what is to become of a message, ``now`` is Unix time.
    """

    def __init__(
        self,
        folder: Path,
        mailbox: Mailbox,
        translate: Callable[[int, bytes], events.Event],
        poison: Callable[[int, Exception], None],
        wanted: Callable[[Message], State],
        now: Callable[[], float],
    ) -> None:
        self._spool = folder / SPOOL_NAME
        self._mailbox = mailbox
        self._reader = SpoolReader(folder, mailbox.inbox.place())
        self._translate = translate
        self._poison = poison
        self._wanted = wanted
        self._now = now
        self._end = 0
        self._noted: Place | None = None
        self._fresh_from = sys.maxsize  # until a worker is started, all there is comes from an earlier one

    def worker_starts(self) -> None:
        """Call before a worker is started: what is in the spool by now is news of an earlier one."""
        self._compact()
        try:
            self._fresh_from = self._spool.stat().st_size
        except FileNotFoundError:
            self._fresh_from = 0

    def worker_started(self, at: int) -> None:
        """The worker has the session to itself, and its events begin there: a predecessor may have written until then."""
        self._fresh_from = max(self._fresh_from, at)

    def take(self) -> Iterator[Batch]:
        """Take in all that is new, some frames at a time. One iteration at a time.

        Raises `errors.StoreError` when the mailbox can't be written: what was not taken in comes again at the next call.
        """
        while frames := self._reader.read_new():
            for first in range(0, len(frames), FRAMES_AT_ONCE):
                try:
                    batch = self._take(frames[first : first + FRAMES_AT_ONCE])
                except BaseException:
                    self._reader.rewind(frames[first].offset)
                    raise
                yield batch

    def begin_anew(self) -> None:
        """The mailbox is another one: what the spool still holds comes again. Of that, all that is no message is of the past."""
        self._fresh_from = max(self._fresh_from, self._reader.cursor)
        self._reader = SpoolReader(self._spool.parent)
        self._end, self._noted = 0, None

    def note_place(self) -> None:
        """Write down how far it has come, for those who look from outside (`store.spool.depth`); the place that counts is in the mailbox.

        Not before that is on the disk: a power cut must not leave this place alone. Now and then, for both take longer than taking in a message.
        """
        place = self._reader.place(self._end)
        if self._end and place != self._noted:
            with suppress(StoreError, Locked, OSError):
                if self._mailbox.settle():
                    self._reader.commit(self._end)
                    self._noted = place

    def _take(self, frames: list[Frame]) -> Batch:
        if frames[0].offset < self._end:  # another file
            self._fresh_from = 0
        spooled, told, poisoned = [], [], []
        for frame in frames:
            try:
                event = self._translate(frame.code, frame.payload)
            except Exception as error:  # noqa: BLE001 - the bytes come from outside, and one frame must not end the session
                poisoned.append((frame.code, error))
                continue
            spooled.append(Spooled(event, frame.payload))
            if isinstance(event, events.MessageReceived) or (frame.offset >= self._fresh_from and not isinstance(event, MAIL)):
                told.append(event)
        took = self._mailbox.take_in(spooled, self._reader.place(frames[-1].end), self._now(), self._wanted)
        self._end = frames[-1].end
        for code, problem in poisoned:  # not before: these frames may come again
            self._poison(code, problem)
        return Batch(tuple(told), took.messages, took.receipts)

    def _compact(self) -> None:
        """Drop what is in the mailbox, once that is on the disk. A spool that somebody else writes to is left alone."""
        if self._end < COMPACT_ABOVE:
            return
        self.note_place()
        if self._noted == self._reader.place(self._end):
            with suppress(StoreError, Locked, OSError):
                self._reader.compact()
                self._end = 0
