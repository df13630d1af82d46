"""Appends to ``spool.log``, with room behind its end that is taken from the disk beforehand. Imported by the worker: light.

An event is acknowledged to WhatsApp before it is written, so a write must not meet a full disk. Behind the end of the file lie
blocks that belong to it already (``fallocate`` with ``FALLOC_FL_KEEP_SIZE``: the size, which the reader goes by, stays).
`append` tells when that room can't be had any more; by then there is still enough for what the library holds: 100 events in its
channel and a few on the way there. They count as large as the largest so far, 8 KiB at least and 64 KiB, the longest text that
a phone sends, at most: 1 to 8 MiB for each session.

The room is taken by whoever appends, 64 KiB at once (some 50 µs, for a few dozen events): a thread beside it could come too late.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import threading
from collections import deque
from contextlib import suppress

from wasess.link.receipts import NOTE
from wasess.store.frame import HEADER_SIZE, MAGIC, frame
from wasess.store.spool_ends import EndNotes
from wasess.words import _

EVENTS = 128
SMALLEST, LARGEST = 8 * 1024, 64 * 1024
STEP = 64 * 1024

_KEEP_SIZE = 1
# The file system does not know how, or it is no file on a disk.
_NOT_THERE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.ESPIPE})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpoolFile:
    """An open spool. One thread at a time may `append`; `sync` is for any."""

    def __init__(self, path: str, *, durable: bool = False) -> None:
        """Open it for appending; made with 0600 when it is not there. ``durable``: what was appended counts only after the next `sync`."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)  # never waits for somebody who reads, should it be a named pipe
        os.set_blocking(self._descriptor, True)
        self._fallocate = ctypes.CDLL(None, use_errno=True).fallocate
        self._fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        found = os.fstat(self._descriptor)
        self._path = path
        self._identity = found.st_dev, found.st_ino
        self._end = found.st_size
        self._ends = EndNotes(path, found)
        self._durable = durable
        self._unnoted: deque[tuple[bytes, int]] = deque()
        self._noting = threading.Lock()
        self._written = self._written_before = 0
        self._fault = ""
        self._taken = 0
        self._needed = EVENTS * SMALLEST
        self.full = ""  # why no more room can be had; the last thing to be told

    @property
    def end(self) -> int:
        """How long it is."""
        return self._end

    def append(self, record: bytes) -> bool:
        """Write it; False when the room behind it has fallen below what is needed, and no more can be had (`full` says why).

        Raises `OSError` when it could not be written.
        """
        size = len(record)
        if os.write(self._descriptor, record) != size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += size
        self._written += 1
        if self._durable:
            self._unnoted.append((record[:HEADER_SIZE], self._end))
        else:
            self._ends.note(record, self._end)
        if size > SMALLEST:
            self._needed = max(self._needed, EVENTS * min(size, LARGEST))
        return self._taken - self._end >= self._needed or self.reserve()

    def reserve(self) -> bool:
        """Take room; False when it can't be had. True without any where the file system does not know how. Raises `OSError`."""
        end = self._end + self._needed + STEP
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        number = errno.EFBIG if resource.RLIM_INFINITY != limit < end else self._take(end)
        if number in _FULL:
            self.full = _("no room for {size} KiB of events that may still come: {problem}").format(
                size=self._needed // 1024, problem=os.strerror(number)
            )
        elif number and number not in _NOT_THERE:
            raise OSError(number, os.strerror(number))
        else:
            self._taken = end
        return not self.full

    def fault(self, just: int = 0) -> str:
        """What has become of the file: empty as long as its name leads to it and it is as long as what was written; once it is not, that stays.

        What is appended then, nobody may ever find. ``just``: as many were appended since the last look. One system call, some 2 µs.
        """
        if not self._fault:
            self._fault = self._look()
            self._written_before = self._written - just
        return self._fault

    def sign_off(self) -> None:
        """Leave a note behind a `fault`, for who still reads it: how much was written until then (`core.events.SpoolLost`).

        Of a file that was cut, a reader may go on anywhere before what was its end: the note stands behind that, and beginnings of frames before it.
        """
        if self._fault:
            note = b"spool-lost\0%d\0%d" % (self._written_before, self._written - self._written_before)
            with suppress(OSError):
                lacks = self._end - os.fstat(self._descriptor).st_size
                if lacks > LARGEST:
                    os.truncate(self._descriptor, self._end)
                elif lacks > 0:
                    os.write(self._descriptor, MAGIC * (lacks // len(MAGIC) + 1))
                os.write(self._descriptor, frame(NOTE, note))

    def close(self) -> None:
        """Close it; the worker need not, as it ends."""
        os.close(self._descriptor)
        self._ends.close()

    def _look(self) -> str:
        end = self._end  # first: another thread may append meanwhile
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return _("was removed")
        except OSError as error:
            return _("can't be opened any more ({problem})").format(problem=error.strerror)
        if (found.st_dev, found.st_ino) != self._identity:
            return _("was replaced by another file")
        return _("was truncated") if found.st_size < end and stat.S_ISREG(found.st_mode) else ""

    def sync(self) -> None:
        """Bring it to the disk. Raises `OSError`."""
        end = self._end
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EROFS}:  # not a file on a disk: nothing to bring there
                raise
        with self._noting:  # whoever spools a note brings it to the disk himself
            while self._unnoted and self._unnoted[0][1] <= end:
                self._ends.note(*self._unnoted.popleft())

    def _take(self, end: int) -> int:
        """Make the blocks from the end of the file up to ``end`` the file's; return the error number."""
        while self._fallocate(self._descriptor, _KEEP_SIZE, self._end, end - self._end) != 0:
            number = ctypes.get_errno()
            if number != errno.EINTR:
                return number
        return 0
