"""Takes a session's events out of its spool, and commits there what is finished, whatever order it is finished in."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.errors import Locked
from wasess.store.spool import SPOOL_NAME, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.core.events import Event

COMPACT_ABOVE = 1024 * 1024


@dataclass(slots=True)
class Ticket:
    """A frame that was taken. ``end`` is its end in the spool."""

    end: int
    finished: bool = False


class Ledger:
    """Which frames are finished. Only what has nothing unfinished before it may be committed."""

    def __init__(self) -> None:
        self._open: deque[Ticket] = deque()

    def add(self, end: int) -> Ticket:
        """Enter a frame, in the order of the spool."""
        ticket = Ticket(end)
        self._open.append(ticket)
        return ticket

    def finish(self, ticket: Ticket) -> int | None:
        """Mark a frame finished; return the position to commit when that has moved."""
        ticket.finished = True
        position = None
        while self._open and self._open[0].finished:
            position = self._open.popleft().end
        return position

    def forget(self) -> None:
        """The spool is another file now: what is under way has no place in it."""
        self._open.clear()

    def __len__(self) -> int:
        return len(self._open)


@dataclass(frozen=True, slots=True)
class Taken:
    """An event from the spool. ``fresh``: it was written since the present worker was started, so it tells the present state."""

    event: Event
    ticket: Ticket
    fresh: bool


class Intake:
    """``translate`` makes an event of a frame's code and payload; a frame over which it raises is given to ``poison`` and skipped."""

    def __init__(self, folder: Path, translate: Callable[[int, bytes], Event], poison: Callable[[int, Exception], None]) -> None:
        self._spool = folder / SPOOL_NAME
        self._reader = SpoolReader(folder)
        self._translate = translate
        self._poison = poison
        self._ledger = Ledger()
        self._last_end = 0
        self._committed = 0
        self._position = 0
        self._fresh_from = sys.maxsize  # until a worker is started, all there is comes from an earlier one
        self._taking = False

    @property
    def unfinished(self) -> int:
        """How many events were taken and are not dealt with yet: the messages that the bot has, or waits for."""
        return len(self._ledger)

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

    def take(self) -> Iterator[Taken]:
        """Yield all new events. One iteration at a time."""
        self._taking = True
        try:
            while frames := self._reader.read_new():
                for frame in frames:
                    if frame.offset < self._last_end:
                        self._begin_anew()
                    self._last_end = frame.end
                    ticket = self._ledger.add(frame.end)
                    try:
                        event = self._translate(frame.code, frame.payload)
                    except Exception as error:  # noqa: BLE001 - the bytes come from outside, and one frame must not end the session
                        self._poison(frame.code, error)
                        self.finish(ticket)
                        continue
                    yield Taken(event, ticket, fresh=frame.offset >= self._fresh_from)
        finally:
            self._taking = False
            self._commit()

    def finish(self, ticket: Ticket) -> None:
        """The event behind ``ticket`` is dealt with and need not come again. While `take` runs, commits are gathered."""
        position = self._ledger.finish(ticket)
        if position is not None:
            self._position = position
            if not self._taking:
                self._commit()

    def _commit(self) -> None:
        """A disk that takes nothing is no loss: what is not committed comes again, and the next commit tries anew."""
        if self._position != self._committed:
            with suppress(OSError):
                self._reader.commit(self._position)
                self._committed = self._position

    def _begin_anew(self) -> None:
        self._ledger.forget()
        self._committed = self._position = self._fresh_from = 0

    def _compact(self) -> None:
        """Only while nothing is under way: the offsets change. A spool that somebody else writes to is left alone."""
        if self._committed < COMPACT_ABOVE or len(self._ledger):
            return
        with suppress(Locked, OSError):
            self._reader.compact()
            self._committed = self._position = self._last_end = 0
