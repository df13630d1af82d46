"""From a session's state to the exit code of ARCHITECTURE.md's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable

HEALTHY = 0
DEGRADED = 3

_BY_REASON = {
    reasons.DISK_FULL.code: 3,
    reasons.UNPROVEN.code: 3,
    reasons.DATABASE_LOST.code: 4,
    reasons.DATABASE_DAMAGED.code: 4,
    reasons.LOGGED_OUT.code: 4,
    reasons.LOGGED_OUT_EARLY.code: 4,
    reasons.ACCOUNT_LOCKED.code: 4,
    reasons.ACCOUNT_BANNED.code: 4,
    reasons.NEEDS_PAIRING.code: 4,
    reasons.UNLINKED_HERE.code: 4,
    reasons.PAUSED_BY_OPERATOR.code: 3,
    reasons.UNREADABLE.code: 1,
    reasons.BANNED.code: 5,
    reasons.RATE_LIMITED.code: 5,
    reasons.OUTDATED.code: 6,
    reasons.REPLACED.code: 7,
    reasons.REPLACED_FOR_GOOD.code: 7,
    reasons.SESSION_LOCKED.code: 9,
}

_BY_STATE = {
    State.NEW: 4,
    State.PAIRING: 4,
    State.CONNECTING: 3,
    State.ONLINE: HEALTHY,
    State.RECOVERING: 3,
    State.WAITING: 3,
    State.PAUSED: 3,
    State.OUTDATED: 6,
    State.LOGGED_OUT: 4,
    State.STOPPED: 8,
}


def exit_code(state: State, reason_code: str) -> int:
    """The code for one session, from what a `Snapshot` or session.json holds. A state that is online outranks an old reason."""
    if state is State.ONLINE:
        return HEALTHY
    return _BY_REASON.get(reason_code, _BY_STATE[state])


def worst(codes: Iterable[int]) -> int:
    """The code for several sessions, 0 for none. The documented order is that of the numbers: a stopped one (8) outranks a banned one (5)."""
    return max(codes, default=HEALTHY)
