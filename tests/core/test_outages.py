from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.outages import DAY, KEPT_FOR, MONTH, MOST_KEPT, WEEK, Ledger, Outage, amended, begun, count, ended, open_outage, uptime

MOMENTS = st.floats(0, 100 * DAY)
STEPS = st.one_of(
    st.tuples(st.just("begin"), MOMENTS, st.sampled_from(["NETWORK_DOWN", "STOPPED"])),
    st.tuples(st.just("end"), MOMENTS, st.integers(0, 99)),
    st.tuples(st.just("amend"), st.integers(0, 99), st.none()),
)
HISTORIES = st.lists(STEPS, max_size=30)


def after(steps: list[tuple[str, float, object]]) -> Ledger:
    def one(ledger: Ledger, step: tuple[str, float, object]) -> Ledger:
        kind, value, more = step
        if kind == "begin":
            return begun(ledger, value, str(more))
        return ended(ledger, value, more) if isinstance(more, int) else amended(ledger, int(value))

    return reduce(one, steps, ())


def test_an_outage_is_opened_closed_and_amended():
    ledger = begun((), 100.0, "NETWORK_DOWN")
    assert open_outage(ledger) == Outage(100.0, None, "NETWORK_DOWN")
    ledger = amended(ended(ledger, 160.0, 3), 7)
    assert ledger == (Outage(100.0, 160.0, "NETWORK_DOWN", 3, 7),)
    assert open_outage(ledger) is None


def test_what_begins_while_one_is_open_is_the_same_outage():
    ledger = begun(begun((), 100.0, "NETWORK_DOWN"), 130.0, "STOPPED")
    assert ledger == (Outage(100.0, None, "NETWORK_DOWN"),)


def test_there_is_nothing_to_close_or_to_amend():
    closed = ended(begun((), 1.0, "STOPPED"), 2.0, 1)
    assert ended(closed, 9.0, 9) == closed
    assert ended((), 9.0, 9) == amended((), 9) == ()


def test_what_the_server_counts_twice_is_recovered_once():
    ledger = amended(amended(begun((), 1.0, "CONNECTION_LOST"), 10), 8)  # the first login broke after two of ten
    assert ledger[-1].recovered == 10


def test_an_end_is_never_before_its_start():
    assert ended(begun((), 100.0, "STOPPED"), 40.0, 0) == (Outage(100.0, 100.0, "STOPPED"),)


def test_what_ended_a_month_ago_is_forgotten_unless_it_is_the_last():
    old = ended(begun((), 0.0, "STOPPED"), 10.0, 0)
    assert begun(old, 10.0 + KEPT_FOR, "STOPPED")[0] == old[0]
    assert begun(old, 11.0 + KEPT_FOR, "NETWORK_DOWN") == (Outage(11.0 + KEPT_FOR, None, "NETWORK_DOWN"),)
    assert ended(old, 99 * DAY, 0) == old


def test_the_shortest_go_when_there_are_too_many():
    steps = [
        step for n in range(MOST_KEPT + 20) for step in (("begin", 100.0 * n, "STOPPED"), ("end", 100.0 * n + (1 if n % 2 else 50), 0))
    ]
    ledger = after(steps)
    assert len(ledger) == MOST_KEPT
    assert ledger[-1].start == 100.0 * (MOST_KEPT + 19)
    assert sum(outage.end == outage.start + 50 for outage in ledger) == (MOST_KEPT + 20) // 2
    assert list(ledger) == sorted(ledger, key=lambda outage: outage.start)


WEEK_OLD = (Outage(10 * DAY, 10 * DAY + 8640, "NETWORK_DOWN"),)


@pytest.mark.parametrize(
    ("ledger", "since", "now", "window", "share"),
    [
        ((), 0.0, 5 * DAY, DAY, 1.0),
        (WEEK_OLD, 0.0, 11 * DAY, DAY, 0.9),
        (WEEK_OLD, 0.0, 30 * DAY, DAY, 1.0),
        (WEEK_OLD, 0.0, 11 * DAY, WEEK, 1 - 0.1 / 7),
        (WEEK_OLD, 10 * DAY, 10 * DAY + 17280, MONTH, 0.5),  # not paired for longer than that
        ((Outage(10 * DAY, None, "STOPPED"),), 0.0, 12 * DAY, DAY, 0.0),
        ((Outage(10 * DAY, None, "STOPPED"),), 9 * DAY, 12 * DAY, WEEK, 1 / 3),
        ((Outage(DAY, 3 * DAY, "STOPPED"), Outage(2 * DAY, 4 * DAY, "STOPPED")), 0.0, 5 * DAY, WEEK, 0.4),  # the clock was set back
        ((Outage(DAY, 4 * DAY, "STOPPED"), Outage(2 * DAY, 3 * DAY, "STOPPED")), 0.0, 5 * DAY, WEEK, 0.4),
        ((Outage(8 * DAY, 9 * DAY, "STOPPED"),), 0.0, 5 * DAY, WEEK, 1.0),  # in the future: the same
        ((Outage(3 * DAY, DAY, "STOPPED"),), 0.0, 5 * DAY, WEEK, 1.0),
        ((), 5.0, 5.0, DAY, None),
        ((), 6.0, 5.0, DAY, None),
    ],
)
def test_uptime_is_the_share_without_outages(ledger: Ledger, since: float, now: float, window: float, share: float | None):
    assert uptime(ledger, since, now, window) == (None if share is None else pytest.approx(share))


def test_outages_are_counted_where_they_touch_the_window():
    ledger = (Outage(0.0, DAY, "STOPPED"), Outage(9 * DAY, 9.5 * DAY, "STOPPED"), Outage(9.9 * DAY, None, "STOPPED"))
    assert [count(ledger, 10 * DAY, window) for window in (DAY, WEEK, MONTH)] == [2, 2, 3]
    assert count(ledger, 9.2 * DAY, DAY) == 1


@given(HISTORIES)
def test_whatever_the_clock_does_a_ledger_makes_sense(steps: list[tuple[str, float, object]]):
    ledger = after(steps)
    assert all(outage.end is not None for outage in ledger[:-1])
    assert all(outage.end is None or outage.end >= outage.start for outage in ledger)
    assert len(ledger) <= MOST_KEPT


@given(HISTORIES, MOMENTS, MOMENTS, st.sampled_from([DAY, WEEK, MONTH]))
def test_an_uptime_is_a_share(steps: list[tuple[str, float, object]], since: float, now: float, window: float):
    share = uptime(after(steps), since, now, window)
    assert (share is None) == (since >= now)
    assert share is None or 0 <= share <= 1


@given(HISTORIES, MOMENTS, MOMENTS, MOMENTS)
def test_one_more_outage_never_raises_the_uptime(steps: list[tuple[str, float, object]], start: float, length: float, now: float):
    ledger = after(steps)
    before, less = (uptime(kept, -1.0, now, MONTH) for kept in (ledger, (Outage(start, start + length, "STOPPED"), *ledger)))
    assert before is not None
    assert less is not None
    assert less <= before + 1e-9


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 500)), max_size=8), st.integers(1, 2000), st.integers(1, 2000))
def test_uptime_is_what_counting_seconds_says(spans: list[tuple[int, int]], now: int, window: int):
    ledger = tuple(Outage(float(start), float(start + length), "STOPPED") for start, length in spans)
    seconds = range(max(0, now - window), now)
    up = sum(not any(start <= second < start + length for start, length in spans) for second in seconds)
    assert uptime(ledger, 0.0, float(now), float(window)) == pytest.approx(up / len(seconds))
