from __future__ import annotations

import pytest

from wasess.core import reasons
from wasess.core.health import exit_code, worst
from wasess.core.states import State


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (State.ONLINE, reasons.ONLINE, 0),
        (State.CONNECTING, reasons.STARTING, 3),
        (State.RECOVERING, reasons.CONNECTION_LOST, 3),
        (State.WAITING, reasons.NETWORK_DOWN, 3),
        (State.WAITING, reasons.REFUSED, 3),
        (State.LOGGED_OUT, reasons.LOGGED_OUT, 4),
        (State.LOGGED_OUT, reasons.NEEDS_PAIRING, 4),
        (State.NEW, reasons.NEVER_STARTED, 4),
        (State.PAUSED, reasons.BANNED, 5),
        (State.OUTDATED, reasons.OUTDATED, 6),
        (State.PAUSED, reasons.REPLACED, 7),
        (State.PAUSED, reasons.REPLACED_FOR_GOOD, 7),
        (State.STOPPED, reasons.STOPPED, 8),
        (State.WAITING, reasons.RATE_LIMITED, 5),
        (State.CONNECTING, reasons.BANNED, 5),
        (State.CONNECTING, reasons.OUTDATED, 6),
        (State.CONNECTING, reasons.REPLACED, 7),
        (State.WAITING, reasons.DISK_FULL, 3),
        (State.WAITING, reasons.DATABASE_LOST, 4),
        (State.WAITING, reasons.DATABASE_DAMAGED, 4),
        (State.CONNECTING, reasons.DATABASE_DAMAGED, 4),
        (State.LOGGED_OUT, reasons.LOGGED_OUT_EARLY, 4),
        (State.LOGGED_OUT, reasons.ACCOUNT_LOCKED, 4),
        (State.LOGGED_OUT, reasons.ACCOUNT_BANNED, 4),
        (State.WAITING, reasons.ZOMBIE, 3),
        (State.WAITING, reasons.WORKER_STUCK, 3),
        (State.ONLINE, reasons.BANNED, 0),
        (State.WAITING, reasons.SESSION_LOCKED, 9),
        (State.CONNECTING, reasons.SESSION_LOCKED, 9),
    ],
)
def test_the_table(state: State, reason: reasons.Reason, code: int):
    assert exit_code(state, reason.code) == code


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_code_even_with_a_reason_of_a_newer_wasess(state: State):
    assert 0 <= exit_code(state, "FROM_THE_FUTURE") <= 10


def test_several_sessions_give_the_worst():
    assert worst([0, 4, 3]) == 4
    assert worst([3, 9, 0, 5, 8]) == 9
    assert worst([]) == 0
