"""What nobody catches and what a logger says, in every command but `serve` (`supervisor.log_handler`): one harmless line on stderr.

Python would print tracebacks, and quote in them what strangers wrote.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from wasess.cli.render import mention
from wasess.core.redact import redact

if TYPE_CHECKING:
    from types import TracebackType


def install() -> None:
    """From now on, for the whole process."""
    logging.lastResort = _LastResort(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = _thread_failed
    sys.unraisablehook = _could_not_raise
    warnings.showwarning = _warned


class _LastResort(logging.Handler):
    """Where a record goes that no handler wants: without its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - whatever an argument's __str__ raises: the line matters more
            text = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        _say(f"{text.strip()} ({_named(error)})" if error else text.strip())


def _uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    _say(_named(error))


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not SystemExit:
        _say(_named(failure.exc_value))


def _could_not_raise(failure: Any) -> None:
    _say(_named(failure.exc_value))


def _warned(message: Warning | str, category: type[Warning], *_where: Any, **_how: Any) -> None:
    _say(f"{category.__name__}: {message}")


def _named(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    mention(redact(text))
