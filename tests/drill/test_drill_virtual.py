from __future__ import annotations

from random import Random

import pytest

from wasess.core import events
from wasess.core.states import State
from wasess.drill import virtual

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_without_a_server_ends_within_a_minute_of_its_return(seed):
    walk = virtual.away_for_a_day(Random(seed))
    assert walk.recovered <= 60
    assert walk.tries > 1000
    assert walk.detected == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_replaced_tries_three_times_and_then_waits_for_a_human(seed):
    assert virtual.replaced_again_and_again(Random(seed)) == [60.0, 60.0, 60.0, None]
    assert virtual.waits_for_nobody(Random(seed))


def test_a_worker_that_is_killed_in_the_middle_of_a_dial_does_not_connect_any_more():
    world = virtual.World(Random(1))
    world.feed(events.StartRequested())
    world.run(world.now)
    world.feed(events.StopRequested())
    world.run(world.now + 100)
    assert world.snapshot.state is State.STOPPED
    assert world.next_at is None
