"""Carries out what the host asks of the library, in the worker: one function for each word. Imports as little as it can.

Any call may block for minutes, or for ever, each in a thread of its own; so there is a limit to how many of a sort may do so at once.
A file that is sent goes from the disk to the library here, never through the host's socket; one that came is fetched by `link.fetcher`.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

from wasess.link.calls import Word
from wasess.store.names import OUTGOING_NAME
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.calls import Call
    from wasess.link.library import Library
    from wasess.link.receipts import Receipts

    Way = Callable[[Library, tuple[bytes, ...]], bytes]

# One that nobody waits for any more stays in the library. A probe must not be refused because of the others.
MAX_PROBES, MAX_SIGNS, MAX_FILES = 3, 8, 2
# Before the first event the library still writes its maps, and they have no lock; in a pairing these are asked for.
BEFORE_EVENTS = frozenset({Word.SEND, Word.PAIR_PHONE, Word.LOGOUT, Word.PROBE, Word.PRESENCE})

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Errands:
    """One for a worker, whose working directory is the session's folder."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts
        probes, signs, files = Room(MAX_PROBES), Room(MAX_SIGNS), Room(MAX_FILES)
        self._ways: dict[int, tuple[Way, Room | None]] = {
            Word.SEND: (self._send, None),
            Word.PAIR_PHONE: (_pair_phone, None),
            Word.LOGOUT: (_logout, None),
            Word.PROBE: (_probe, probes),
            Word.PRESENCE: (_presence, probes),
            Word.UPLOAD: (_upload, files),
            Word.VOTE: (_vote, None),
            Word.MARK_READ: (_mark_read, signs),
            Word.TYPING: (_typing, signs),
        }

    def run(self, library: Library, call: Call, *, events: bool) -> tuple[bytes, str]:
        """Return the library's answer and why there is none. ``events``: the session has had its first."""
        try:
            way, room = self._way(call.word, events=events)
            if room is None:
                return way(library, call.fields), ""
            with room:
                return way(library, call.fields), ""
        except Refused as refusal:
            return b"", str(refusal)

    def _way(self, word: int, *, events: bool) -> tuple[Way, Room | None]:
        if word not in self._ways:
            raise Refused(_("the worker does not know the word {word}").format(word=word))
        if not events and word not in BEFORE_EVENTS:
            raise Refused(_("the session is not up yet"))
        return self._ways[word]

    def _send(self, library: Library, fields: tuple[bytes, ...]) -> bytes:
        recipient, message, key = fields
        self._receipts.sends(key)
        try:
            return library.send_message(recipient, message)
        finally:
            self._receipts.sends(b"")


class Refused(Exception):
    """What was asked for is not done; its text says why."""


class Room:
    """For so many at once; one more is refused, and does not wait."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    def __enter__(self) -> None:
        """Take a place. Raises `Refused`."""
        if not self._free.acquire(blocking=False):
            raise Refused(_("{count} requests are still without an answer").format(count=self._count))

    def __exit__(self, *_error: object) -> None:
        """Leave it."""
        self._free.release()


def _upload(library: Library, fields: tuple[bytes, ...]) -> bytes:
    """Read, not mapped: a file that somebody cuts short would end the process. From the folder of copies alone, whatever the name says."""
    name, kind, most = fields
    if b"/" in name:
        raise Refused(_("the path leads out of the session's folder"))
    folder = os.open(OUTGOING_NAME, _FOLDER)
    try:
        descriptor = os.open(name, _COPY, dir_fd=folder)
    finally:
        os.close(folder)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - it is open already
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_uid != os.geteuid():
            raise Refused(_("the copy of the file was replaced"))
        content = file.read(min(found.st_size, int(most)) + 1)
    if not content or len(content) > int(most):
        raise Refused(_("the file is empty, or larger than {most} bytes").format(most=int(most)))
    return library.upload(content, int(kind))


def _pair_phone(library: Library, fields: tuple[bytes, ...]) -> bytes:
    return library.pair_phone(*fields)


def _logout(library: Library, _fields: tuple[bytes, ...]) -> bytes:
    return _done(library.logout())


def _probe(library: Library, _fields: tuple[bytes, ...]) -> bytes:
    return library.blocklist()


def _presence(library: Library, fields: tuple[bytes, ...]) -> bytes:
    return _done(library.send_presence(*fields))


def _vote(library: Library, fields: tuple[bytes, ...]) -> bytes:
    return library.decrypt_vote(*fields)


def _mark_read(library: Library, fields: tuple[bytes, ...]) -> bytes:
    ids, at, chat, sender = fields
    return _done(library.mark_read(ids, int(at), chat, sender))


def _typing(library: Library, fields: tuple[bytes, ...]) -> bytes:
    chat, state = fields
    return _done(library.send_typing(chat, int(state)))


def _done(problem: str) -> bytes:
    if problem:
        raise Refused(problem)
    return b""
