"""Keeps what the manager tells in a file of the home (`store.manager_log`), for `wasess logs` and for whoever looks later.

The event loop only puts a line into a queue; a thread of its own does all that touches the disk. While the disk is full or hangs, lines
are lost, and the first line after that says how many.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TextIO

from wasess.store.guard import FILE_MODE, FOLDER_MODE, guard_file, guard_folder
from wasess.store.manager_log import LOG_BYTES, OLD_LOGS, log_path
from wasess.supervisor.report import Notice, fields_of
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES_WAITING = 5000
WRITTEN_WITHIN = 1.0  # at the end


def open_log(path: Path) -> TextIO:
    """Open the file to append to it (0600), and its folder (0700); half a line that a crash or a full disk has left is ended.

    Raises `OSError` or `UnsafeHome`.
    """
    with suppress(FileExistsError):
        path.parent.mkdir(mode=FOLDER_MODE)
    guard_folder(path.parent, tighten=True)
    guard_file(path, tighten=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "a", buffering=1, encoding="utf-8")


class LogFile:
    """A `report.Reporter`, within a ``with`` block: at its end everything told is in the file, unless the disk does not take it in a second.

    What merely repeats (level debug) is left out. ``complain`` gets one notice each time the file becomes impossible to write; it is
    called from a thread.
    """

    def __init__(
        self,
        home: Path,
        complain: Callable[[Notice], None] = lambda _notice: None,
        opener: Callable[[Path], TextIO] = open_log,
        size: int = LOG_BYTES,
    ) -> None:
        lines: SimpleQueue[Any] = SimpleQueue()
        self._handler = _LogHandler(log_path(home), complain, opener, size)
        self._queue = _Lines(lines, self._handler)
        self._listener = QueueListener(lines, self._handler)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        ending = threading.Thread(target=self._end, name="log-end", daemon=True)
        ending.start()
        ending.join(WRITTEN_WITHIN)
        if ending.is_alive():
            self._handler.abandon()

    def report(self, notice: Notice) -> None:
        """See `report.Reporter`."""
        if notice.level != "debug":
            self._queue.handle(logging.makeLogRecord({"msg": json.dumps(fields_of(notice))}))

    def _end(self) -> None:
        self._listener.stop()
        self._handler.close()


class _Lines(QueueHandler):
    """The event loop's side. What the thread can't keep up with is lost."""

    def __init__(self, lines: SimpleQueue[Any], handler: _LogHandler) -> None:
        super().__init__(lines)
        self._lines = lines
        self._handler = handler

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < LINES_WAITING:
            self._lines.put(record)
        else:
            self._handler.overflowed += 1


class _NoLock:
    """Is always free. Python before 3.13 takes None for it, too."""

    def acquire(self) -> None:
        pass

    def release(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _LogHandler(RotatingFileHandler):
    """The thread's side. ``overflowed`` counts the lines that did not fit into the queue: the event loop's to write, as the rest is the thread's."""

    def __init__(self, path: Path, complain: Callable[[Notice], None], opener: Callable[[Path], TextIO], size: int) -> None:
        super().__init__(path, maxBytes=size, backupCount=OLD_LOGS, encoding="utf-8", delay=True)
        self.overflowed = 0
        self._unwritten = 0
        self._confessed = 0
        self._path = path
        self._complain = complain
        self._opener = opener
        self._errors: list[object] = []
        self._well = True

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """One thread alone comes here; a lock that it holds while the disk hangs would hold up the end of the process."""
        self.lock = _NoLock()  # type: ignore[assignment]  # of a lock, `logging` uses just this

    def flush(self) -> None:
        """Each line is written as it comes."""

    def abandon(self) -> None:
        """Forget the file, for the interpreter waits at its end for what is open."""
        self.stream = None

    def emit(self, record: logging.LogRecord) -> None:
        lost = self.overflowed + self._unwritten - self._confessed
        self._errors.clear()
        if lost:
            record.msg = f"{_gap(lost)}\n{record.msg}"
        super().emit(record)
        if not self._errors:
            self._confessed += lost
            self._well = True
            return
        self._unwritten += 1
        if self._well:
            self._well = False
            self._complain(_trouble(self._errors[-1]))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - the standard library's name and contract
        """Let the file go, with what is stuck in its buffer; the next line tries anew."""
        self._errors.append(sys.exc_info()[1])
        stream = self.stream
        self.abandon()
        with suppress(OSError, ValueError):
            if stream:
                stream.close()

    def _open(self) -> Any:
        return self._opener(self._path)


def _gap(lost: int) -> str:
    line = plural(
        "{count} line is missing here: the log could not be written", "{count} lines are missing here: the log could not be written", lost
    ).format(count=lost)
    return json.dumps(fields_of(Notice(time.time(), "log_gap", line, level="warning")))


def _trouble(error: object) -> Notice:
    line = _("the log can't be written ({problem}); the sessions go on without it").format(problem=error)
    return Notice(time.time(), "trouble", line, code="LOG_NOT_WRITTEN", reason=line, level="warning")
