"""Turns the records of all loggers (ours, asyncio's, uvicorn's), warnings and uncaught exceptions into notices: one way into the log.

A record is a text of ours with what strangers chose in it. It goes through `core.redact`, and the reporters make it harmless.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from wasess.core.redact import redact
from wasess.supervisor.report import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasess.core.reasons import Level
    from wasess.supervisor.report import Reporter

FRAMES = 40  # of one exception, the innermost
CHAIN = 5  # exceptions that led to one another
LONGEST_PROBLEM = 500  # characters: an exception may quote what it was given
DEEP_ENOUGH = 2  # parts of a file's path: its folder and its name

logger = logging.getLogger(__name__)


@contextmanager
def logging_to(reporter: Reporter) -> Iterator[None]:
    """Have everything that Python or a library would write to stderr reported inside the ``with`` block."""
    handler = _Handler(reporter)
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's own
    sys.excepthook = lambda _kind, error, _trace: logger.error("uncaught error", exc_info=error)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _could_not_raise
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = before
        logging.captureWarnings(False)  # noqa: FBT003 - as above
        logging.getLogger().removeHandler(handler)


class _Handler(logging.Handler):
    """Reports a record; one whose text can't be made is reported by its template."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - whatever an argument's __str__ raises: the line matters more
            text = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        self._reporter.report(
            Notice(
                record.created,
                "log",
                redact(text.strip()),
                getattr(record, "session", ""),
                level=_level(record.levelno),
                traceback=tuple(lines_of(error)) if error else (),
                kind=f"{record.name}: {getattr(record, 'kind', record.msg)}",
            )
        )


def lines_of(error: BaseException) -> Iterator[str]:
    """A traceback: where it was raised, the innermost last, then what; before it the exceptions that it came from.

    Without the source lines, and of the paths the end: the file and its folder.
    """
    chain = [error]
    while len(chain) < CHAIN and (earlier := chain[-1].__cause__ or chain[-1].__context__) and earlier not in chain:
        chain.append(earlier)
    for found in reversed(chain):
        for frame in traceback.extract_tb(found.__traceback__)[-FRAMES:]:
            yield f"{'/'.join(PurePath(frame.filename).parts[-DEEP_ENOUGH:])}:{frame.lineno} in {frame.name}"
        yield f"{type(found).__name__}: {redact(_words(found))[:LONGEST_PROBLEM]}"


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of somebody's that can't be said
        return ""


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    return "warning" if number >= logging.WARNING else "info"


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not SystemExit:
        logger.error("uncaught error in a thread", exc_info=failure.exc_value)


def _could_not_raise(failure: Any) -> None:
    where = getattr(failure.object, "__qualname__", type(failure.object).__name__)
    logger.error("uncaught error in %s", where, exc_info=failure.exc_value)
