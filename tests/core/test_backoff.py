from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasess.core.backoff import delay, slow_delay

DICE = st.floats(0, 1, exclude_max=True)
FAILURES = st.integers(0, 10**9)


@given(FAILURES, DICE)
def test_a_delay_stays_below_a_minute_and_below_its_doubled_base(failures: int, dice: float):
    assert 0 <= delay(failures, dice) <= min(60.0, 2.0 ** min(failures, 6))


@given(FAILURES, DICE)
def test_a_slow_delay_is_between_one_minute_and_fifteen(failures: int, dice: float):
    assert 60 <= slow_delay(failures, dice) <= 900


def test_the_whole_range_is_used():
    assert delay(3, 0.0) == 0.0
    assert delay(3, 0.75) == 6.0
    assert delay(1000, 0.5) == 30.0
