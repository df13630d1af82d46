"""Reads what a session's worker says of its connection out of the spool, at once, whatever becomes of the mail in it.

The mail is the intake's matter. Both read the same file, each at its own pace: a mailbox that can't be written keeps no login, no logout and
no lost connection from the session's state machine.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.store.spool import SPOOL_NAME, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAIL = (events.Missed, events.Departing, events.ReceiptCame, events.AskedAgain, events.SpoolLost, events.Undecryptable)
"""What concerns the mailbox alone."""


class StateReader:
    """``translate`` makes an event of a frame's code and payload; of mail, it need not say more than that it is mail.

    Only what is behind the place where the present worker began is returned: what an earlier one wrote tells a state of the past.
    """

    def __init__(self, folder: Path, translate: Callable[[int, bytes], events.Event]) -> None:
        self._folder = folder
        self._translate = translate
        self._reader: SpoolReader | None = None
        self._fresh_from = sys.maxsize

    @property
    def replaced(self) -> bool:
        """Whether the spool's name leads to another file than the worker appends to."""
        return self._reader is not None and self._reader.replaced

    def worker_starts(self) -> int:
        """A worker is about to be started; return how many bytes are in the spool by now: news of an earlier one."""
        self.close()
        try:
            size = (self._folder / SPOOL_NAME).stat().st_size
        except FileNotFoundError:
            size = 0
        self._fresh_from = size
        self._reader = SpoolReader(self._folder)
        return size

    def worker_started(self, at: int) -> None:
        """The worker has the session to itself, and its events begin there: a predecessor may have written until then."""
        self._fresh_from = max(self._fresh_from, at)
        if self._reader is not None:
            self._reader.hold()

    def read(self) -> Iterator[events.Event]:
        """What is new. Raises what `store.guard.open_guarded` does."""
        reader = self._reader
        if reader is None:
            return
        reader.skip_to(self._fresh_from)
        flood = False  # of many messages, one says it
        while frames := reader.read_new():
            for frame in frames:
                event = self._event(frame.code, frame.payload) if frame.offset >= self._fresh_from else None
                if event is None or (flood and isinstance(event, events.MessageArrived)):
                    continue
                flood = isinstance(event, events.MessageArrived)
                yield event

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _event(self, code: int, payload: bytes) -> events.Event | None:
        """None for mail, but for a message: that one has come proves that the connection works."""
        try:
            event = self._translate(code, payload)
        except Exception:  # noqa: BLE001 - the bytes come from outside; the intake tells it
            return None
        if isinstance(event, events.MessageReceived):
            return events.MessageArrived()
        return None if isinstance(event, MAIL) else event
