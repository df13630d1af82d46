from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.pace import Pace

NOW = 1_700_000_000.0

rates = st.sampled_from([0.1, 0.5, 1.0, 3.0, 20.0, 1000.0])
bursts = st.sampled_from([1.0, 2.0, 8.0, 50.0])
gaps = st.lists(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(-5, 30)), min_size=1, max_size=80)


def moments(pace: Pace, steps: list[float]) -> list[float]:
    """When the turns come, of calls that are so many seconds apart."""
    now, came = NOW, []
    for gap in steps:
        now += gap
        pace, wait = pace.take(now)
        came.append(max(now, pace.at) + wait)
    return came


def test_a_few_come_at_once_and_then_one_after_the_other():
    assert moments(Pace.full(20.0, 3.0, NOW), [0.0] * 6) == pytest.approx([NOW, NOW, NOW, NOW + 0.05, NOW + 0.1, NOW + 0.15], abs=1e-5)


def test_a_pause_fills_the_bucket_and_no_more():
    assert moments(Pace.full(2.0, 2.0, NOW), [0.0, 0.0, 3600.0, 0.0, 0.0])[2:] == pytest.approx([NOW + 3600, NOW + 3600, NOW + 3600.5])


def test_asking_takes_nothing():
    empty, _ = Pace.full(4.0, 1.0, NOW).take(NOW)
    assert [empty.wait(NOW) for _ in range(3)] == [0.25] * 3
    assert empty.wait(NOW + 0.25) == 0.0
    assert empty.wait(NOW - 9) == 0.25


@given(rates, bursts, gaps)
def test_no_window_holds_more_than_the_burst_and_what_came_in_meanwhile(per_second: float, burst: float, steps: list[float]):
    came = moments(Pace.full(per_second, burst, NOW), steps)
    for first in range(len(came)):
        for last in range(first, len(came)):
            window = came[last] - came[first]
            assert last - first + 1 <= burst + per_second * (window + 1e-5) + 1e-5


@given(rates, bursts, gaps)
def test_turns_come_in_the_order_of_the_calls_and_none_before_its_call(per_second: float, burst: float, steps: list[float]):
    came = moments(Pace.full(per_second, burst, NOW), steps)
    assert all(earlier <= later + 1e-5 for earlier, later in pairwise(came))


@given(rates, bursts, st.integers(1, 100))
def test_nobody_waits_longer_than_the_pace_demands(per_second: float, burst: float, count: int):
    came = moments(Pace.full(per_second, burst, NOW), [0.0] * count)
    assert came[-1] - NOW <= max(0.0, count - burst) / per_second + 1e-5
