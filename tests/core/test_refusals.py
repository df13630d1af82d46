from __future__ import annotations

import pytest

from wasess.core import refusals
from wasess.core.refusals import Refusal


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0, Refusal.MESSAGE),
        (400, Refusal.MESSAGE),
        (429, Refusal.TOO_MANY),
        (463, Refusal.TIMELOCK),
        (479, Refusal.MESSAGE),
        (499, Refusal.MESSAGE),
        (500, Refusal.BUSY),
        (503, Refusal.BUSY),
        (599, Refusal.BUSY),
        (600, Refusal.MESSAGE),
    ],
)
def test_what_a_code_means(status: int, kind: Refusal):
    assert refusals.of_send(status) is kind


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.999])
def test_pauses_grow_from_a_minute_to_two_hours(dice: float):
    waits = [refusals.pause(earlier, dice) for earlier in range(2000)]
    assert 60 <= waits[0] <= 90
    assert waits == sorted(waits)
    assert 3600 <= waits[-1] <= 7230
