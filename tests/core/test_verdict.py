from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core import health, reasons
from wasess.core.live import Live, ManagerInfo
from wasess.core.machine import PATIENT_DEADLINE, QUIET_AFTER
from wasess.core.states import State
from wasess.core.verdict import GRACE, MAX_AGE, REDIALLING, Limits, Sight, Verdict, judge
from wasess.errors import WasessError

NOW = 1_700_000_000.0
LONG_AGO = NOW - 90_000.0
LIMITS = Limits()
OLD_MANAGER = ManagerInfo(7, "0", "sandbox", LONG_AGO, ready=True, kept=1, online=1)
YOUNG_MANAGER = replace(OLD_MANAGER, started_at=NOW - 5)
DOCUMENTED = {error.exit_code for error in (WasessError, *WasessError.__subclasses__())} | {health.HEALTHY}


def sight(state: State, reason: reasons.Reason, since: float = LONG_AGO, proven_at: float | None = None) -> Sight:
    """A session that the manager keeps."""
    live = Live("alice", state, reason.code, "", since, None, 0, 0, proven_at, 9, 0, None, None, 0)
    return Sight(state, reason.code, health.exit_code(state, reason.code), live)


def unkept(reason: reasons.Reason, paired_at: float | None = LONG_AGO, state: State = State.STOPPED) -> Sight:
    """A session that nobody keeps."""
    return Sight(state, reason.code, health.exit_code(state, reason.code), None, paired_at)


def code_of(seen: Sight, manager: ManagerInfo | None = OLD_MANAGER, limits: Limits = LIMITS, now: float = NOW) -> int:
    return judge(seen, manager, now, limits).exit_code


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0.0, Verdict("ONLINE", 0, 0.0)),
        (MAX_AGE, Verdict("ONLINE", 0, MAX_AGE)),
        (MAX_AGE + 0.001, Verdict("UNPROVEN", 3, pytest.approx(MAX_AGE + 0.001))),
        (-3600.0, Verdict("ONLINE", 0, 0.0)),  # the clock was set back
    ],
)
def test_an_online_session_was_heard_of_lately(age: float, verdict: Verdict):
    assert judge(sight(State.ONLINE, reasons.ONLINE, proven_at=NOW - age), OLD_MANAGER, NOW, LIMITS) == verdict
    assert verdict.healthy == (verdict.exit_code == 0)


def test_a_login_is_a_proof_until_there_is_a_later_one():
    assert judge(sight(State.ONLINE, reasons.ONLINE, since=NOW - 60), OLD_MANAGER, NOW, LIMITS).age == 60
    assert judge(sight(State.ONLINE, reasons.ONLINE, since=NOW - 9000, proven_at=NOW - 2), OLD_MANAGER, NOW, LIMITS).age == 2
    assert code_of(sight(State.ONLINE, reasons.ONLINE, since=NOW - MAX_AGE - 1)) == 3


def test_a_problem_of_a_connected_session_is_told():
    seen = sight(State.ONLINE, reasons.ONLINE, proven_at=NOW - 1)
    assert seen.live is not None
    troubled = replace(seen, live=replace(seen.live, problem=reasons.MESSAGES_DAMAGED.code))
    assert judge(troubled, OLD_MANAGER, NOW, LIMITS) == Verdict("MESSAGES_DAMAGED", 3, 1.0)
    unknown = replace(seen, live=replace(seen.live, problem="OF_A_LATER_VERSION"))
    assert judge(unknown, OLD_MANAGER, NOW, LIMITS) == Verdict("ONLINE", 0, 1.0)


def test_no_grace_excuses_a_session_that_whatsapp_was_not_heard_of():
    assert code_of(sight(State.ONLINE, reasons.ONLINE, proven_at=NOW - MAX_AGE - 1), YOUNG_MANAGER) == 3


