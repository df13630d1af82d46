"""What people are told of one session, and when it has been said already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.supervisor.report import Notice, state_notice
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.clock import Clock
    from wasess.core.commands import Report
    from wasess.core.reasons import Level, Reason
    from wasess.supervisor.report import Reporter

SAME_AGAIN_AFTER = 600.0
# These strike all sessions of a home at once, and one person with one remedy: the first of them is an alert, the others are news.
CONCERN_ALL = frozenset({reasons.OUTDATED, reasons.DISK_FULL, reasons.CLOCK_WRONG})


class Alerts:
    """Which alerts that concern all sessions are out. Shared by all tellers."""

    def __init__(self) -> None:
        self._out: set[Reason] = set()

    def level(self, reason: Reason, level: Level) -> Level:
        """The level at which a reason is told: the first time as it is, then as news."""
        if reason is reasons.ONLINE:
            self._out.clear()
        if reason not in CONCERN_ALL or level == "debug":
            return level
        if reason in self._out:
            return "info"
        self._out.add(reason)
        return level


class Teller:
    """Speaks for one session, through a reporter."""

    def __init__(self, user: str, reporter: Reporter, clock: Clock, alerts: Alerts) -> None:
        self._user = user
        self._reporter = reporter
        self._clock = clock
        self._alerts = alerts
        self._began_at = 0.0
        self._restoring = False
        self._restored = False
        self._said: dict[str, float] = {}

    def begin(self) -> None:
        """It is brought up, for the first time or anew."""
        self._began_at = self._clock.steady()
        self._restoring = self._restored = False

    def starting(self) -> None:
        """A worker is started: the first one is the restoring."""
        if not self._restoring:
            self._restoring = True
            self._began_at = self._clock.steady()
            self._tell("restoring", _("restoring {user}").format(user=self._user))

    def report(self, change: Report) -> None:
        """A change that the machine reports; its ``next_try_at`` is wall time."""
        lines = {
            reasons.STARTING: "",
            reasons.ONLINE: _("{user} is online again").format(user=self._user) if self._restored else "",
            reasons.STOPPED: _("{user} stopped").format(user=self._user),
        }
        change = replace(change, level=self._alerts.level(change.reason, change.level))
        self._reporter.report(state_notice(self._user, change, self._clock.now(), lines.get(change.reason)))
        if change.reason is reasons.ONLINE and not self._restored:
            self._restored = True
            seconds = self._clock.steady() - self._began_at
            self._tell("restored", _("{user} restored ({seconds:.1f} s)").format(user=self._user, seconds=seconds))
            self._tell("reconnect_on", _("automatic reconnect on for {user}").format(user=self._user))

    def poison(self, code: int, error: Exception) -> None:
        """A frame in the spool could not be read."""
        self.trouble(
            "POISON_FRAME",
            _("an event of kind {code} can't be read and was skipped ({error})").format(code=code, error=type(error).__name__),
        )

    def trouble(self, code: str, sentence: str, *, action: str = "", level: Level = "warning", sparing: bool = False) -> None:
        """Something is wrong beside the session's state. With ``sparing`` the same code is told once in ten minutes."""
        now = self._clock.steady()
        if sparing and now - self._said.get(code, -SAME_AGAIN_AFTER) < SAME_AGAIN_AFTER:
            return
        self._said[code] = now
        line = f"{self._user}: {sentence}. {action}" if action else f"{self._user}: {sentence}"
        notice = Notice(self._clock.now(), "trouble", line, self._user, code=code, reason=sentence, action=action, level=level)
        self._reporter.report(notice)

    def _tell(self, event: str, line: str) -> None:
        self._reporter.report(Notice(self._clock.now(), event, line, self._user))
