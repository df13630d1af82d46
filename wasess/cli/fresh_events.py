"""Reads the events of a pairing from the session's spool, and leaves in it what is `wasess serve`'s to deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core import events
from wasess.link.translate import Untranslatable, translate
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = (events.MessageReceived, events.Undecryptable)


class FreshEvents:
    """What comes into a spool from now on. Older frames (of a session that is linked again) are passed over."""

    def __init__(self, folder: Path) -> None:
        self._spool = SpoolReader(folder)
        self._nothing_to_deliver = not self._spool.read_new()
        while self._spool.read_new():
            pass
        self._dealt_with = 0

    def read(self) -> list[events.Event]:
        """The events that have arrived since the last call."""
        found: list[events.Event] = []
        while frames := self._spool.read_new():
            for frame in frames:
                event = _translated(frame.code, frame.payload)
                found.append(event)
                self._nothing_to_deliver &= not isinstance(event, MESSAGES)
                if self._nothing_to_deliver:
                    self._dealt_with = frame.end
        return found

    def commit(self) -> None:
        """Mark as dealt with what stands before the first message, so that `serve` does not live through the pairing again."""
        if self._dealt_with:
            self._spool.commit(self._dealt_with)


def _translated(code: int, payload: bytes) -> events.Event:
    try:
        return translate(code, payload)
    except Untranslatable:
        return events.OtherEvent(code)