def test_a_quiet_session_is_asked_often_enough_to_be_called_healthy():
    assert 2 * QUIET_AFTER + PATIENT_DEADLINE < MAX_AGE


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (State.CONNECTING, reasons.STARTING, 3),
        (State.CONNECTING, reasons.NETWORK_DOWN, 3),
        (State.NEW, reasons.NEVER_STARTED, 4),
        (State.WAITING, reasons.STARTING, 3),
        (State.WAITING, reasons.NETWORK_DOWN, 3),
        (State.WAITING, reasons.CLOCK_WRONG, 3),
        (State.RECOVERING, reasons.CONNECTION_LOST, 3),
    ],
)
def test_what_is_on_its_way_up_is_excused_while_the_manager_is_young(state: State, reason: reasons.Reason, code: int):
    seen = sight(state, reason)
    assert code_of(seen, replace(OLD_MANAGER, started_at=NOW - GRACE + 0.001)) == 0
    assert code_of(seen, replace(OLD_MANAGER, started_at=NOW - GRACE)) == code
    assert code_of(seen, replace(OLD_MANAGER, started_at=NOW + 0.001)) == code, "a start in the future excuses nothing"
    assert code_of(seen, replace(OLD_MANAGER, ready=False)) == 0
    assert code_of(seen, YOUNG_MANAGER, Limits(grace=0.0)) == code
    assert code_of(seen, replace(YOUNG_MANAGER, ready=False), Limits(grace=0.0)) == code
    assert code_of(seen, None) == code


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.RECOVERING, reasons.CONNECTION_LOST),
        (State.WAITING, reasons.NETWORK_DOWN),
        (State.WAITING, reasons.NOT_BACK),
        (State.CONNECTING, reasons.NO_ANSWER),
        (State.WAITING, reasons.KEEPER_FAILED),
    ],
)
def test_a_session_that_was_online_in_this_managers_life_is_not_on_its_way_up(state: State, reason: reasons.Reason):
    seen = sight(state, reason, since=NOW - 1, proven_at=NOW - 2)
    assert code_of(seen, YOUNG_MANAGER) == 3
    assert code_of(seen, replace(YOUNG_MANAGER, ready=False)) == 3


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.WAITING, reasons.DISK_FULL),
        (State.WAITING, reasons.DATABASE_DAMAGED),
        (State.WAITING, reasons.SESSION_LOCKED),
        (State.WAITING, reasons.RATE_LIMITED),
        (State.WAITING, reasons.WORKER_LOST),
        (State.PAUSED, reasons.BANNED),
        (State.PAUSED, reasons.REPLACED),
        (State.OUTDATED, reasons.OUTDATED),
        (State.LOGGED_OUT, reasons.LOGGED_OUT),
        (State.STOPPED, reasons.PAUSED_BY_OPERATOR),
        (State.PAIRING, reasons.PAIRING),
    ],
)
def test_what_time_alone_does_not_heal_is_told_at_once(state: State, reason: reasons.Reason):
    seen = sight(state, reason, since=NOW)
    assert code_of(seen, replace(YOUNG_MANAGER, ready=False), Limits(grace=9e9)) == seen.exit_code != 0


def test_a_session_that_was_just_begun_is_excused_whatever_the_managers_age():
    assert code_of(sight(State.CONNECTING, reasons.STARTING, since=NOW - GRACE + 1)) == 0
    assert code_of(sight(State.CONNECTING, reasons.STARTING, since=NOW - GRACE)) == 3
    assert code_of(sight(State.CONNECTING, reasons.NETWORK_DOWN, since=NOW)) == 3, "that one was up before"


def test_a_session_that_was_just_paired_gets_time_to_be_taken_over():
    assert code_of(unkept(reasons.NOT_KEPT, paired_at=NOW - GRACE + 1)) == 0
    assert code_of(unkept(reasons.NOT_KEPT, paired_at=NOW - GRACE)) == 8
    assert code_of(unkept(reasons.NOT_KEPT, paired_at=NOW + 1)) == 8
    assert code_of(unkept(reasons.NOT_KEPT, paired_at=None)) == 8
    assert code_of(unkept(reasons.NOT_KEPT, paired_at=NOW), limits=Limits(grace=0)) == 8
    assert code_of(unkept(reasons.SESSION_LOCKED, paired_at=NOW, state=State.WAITING)) == 9


