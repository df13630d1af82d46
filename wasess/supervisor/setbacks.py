"""The sessions that nobody has stopped and that have no keeper now: why, and when they are tried again. Each is, always."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.live import Live
from wasess.core.states import State
from wasess.errors import WasessError
from wasess.supervisor.report import Notice
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from wasess.core.clock import Clock
    from wasess.supervisor.report import Reporter

FIRST_PAUSE = 5.0  # also between looks whether there is room for one more
LONGEST_PAUSE = 60.0
STEADY_AFTER = 60.0  # kept for so long, the failures before it are forgotten
SAME_AGAIN_AFTER = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Setback:
    """``since``, ``next_try``, ``told_at``, ``kept_since`` (None: it is not kept): moments of the steady clock. ``why`` is empty when nothing has failed."""

    since: float
    next_try: float
    why: str = ""
    failures: int = 0
    told: str = ""
    told_at: float = 0.0
    kept_since: float | None = None


class Setbacks:
    """Of one manager. Trouble is told when it changes, and every ten minutes while it lasts. ``blind``: why no session can be looked for."""

    def __init__(self, clock: Clock, reporter: Reporter) -> None:
        self._clock = clock
        self._reporter = reporter
        self._found: dict[str, _Setback] = {}
        self._blinded_at = 0.0
        self.blind = ""

    def failed(self, user: str, error: Exception, longest: float = LONGEST_PAUSE) -> None:
        """Its keeper could not start, or has failed: it is tried again, after pauses that grow up to ``longest`` seconds."""
        now, why = self._clock.steady(), said(error)
        before = self._found.get(user)
        if before is None or (before.kept_since is not None and now - before.kept_since >= STEADY_AFTER):
            before = _Setback(now, now)
        pause = min(longest, FIRST_PAUSE * 2 ** min(before.failures, 10))
        after = replace(before, since=now, next_try=now + pause, why=why, failures=before.failures + 1, kept_since=None)
        is_news = why != before.told or now - before.told_at >= SAME_AGAIN_AFTER
        self._found[user] = replace(after, told=why, told_at=now) if is_news else after
        if is_news:
            _log_bug(f"the keeper of {user} failed", error)
            line = _("{user}: {error}; trying again in {seconds:.0f} s").format(user=user, error=why, seconds=pause)
            self._tell(line, why, user)

    def ended(self, user: str) -> None:
        """Its keeper has ended as it was asked to. If the session is still wanted, the next look takes it over."""
        now = self._clock.steady()
        self._found[user] = replace(self._found.get(user, _Setback(now, now)), since=now, next_try=now, why="", kept_since=None)

    def not_startable(self, user: str, problem: str) -> None:
        """What the last look has found: it can't be read (``problem``; the next look tries again), or it is down, and nothing is to be tried."""
        if problem:
            now = self._clock.steady()
            before = self._found.get(user)
            since = before.since if before is not None and before.why == problem else now
            self._found[user] = _Setback(since, now, problem)
        else:
            self._found.pop(user, None)

    def over(self, user: str) -> bool:
        """Whether it may be taken over now."""
        found = self._found.get(user)
        return found is None or self._clock.steady() >= found.next_try

    def taken_over(self, user: str) -> None:
        """It has a keeper."""
        found = self._found.get(user)
        if found is not None and found.failures:
            self._found[user] = replace(found, kept_since=self._clock.steady())
        else:
            self._found.pop(user, None)

    def looked(self, users: Iterable[str]) -> None:
        """These sessions, and no others, were found: it can look again."""
        self.blind = ""
        for user in self._found.keys() - set(users):
            del self._found[user]

    def blinded(self, error: Exception) -> None:
        """No session could be looked for; that is tried again and again."""
        now, why = self._clock.steady(), said(error)
        if why != self.blind or now - self._blinded_at >= SAME_AGAIN_AFTER:
            self._blinded_at = now
            _log_bug("looking for sessions failed", error)
            self._tell(_("sessions can't be looked for: {error}; trying again").format(error=why), why)
        self.blind = why

    def lives(self, kept: Container[str]) -> list[Live]:
        """Those of them that are not ``kept``."""
        return [self._live(user, found) for user, found in self._found.items() if user not in kept]

    def _live(self, user: str, found: _Setback) -> Live:
        wall_of = self._clock.wall_of
        return Live(
            user,
            State.WAITING,
            (reasons.KEEPER_FAILED if found.why else reasons.STARTING).code,
            found.why,
            since=wall_of(found.since),
            next_try_at=wall_of(found.next_try),
            failures=found.failures,
            restarts=0,
            proven_at=None,
            pid=0,
            memory=0,
            received_at=None,
            sent_at=None,
            waiting=0,
            kept=False,
        )

    def _tell(self, line: str, why: str, user: str = "") -> None:
        code = reasons.KEEPER_FAILED.code if user else "SESSIONS_NOT_FOUND"
        self._reporter.report(Notice(self._clock.now(), "trouble", line, user, code=code, reason=why, level="error"))


def said(error: Exception) -> str:
    """What it says, or what it is."""
    return str(error) or (_("out of memory") if isinstance(error, MemoryError) else type(error).__name__)


def _log_bug(what: str, error: Exception) -> None:
    """What the system refuses is said in words; a bug needs its place in the program, too."""
    if not isinstance(error, (WasessError, OSError, MemoryError)):
        logger.error("%s", what, exc_info=error)
