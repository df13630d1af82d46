"""Bounds what a flood of one kind costs a log: a reporter in front of another, from any thread.

A stranger's message may have a line written (the library's about it, ours about the bot that failed on it); twenty thousand would push
everything else out of the log. What a session's state is, and every error of ours, always passes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from wasess.core.escaping import cut
from wasess.core.rate_limiter import TOLD_EVERY, RateLimiter
from wasess.supervisor.report import Notice
from wasess.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from wasess.core.rate_limiter import LeftOut
    from wasess.supervisor.report import Reporter

LONGEST_EXAMPLE = 120


class LimitedReporter:
    """A `report.Reporter`, within a ``with`` block. What was left out is told once a minute, and at the end."""

    def __init__(self, reporter: Reporter, steady: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._steady = steady
        self._limiter = RateLimiter()
        self._limiting = threading.RLock()
        self._alarm: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._limiting:
            if self._alarm:
                self._alarm.cancel()
        self.tell_left_out(within=0.0)

    def report(self, notice: Notice) -> None:
        """See `report.Reporter`."""
        if self._is_limited(notice) and not self._admits(notice):
            return
        self._reporter.report(notice)

    def tell_left_out(self, within: float = TOLD_EVERY) -> None:
        """Tell how many were left out, of each kind whose first one was at least so many seconds ago."""
        with self._limiting:
            self._alarm = None
            found = self._limiter.due(self._steady(), within)
        for left_out in found:
            self._reporter.report(_summary(left_out))

    @staticmethod
    def _is_limited(notice: Notice) -> bool:
        return notice.event == "log" or (notice.event == "trouble" and notice.level != "error")

    def _admits(self, notice: Notice) -> bool:
        with self._limiting:
            if self._limiter.admit((notice.event, notice.session, notice.kind or notice.code), notice.line, self._steady()):
                return True
            if self._alarm is None:
                self._alarm = threading.Timer(TOLD_EVERY, self.tell_left_out)
                self._alarm.daemon = True
                self._alarm.start()
            return False


def _summary(left_out: LeftOut) -> Notice:
    line = plural(
        "{count} more line like this one was left out: {line}", "{count} more lines like this one were left out: {line}", left_out.count
    ).format(count=left_out.count, line=cut(left_out.example, LONGEST_EXAMPLE))
    return Notice(time.time(), "log", line, level="warning")