@pytest.mark.parametrize("reason", [reasons.NO_MANAGER, reasons.MANAGER_SILENT])
def test_without_a_manager_nothing_is_excused(reason: reasons.Reason):
    assert code_of(unkept(reason, paired_at=NOW), None) == 8


def test_a_paused_session_is_degraded():
    assert code_of(unkept(reasons.PAUSED_BY_OPERATOR)) == code_of(unkept(reasons.PAUSED_BY_OPERATOR), None) == 3


MOMENTS = st.one_of(st.floats(NOW - 200_000, NOW + 200_000), st.sampled_from([0.0, NOW, NOW - GRACE, NOW - MAX_AGE]))
SPANS = st.one_of(st.just(0.0), st.floats(0, 300_000))
STATES = st.sampled_from(State)
CODES = st.sampled_from([*reasons.BY_CODE, "FROM_THE_FUTURE"])


@st.composite
def lives(draw: st.DrawFn, state: State, code: str) -> Live:
    return Live("alice", state, code, "", draw(MOMENTS), None, 0, 0, draw(st.none() | MOMENTS), 9, 0, None, None, 0)


@st.composite
def sights(draw: st.DrawFn) -> Sight:
    state, code = draw(STATES), draw(CODES)
    live = draw(st.none() | lives(state, code))
    return Sight(state, code, health.exit_code(state, code), live, draw(st.none() | MOMENTS))


MANAGERS = st.none() | st.builds(
    ManagerInfo, st.just(7), st.just("0"), st.just("sandbox"), MOMENTS, ready=st.booleans(), kept=st.just(1), online=st.just(1)
)
EVERY_LIMIT = st.builds(Limits, SPANS, SPANS)


@given(sights(), MANAGERS, MOMENTS, EVERY_LIMIT)
def test_whatever_is_seen_the_verdict_is_documented(seen: Sight, manager: ManagerInfo | None, now: float, limits: Limits):
    found = judge(seen, manager, now, limits)
    assert found.exit_code in DOCUMENTED
    assert found.exit_code in {0, 3, seen.exit_code}
    assert found.healthy == (found.exit_code == 0)
    assert found.code in {seen.code, reasons.UNPROVEN.code}
    assert (found.age is None) == (seen.state is not State.ONLINE or seen.live is None)
    assert found.age is None or found.age >= 0


@given(sights(), MANAGERS, MOMENTS, EVERY_LIMIT)
def test_an_excuse_needs_a_manager_a_grace_and_a_session_that_is_coming(
    seen: Sight, manager: ManagerInfo | None, now: float, limits: Limits
):
    excused = seen.exit_code and judge(seen, manager, now, limits).healthy
    if excused:
        assert manager is not None
        assert limits.grace > 0
        assert seen.state in REDIALLING | {State.NEW, State.CONNECTING} or seen.code == reasons.NOT_KEPT.code


@given(sights(), MANAGERS, MOMENTS, EVERY_LIMIT, SPANS)
def test_more_patience_never_makes_it_worse(seen: Sight, manager: ManagerInfo | None, now: float, limits: Limits, more: float):
    patient = Limits(limits.max_age + more, limits.grace + more)
    assert code_of(seen, manager, patient, now) <= code_of(seen, manager, limits, now)


@given(st.lists(st.sampled_from(sorted(DOCUMENTED))))
def test_the_worst_of_several_is_one_of_them_and_none_is_worse(codes: list[int]):
    worst = health.worst(codes)
    assert worst in {*codes, health.HEALTHY}
    assert all(code <= worst for code in codes)
