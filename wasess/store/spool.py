"""Reads ``spool.log``, the raw events as the worker appended them, and remembers how far it has been dealt with.

The writer may be killed in the middle of a frame, and the next one appends behind the torn end; so an end that is not complete
means "wait", and bytes that make no frame are skipped as soon as a good frame stands behind them. The format is in `store.frame`.
"""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wasess.store.atomic import write_atomic
from wasess.store.damage import destroyed
from wasess.store.frame import HEADER_SIZE, MAGIC, parse
from wasess.store.guard import beginning, open_guarded, read_range
from wasess.store.holes import behind_hole, punch, zero
from wasess.store.lock import FileLock
from wasess.store.spool_ends import ENDS_NAME, cut_off, forget_ends, read_ends
from wasess.words import mark

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SPOOL_NAME = "spool.log"
POSITION_NAME = "spool.pos"
LOCK_NAME = "lock"
WINDOW = 4 * 1024 * 1024
CHUNK = 64 * 1024
HOLE_FROM = 4096  # a block: what is before it can't be given back alone


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. ``offset`` and ``end`` are byte positions in the spool; ``code`` is neonize's number of the event.

    ``damaged``: so many events were destroyed between the one before it and this one.
    """

    offset: int
    end: int
    code: int
    payload: bytes
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """How much a spool holds, in bytes: ``size`` in all, ``unread`` of it not dealt with yet. ``frames``: the events in the unread part.

    What was given back (`release`) is not held. ``damaged``: unread bytes that make no event. ``counted``: False when the unread part was too long to be looked through.
    ``gone``: the events were taken in up to a place in another file, or behind the end of this one: some may be missing.
    """

    size: int = 0
    unread: int = 0
    frames: int = 0
    damaged: int = 0
    counted: bool = True
    gone: bool = False


class _Identity(NamedTuple):
    """Tells one spool file from the next: inode numbers come back soon after a removal, a frame's checksum does not."""

    inode: int
    head: str


class Place(NamedTuple):
    """A place in a spool file: everything before byte ``position`` of the file that ``inode`` and ``head`` tell from others."""

    inode: int
    head: str
    position: int


_NO_FILE = _Identity(0, "")


