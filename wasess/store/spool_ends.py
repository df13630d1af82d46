"""Remembers in ``spool.ends`` where the last events of a spool end, so that a spool that was cut is known to be. Imported by the worker: light.

What a file has lost at its end can't be seen in the file. The manager notices a cut while it serves; this is for one that finds a shorter spool
when it starts: events that a worker had written, that WhatsApp has been told were taken, and that nobody had read yet.

::

    head of the spool (12 bytes) | 4 zero bytes | u64le inode of the spool | `SLOTS` times u64le: the offset at which an event ends, 0 for none

The slots are used in turn, each with one write of eight bytes behind that of its event: a worker that is killed between them leaves one event
unnoted. It is no loss when this file is gone or changed: then a cut is noticed as before, or one event too many is counted.
"""

from __future__ import annotations

import os
import stat
import struct
from contextlib import suppress
from typing import NamedTuple

from wasess.store.frame import HEADER_SIZE

ENDS_NAME = "spool.ends"
SLOTS = 1024

_HEAD = struct.Struct(f"<{HEADER_SIZE}s4xQ")
_SLOT = struct.Struct("<Q")
_SLOTS = struct.Struct(f"<{SLOTS}Q")
_SIZE = _HEAD.size + _SLOTS.size
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # never waits, should it be a named pipe


class Ends(NamedTuple):
    """``head``: of the spool, in hex, as `store.spool.Place` has it; ``ends``: in no order."""

    head: str
    inode: int
    ends: tuple[int, ...]

    def beyond(self, offset: int) -> int:
        """How many events ended behind an offset: exact for the last `SLOTS`, and for what was before them as many as have room there."""
        found = [end for end in self.ends if end > offset]
        if len(found) < SLOTS:
            return len(found)
        span = max(found) - min(found)
        return len(found) + (min(found) - offset) * (SLOTS - 1) // max(span, 1)


def read_ends(path: str) -> Ends | None:
    """What is noted at ``path``; None when nothing is, or nothing that makes sense."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    try:
        return _parse(os.read(descriptor, _SIZE))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def cut_off(ends: Ends | None, known: tuple[int, str, int] | None, identity: tuple[int, str], size: int) -> int:
    """How many events a worker had written that are not in the spool any more, and were not taken in.

    ``known`` is the place up to which they were (`store.spool.Place`), ``identity`` and ``size`` are those of the file that is there now.
    """
    if ends is None:
        return 0
    inode, head = identity
    _inode, known_head, position = known or (0, head, 0)
    if ends.head == head:
        return ends.beyond(max(size, position if known_head == head else 0))
    if known is not None and known_head != ends.head:
        return 0  # what is noted is of a file before that
    return ends.beyond(max(size if ends.inode == inode else 0, position))  # the same inode: only its first bytes have changed


def forget_ends(path: str) -> None:
    """What was cut off has been counted; a worker notes anew."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - pathlib is not loaded in the worker


def _parse(data: bytes) -> Ends | None:
    if len(data) != _SIZE:
        return None
    head, inode = _HEAD.unpack_from(data)
    return Ends(head.hex(), inode, tuple(end for end in _SLOTS.unpack_from(data, _HEAD.size) if end)) if any(head) else None


class EndNotes:
    """The writer's side. ``spool``: the path of the spool, ``about``: what `os.fstat` says of it. Never raises: it is an aid, and no promise."""

    def __init__(self, spool: str, about: os.stat_result) -> None:
        size, inode = about.st_size, about.st_ino
        path = os.path.join(os.path.dirname(spool), ENDS_NAME)  # noqa: PTH118, PTH120 - pathlib is not loaded in the worker
        self._inode = inode
        self._next = 0
        self._begun = size > 0
        self._descriptor = -1
        if not stat.S_ISREG(about.st_mode):
            return
        with suppress(OSError):
            head = _head_of(spool) if size else b""
            found = read_ends(path)
            kept = sorted(end for end in found.ends if end <= size) if found and (found.head, found.inode) == (head.hex(), inode) else []
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _FLAGS, 0o600)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, self._filled(head, kept), 0)
            self._next = len(kept) % SLOTS

    def note(self, record: bytes, end: int) -> None:
        """An event was appended, and ends there. One system call."""
        if self._descriptor < 0:
            return
        try:
            if not self._begun:
                os.pwrite(self._descriptor, _HEAD.pack(record[:HEADER_SIZE], self._inode), 0)
                self._begun = True
            os.pwrite(self._descriptor, _SLOT.pack(end), _HEAD.size + self._next * _SLOT.size)
            self._next = (self._next + 1) % SLOTS
        except OSError:
            return

    def close(self) -> None:
        """Note no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _filled(self, head: bytes, ends: list[int]) -> bytes:
        return _HEAD.pack(head, self._inode) + _SLOTS.pack(*ends, *[0] * (SLOTS - len(ends)))


def _head_of(spool: str) -> bytes:
    descriptor = os.open(spool, os.O_RDONLY | _FLAGS)
    try:
        return os.read(descriptor, HEADER_SIZE)
    finally:
        os.close(descriptor)
