"""Is a session healthy, as far as `verify` is concerned? Pure.

A verdict is stricter than a state in one way, and milder in another: a session that calls itself online must have been heard of by
WhatsApp lately, and one that is only just beginning gets the time that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core import health, reasons
from wasess.core.states import State

if TYPE_CHECKING:
    from wasess.core.live import Live, ManagerInfo

MAX_AGE = 35 * 60.0
"""The machine asks a session that nothing was heard from for 15 minutes, and looks every 15 minutes: twice that may pass, and the answer
may take 10 s (`core.machine`). The rest is for a machine that is busy."""
GRACE = 60.0

BEGINNING = frozenset({State.NEW, State.CONNECTING})
REDIALLING = frozenset({State.RECOVERING, State.WAITING})
_NETWORK = frozenset(reason.code for reason in reasons.NETWORK)


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_age``: so long ago WhatsApp may have been heard of. ``grace``: so long a start may take. Seconds."""

    max_age: float = MAX_AGE
    grace: float = GRACE


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of one session. ``exit_code``: that of its state (`core.health`); ``paired_at``: None when it is not known.

    ``live``: the word of the manager that keeps it; None when none does.
    """

    state: State
    code: str
    exit_code: int
    live: Live | None = None
    paired_at: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``code`` is `reasons.UNPROVEN`'s or the `Live.problem` when that is what is wrong, else the session's own. ``age``: seconds since WhatsApp was heard of."""

    code: str
    exit_code: int
    age: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether nobody has to be told."""
        return self.exit_code == health.HEALTHY


def judge(sight: Sight, manager: ManagerInfo | None, now: float, limits: Limits) -> Verdict:
    """The verdict at ``now`` (Unix time). ``manager``: None when none answers."""
    if sight.state is State.ONLINE and sight.live is not None:
        return _of_online(sight.code, sight.live, now, limits.max_age)
    if sight.exit_code and manager is not None and _excused(sight, manager, now, limits.grace):
        return Verdict(sight.code, health.HEALTHY)
    return Verdict(sight.code, sight.exit_code)


def _of_online(code: str, live: Live, now: float, max_age: float) -> Verdict:
    """A login is a proof, too. A proof from the future is one of now: the clock was set back."""
    age = max(0.0, now - (live.since if live.proven_at is None else live.proven_at))
    if age > max_age:
        return Verdict(reasons.UNPROVEN.code, 3, age)
    if live.problem in reasons.BY_CODE:  # a manager of another version may have codes of its own
        return Verdict(live.problem, health.DEGRADED, age)
    return Verdict(code, health.HEALTHY, age)


def _excused(sight: Sight, manager: ManagerInfo, now: float, grace: float) -> bool:
    """Whether it is on its way up, and may be: the manager is young and has not had it online yet, or it is new to it."""
    if not grace:
        return False
    if sight.live is None:
        return sight.code == reasons.NOT_KEPT.code and _young(sight.paired_at, now, grace)
    starting = sight.state in BEGINNING or (sight.state in REDIALLING and sight.code in {*_NETWORK, reasons.STARTING.code})
    if not starting:
        return False
    begun = sight.live.since if sight.code == reasons.STARTING.code else None
    first = sight.live.proven_at is None
    return (first and (not manager.ready or _young(manager.started_at, now, grace))) or _young(begun, now, grace)


def _young(moment: float | None, now: float, grace: float) -> bool:
    return moment is not None and 0 <= now - moment < grace