class SpoolReader:
    """Reads the spool in ``folder``, beginning behind what was committed. One reader per spool.

    It keeps the file open: what a worker has appended is read to its end, whatever becomes of the file's name meanwhile (see `hold`).

    ``skipped_bytes`` counts the damaged bytes that this reader has passed. ``known`` is a place that was remembered elsewhere: where it fits the file,
    it counts, and not what `commit` has noted. ``lost``: so many events at the least are gone with a file that is not there any more, or was cut
    off before they were read; whoever has counted them sets it to 0. ``cut``: the file has become shorter than what was read of it, under a worker.
    """

    def __init__(self, folder: Path, known: Place | None = None) -> None:
        self._known = known
        self._spool = folder / SPOOL_NAME
        self._position_file = folder / POSITION_NAME
        self._lock_file = folder / LOCK_NAME
        self._identity = _NO_FILE
        self._descriptor = -1
        self._closing: Callable[[], object] = int
        self._ends = read_ends(str(folder / ENDS_NAME))
        self._cursor = 0
        self._written_to = False
        self._held = False
        self._over = True
        self.skipped_bytes = 0
        self.lost = 0
        self.cut = False

    def read_new(self) -> list[Frame]:
        """Return the complete frames behind the last one returned, up to some megabytes; call again until it returns none."""
        while True:
            frames = self._read_on()
            if frames or self._held:
                return frames
            if self._over:
                self._written_to, self.cut, self.lost = False, False, self.lost + self.cut
            if not self.replaced:
                return []
            self.close()
            if not self._open():
                return []

    @property
    def replaced(self) -> bool:
        """Whether the name leads to another file than the one that is being read, or nowhere."""
        if self._descriptor < 0:
            return False
        try:
            return not os.path.samestat(self._spool.lstat(), os.fstat(self._descriptor))
        except OSError:
            return True

    def hold(self) -> None:
        """A worker appends to the file: stay with it, until `let_go`, even if it loses its name."""
        self._written_to, self._over = True, False
        self._held = (self._descriptor >= 0 or self._open()) and not self.replaced

    def let_go(self) -> None:
        """Nobody appends any more: what is at the name is read next, once all is read that was held."""
        self._held, self._over = False, True

    def close(self) -> None:
        """Close the file; it is opened again when it is read."""
        self._closing()
        self._descriptor, self._closing = -1, int

    def here(self) -> Place:
        """The place behind the last frame that was returned."""
        return self.place(self._cursor)

    def place(self, end: int) -> Place:
        """The place behind a frame that was returned (`Frame.end`), to be remembered elsewhere."""
        return Place(*self._identity, end)

    def rewind(self, offset: int) -> None:
        """Return the frames from there on (`Frame.offset`) once more."""
        self._cursor = min(self._cursor, offset)

    def skip_to(self, offset: int) -> None:
        """Return nothing that begins before ``offset``, of the file as it is now; a file that is shorter is read as it is."""
        if self._cursor < offset and (self._descriptor >= 0 or self._open()) and offset <= self._settle():
            self._cursor = max(self._cursor, offset)

    def start_over(self) -> None:
        """Return all that the file still holds once more: whoever had taken it in has lost it."""
        self._known = None
        if self._descriptor >= 0:
            self._cursor = _position(self._descriptor, None, self._position_file)

    def commit(self, end: int, *, mailed: bool = False) -> None:
        """Remember that everything before ``end`` (a `Frame.end`) is dealt with. Survives kill -9; after a power cut frames may come again.

        ``mailed``: what is before it is in the session's mail (`was_mailed`).
        """
        _store_position(self._position_file, self.place(end), mailed=mailed)

    def compact(self) -> int:
        """Drop what is committed; return how many bytes that were.

        The offsets of frames returned before mean nothing afterwards. Takes the session's lock meanwhile, because a worker would go on writing to the file that is replaced:
        raises `errors.Locked` while one lives.
        """
        with FileLock.acquire(self._lock_file, mark("compacting the spool")):
            if self.replaced or (self._descriptor < 0 and not self._open()):
                return 0
            size = self._settle()
            committed = _stored_position(self._position_file, self._identity, size)
            if not committed:
                return 0
            write_atomic(self._spool, read_range(self._descriptor, size - committed, committed))
            # A crash here leaves a position that belongs to no file: the reader begins at 0, which is right.
            cursor = self._cursor - committed
            self.close()
            self._known = None
            self._open()
            self._identity, self._cursor = _identify(self._descriptor), cursor
            self.commit(0, mailed=was_mailed(self._position_file.parent))
            return committed

    def _read_on(self) -> list[Frame]:
        if self._descriptor < 0 and not self._open():
            return []
        size = self._settle()
        for window in (WINDOW, size):
            data = read_range(self._descriptor, min(window, size - self._cursor), self._cursor)
            frames, skipped = scan(data, self._cursor)
            if frames:
                self._cursor = frames[-1].end
                self.skipped_bytes += skipped
                return frames
            if self._cursor + len(data) >= size:
                break
        return []

    def _open(self) -> bool:
        """Open what is at the name now; False when nothing is. Raises what `guard.open_guarded` does."""
        with open_guarded(self._spool) as descriptor:
            if descriptor is None:
                self._miss(self._known, 0)
                self._known, self._identity, self._cursor = None, _NO_FILE, 0
                return False
            self._descriptor = os.dup(descriptor)
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        self._identity, self._held = _NO_FILE, self._written_to
        return True

    def _settle(self) -> int:
        """Set the cursor to the stored position when this is not the file read last time; return the file's size."""
        found = os.fstat(self._descriptor)
        size, identity = found.st_size, _identity(self._descriptor, found)
        if identity != self._identity or self._cursor > size:
            if self._identity.inode and self._cursor:  # the same file, and another content
                self.cut, self.lost = self.cut or self._written_to, self.lost + (not self._written_to)
            self._identity = identity
            self._cursor = self._begin(size)
        return size

    def _begin(self, size: int) -> int:
        """What is known counts for the file that is found first: a later one may get its inode number, and begin with the same event."""
        known, self._known = self._known, None
        self._miss(known, size)
        return _position(self._descriptor, known, self._position_file)

    def _miss(self, known: Place | None, size: int) -> None:
        """Count what is gone, once: with the file that is found first."""
        ends, self._ends = self._ends, None
        gone = _is_gone(known, self._identity, size, self._position_file)
        self.lost += max(gone, cut_off(ends, known, self._identity, size))

    def counted(self) -> None:
        """What was ``lost`` stands in the ledger: the next reader does not count it again."""
        forget_ends(str(self._spool.with_name(ENDS_NAME)))


def depth(folder: Path, known: Place | None = None) -> Depth:
    """Look at the spool in ``folder`` without reading on in it; of an unread part, up to 16 MB are looked through. ``known``: see `SpoolReader`."""
    ends = read_ends(str(folder / ENDS_NAME))  # first: a worker may append meanwhile
    with open_guarded(folder / SPOOL_NAME) as descriptor:
        if descriptor is None:
            return Depth(gone=(known is not None and known.position > 0) or cut_off(ends, known, _NO_FILE, 0) > 0)
        size, identity = os.fstat(descriptor).st_size, _identify(descriptor)
        gone = _is_gone(known, identity, size, folder / POSITION_NAME) or cut_off(ends, known, identity, size) > 0
        position = _position(descriptor, known, folder / POSITION_NAME)
        unread, held = size - position, size - max(0, behind_hole(descriptor, HOLE_FROM, size) - HOLE_FROM)
        if unread > 4 * WINDOW:
            return Depth(held, unread, counted=False, gone=gone)
        data = read_range(descriptor, unread, position)
    frames, skipped = scan(data, position)
    rest = data[frames[-1].end - position if frames else 0 :]
    # A torn end may still be written to.
    return Depth(held, unread, len(frames), skipped + (len(rest) if destroyed(rest) else 0), gone=gone)


