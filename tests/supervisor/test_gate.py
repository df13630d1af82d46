from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock

from wasess.supervisor.clock import SystemClock
from wasess.supervisor.gate import Gate

if TYPE_CHECKING:
    from wasess.supervisor.gate import Place

LONG = 1e6  # nobody's place is taken away


async def turns_of_the_loop() -> None:
    """Let everybody get as far as they get at this moment: a hand-over takes a few turns of the loop, and eight come at once."""
    for _ in range(100):
        await asyncio.sleep(0)


class Crowd:
    """Many who want to dial; ``came`` is who was let in, and when."""

    def __init__(self, gate: Gate, clock: HandClock) -> None:
        self.gate = gate
        self.clock = clock
        self.came: list[tuple[int, float]] = []
        self.places: dict[int, Place] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def arrive(self, *names: int) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._wait(name))
        await turns_of_the_loop()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await turns_of_the_loop()

    async def leave(self, *names: int) -> None:
        for name in names:
            self.places.pop(name).leave()
        await turns_of_the_loop()

    async def give_up(self, *names: int) -> None:
        for name in names:
            self.tasks[name].cancel()
        await turns_of_the_loop()

    @property
    def names(self) -> list[int]:
        return [name for name, _ in self.came]

    async def _wait(self, name: int) -> None:
        self.places[name] = await self.gate.turn()
        self.came.append((name, self.clock.steady()))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def crowd(clock: HandClock, max_parallel: int = 8, per_second: float = 20.0, place_for: float = LONG) -> Crowd:
    return Crowd(Gate(max_parallel, per_second, clock, place_for), clock)


async def test_a_hundred_come_in_order_at_the_pace_and_so_many_at_a_time(clock: HandClock):
    people = crowd(clock)
    await people.arrive(*range(100))
    assert people.names == list(range(8))
    while len(people.came) < 100:
        assert len(people.places) <= 8
        await people.leave(*people.places)
        await people.advance(0.01)
    assert people.names == list(range(100))
    moments = [at for _, at in people.came]
    for first in moments:
        assert sum(first <= at < first + 1.0 - 1e-5 for at in moments) <= 20 + 8
    assert moments[-1] - moments[0] == pytest.approx((100 - 8) / 20, abs=0.05)


async def test_places_are_what_counts_while_nobody_leaves(clock: HandClock):
    people = crowd(clock, max_parallel=2, per_second=1000.0)
    await people.arrive(1, 2, 3, 4)
    await people.advance(3600.0)
    assert people.names == [1, 2]
    await people.leave(2)
    assert people.names == [1, 2, 3]


async def test_a_place_is_left_once_however_often_it_is_left(clock: HandClock):
    people = crowd(clock, max_parallel=1, per_second=1000.0)
    await people.arrive(1)
    place = people.places[1]
    for _ in range(3):
        place.leave()
    await people.arrive(2, 3)
    await people.advance(1.0)
    place.leave()
    await turns_of_the_loop()
    assert people.names == [1, 2]


async def test_a_dial_that_takes_long_loses_its_place(clock: HandClock):
    people = crowd(clock, max_parallel=1, per_second=1000.0, place_for=1.0)
    await people.arrive(1, 2, 3)
    await people.advance(0.5)
    assert people.names == [1]
    await people.advance(0.5)
    assert people.names == [1, 2]
    people.places[1].leave()  # late, and of no consequence
    await people.advance(0.5)
    assert people.names == [1, 2]
    await people.advance(0.5)
    assert people.names == [1, 2, 3]


async def test_a_place_that_was_left_leaves_no_alarm(clock: HandClock):
    people = crowd(clock)
    await people.arrive(1)
    await people.leave(1)
    assert clock.alarms == []


async def test_a_waiter_who_gives_up_holds_up_nobody_and_uses_up_no_turn(clock: HandClock):
    people = crowd(clock, max_parallel=1, per_second=1.0)
    await people.arrive(1, 2, 3, 4)
    await people.leave(1)
    await people.give_up(2, 3)  # 2 has a place and waits for its moment, 3 waits in line
    assert people.names == [1]
    assert len(clock.alarms) == 1
    await people.advance(1.0)
    assert people.names == [1, 4]


async def test_after_a_sleep_those_who_waited_come_first_and_no_faster(clock: HandClock):
    people = crowd(clock, max_parallel=8, per_second=2.0)
    await people.arrive(*range(6))
    assert people.names == [0, 1]
    clock.time += 3600.0  # the machine slept: alarms stood still
    await people.arrive(*range(6, 9))
    assert people.names == [0, 1]
    await people.advance(0.5)
    assert people.names == [0, 1, 2, 3]
    await people.advance(0.5)
    assert people.names == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_they_do_no_place_is_lost(clock: HandClock, seed: int):
    luck = Random(seed)
    people = crowd(clock, max_parallel=3, per_second=5.0)
    expected: list[int] = []
    for name in range(60):
        people.tasks[name] = asyncio.create_task(people._wait(name))
        expected.append(name)
        if luck.random() < 0.3:
            gone = luck.choice(expected)
            people.tasks[gone].cancel()
        for _ in range(luck.randrange(4)):
            await asyncio.sleep(0)
        if people.places and luck.random() < 0.7:
            people.places.pop(luck.choice(sorted(people.places))).leave()
        assert len(people.places) <= 3
        clock.advance(luck.choice([0.0, 0.1, 0.4]))
    while not all(task.done() for task in people.tasks.values()):
        await people.leave(*people.places)
        await people.advance(0.2)
    assert all(earlier < later for earlier, later in pairwise(people.names))
    await people.leave(*people.places)
    await people.advance(60.0)
    await people.arrive(100, 101, 102, 103)
    assert people.names[-3:] == [100, 101, 102]
    await people.leave(*people.places)
    await people.advance(0.2)
    assert people.names[-1] == 103


async def test_in_real_time_a_hundred_come_in_order_at_the_pace_and_so_many_at_a_time():
    clock = SystemClock()
    gate = Gate(8, 200.0, clock, LONG)
    came: list[tuple[int, float]] = []
    inside: set[int] = set()

    async def dial(name: int) -> None:
        place = await gate.turn()
        came.append((name, clock.steady()))
        inside.add(name)
        assert len(inside) <= 8
        await asyncio.sleep(0.001 * (name % 5))
        inside.remove(name)
        place.leave()

    began = clock.steady()
    async with asyncio.timeout(30):
        await asyncio.gather(*(dial(name) for name in range(100)))
    assert [name for name, _ in came] == list(range(100))
    assert all(at - began >= (place - 8) / 200.0 - 0.001 for place, (_, at) in enumerate(came, 1))


async def test_in_real_time_a_dial_that_takes_long_loses_its_place():
    gate = Gate(1, 1000.0, SystemClock(), place_for=0.05)
    async with asyncio.timeout(30):
        places = [await gate.turn() for _ in range(3)]
    for place in places:
        place.leave()