def release(folder: Path, place: Place) -> None:
    """Overwrite what stands before a place, and give it back to the file system; no offset changes, and who appends is not disturbed.

    For what is on the disk elsewhere: it can't be read here any more. The first bytes stay: they tell this file from others.
    """
    with open_guarded(folder / SPOOL_NAME) as known:
        if known is None or not _fits(place, known):
            return
        _store_position(folder / POSITION_NAME, place, mailed=True)
        start = max(HEADER_SIZE, _released(known, place.position))
        descriptor = os.open(f"/proc/self/fd/{known}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        punched = punch(descriptor, max(HOLE_FROM, start), place.position)
        zero(descriptor, start, min(HOLE_FROM, place.position) if punched else place.position)
    finally:
        os.close(descriptor)


def _released(descriptor: int, end: int) -> int:
    """Where what was released ends, looking no further than ``end``; 0 when nothing was. No event begins with a zero byte."""
    header = os.pread(descriptor, HEADER_SIZE, 0)
    length = int.from_bytes(header[4:8], "little")
    found = _first_written(descriptor, HEADER_SIZE, end)
    if not header.startswith(MAGIC) or found < HEADER_SIZE + max(length, 1) or (length and parse(header + bytes(length), 0)):
        return 0
    return found


def _first_written(descriptor: int, start: int, end: int) -> int:
    """The first byte that is not zero; ``end`` when there is none before it."""
    while start < end:
        start = behind_hole(descriptor, start, end)
        data = os.pread(descriptor, min(CHUNK, end - start), start)
        if not data:
            break
        if data != bytes(len(data)):
            return start + len(data) - len(data.lstrip(b"\0"))
        start += len(data)
    return min(start, end)


def scan(data: bytes, base: int = 0) -> tuple[list[Frame], int]:
    """Find the complete frames in ``data``, which begins at byte ``base`` of the spool.

    Also returns how many damaged bytes lie before and between them. What follows the last frame is not judged: it may be
    a frame that is still being written.
    """
    frames: list[Frame] = []
    skipped = expected = 0
    start = data.find(MAGIC)
    while start >= 0:
        found = parse(data, start)
        if found:
            code, end, payload = found
            frames.append(Frame(base + start, base + end, code, payload, destroyed(data[expected:start]) if start > expected else 0))
            skipped += start - expected
            expected = end
            start = data.find(MAGIC, end)
        else:
            start = data.find(MAGIC, start + 1)
    return frames, skipped


def was_mailed(folder: Path) -> bool:
    """Whether events were taken out of the spool into the session's mail: without that file, they are gone."""
    try:
        return bool(json.loads(beginning(folder / POSITION_NAME))["mailed"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _store_position(path: Path, place: Place, *, mailed: bool) -> None:
    noted = place._asdict() | ({"mailed": True} if mailed else {})
    write_atomic(path, json.dumps(noted).encode(), durable=False)


def _identify(descriptor: int) -> _Identity:
    return _identity(descriptor, os.fstat(descriptor))


def _identity(descriptor: int, found: os.stat_result) -> _Identity:
    return _Identity(found.st_ino, os.pread(descriptor, HEADER_SIZE, 0).hex())


def _fits(place: Place, descriptor: int) -> bool:
    """Whether it is a place in this very file."""
    return place[:2] == _identify(descriptor) and 0 <= place.position <= os.fstat(descriptor).st_size


def _position(descriptor: int, known: Place | None, path: Path) -> int:
    """Where to read on: at the known place, else at the one that is noted in the file at ``path``; never in what was released."""
    if known is not None and _fits(known, descriptor):
        return known.position
    size = os.fstat(descriptor).st_size
    return _stored_position(path, _identify(descriptor), size) or _released(descriptor, size)


def _is_gone(known: Place | None, identity: _Identity, size: int, path: Path) -> bool:
    """Events may be gone where the known place was in a file that is not this one, nor a copy of it, and nobody has noted one in this."""
    if known is None or not known.position or (known.head == identity.head and known.position <= size):
        return False
    return not _was_begun(path, identity)


def _was_begun(path: Path, identity: _Identity) -> bool:
    """Whether the position that is stored is in this file, as it is or as it was when nothing was in it."""
    try:
        place = json.loads(beginning(path))
        return bool(identity.inode and place["inode"] == identity.inode and place["head"] in {"", identity.head})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _stored_position(path: Path, identity: _Identity, size: int) -> int:
    """Return the position for this very file; 0 (everything comes again) when there is none that fits."""
    try:
        place = json.loads(beginning(path))
        if (place["inode"], place["head"]) == identity and 0 <= int(place["position"]) <= size:
            return int(place["position"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    return 0
