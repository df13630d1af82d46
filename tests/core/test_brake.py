"""Who is braked, and who never: machines and people in virtual time."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

import pytest
from exchanges import CHAT, Room
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.brake import MOST_KEPT, Brake, Sign

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600.0


def machine(room: Room, name: str, delay: Callable[[], float], replies: int = 1) -> None:
    """Answers whatever anybody says."""

    def react(_by: str | None) -> None:
        for _ in range(replies):
            room.say(name, delay())

    room.others[name] = react


def talk(room: Room, seconds: float = HOUR) -> Room:
    room.say(next(iter(room.others)))
    return room.run(seconds)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("least", "most", "thinks", "answers"),
    [
        (0.0, 0.0, 0.005, 24),  # 57 a second
        (0.05, 0.3, 0.05, 26),
        (0.3, 1.0, 0.02, 47),
        (1.0, 3.0, 0.02, 29),  # pretends to type
        (1.0, 3.0, 4.0, 27),  # we do, too
        (2.0, 3.4, 0.5, 27),
        (4.0, 15.0, 6.0, 207),  # two language models
        (10.0, 40.0, 1.0, 207),
    ],
)
def test_two_machines_are_braked_after_a_bounded_number_of_answers(least: float, most: float, thinks: float, answers: int, seed: int):
    room, dice = Room(thinks=thinks), Random(seed)
    machine(room, "robot", lambda: dice.uniform(least, most))
    talk(room, 10 * HOUR)
    assert room.braked_by == "robot"
    assert room.answers <= answers


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (2, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("delay", [0.01, 1.5])
def test_machines_that_say_more_than_one_thing_each_time_are_too(ours: int, theirs: int, delay: float):
    room = Room(replies=ours)
    machine(room, "robot", lambda: delay, theirs)
    talk(room)
    assert room.braked_by == "robot"
    assert room.answers <= 120 * ours, "messages that are not answered heap up; what goes out is bounded all the same"


def test_sessions_of_one_home_are_braked_much_earlier():
    for delay in (0.0, 0.5, 2.0):
        room = Room(own=True)
        machine(room, "sibling", lambda delay=delay: delay)  # type: ignore[misc]  # mypy knows no default of a lambda
        assert talk(room).answers <= 9
        assert room.braked_by


@pytest.mark.parametrize("delay", [0.0, 0.2, 1.0, 3.0])
def test_two_that_both_have_a_brake_do_not_hide_from_each_other(delay: float):
    """What one of them holds back looks to the other one like a person who thinks."""
    there = Brake(20)
    room = Room()

    def react(_by: str | None) -> None:
        def look() -> None:
            if wait := there.hold("we", "", room.now):
                room.after(wait, look)
            else:
                there.answered("we", "", room.now)
                room.say("robot", delay)

        if there.arrived("we", "", room.now) is Sign.MACHINE:
            room.braked_by = "they brake us"
        look()

    room.others["robot"] = react
    talk(room)
    assert room.braked_by
    assert room.answers <= 60


def human(dice: Random, median: float) -> float:
    """Seconds to read an answer and to tap or type the next message: people vary by half of it and more."""
    return max(0.35, math.exp(dice.gauss(math.log(median), 0.6)))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("thinks", [0.05, 3.0])
@pytest.mark.parametrize(("taps", "median"), [(12, 1.0), (18, 1.5), (30, 2.5), (200, 4.0), (150, 8.0)])
def test_a_person_who_taps_through_a_menu_is_not_braked(taps: int, median: float, thinks: float, seed: int):
    """As many taps in a row, twenty times that evening, each time after some minutes."""
    room, dice = Room(thinks=thinks), Random(seed)
    left = [taps]

    def react(_by: str | None) -> None:
        left[0] -= 1
        if left[0] % taps:
            room.say("carol", human(dice, median))
        elif left[0] > -20 * taps:
            room.say("carol", dice.uniform(90, 600))

    room.others["carol"] = react
    talk(room, 100 * HOUR)
    assert not room.braked_by
    assert room.answers >= 20 * taps


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("thinks", [0.01, 1.0])
def test_a_person_who_types_in_bursts_is_not_braked(thinks: float, seed: int):
    room, dice = Room(thinks=thinks), Random(seed)
    at = 0.0
    for _ in range(40):
        for _ in range(dice.randint(5, 40)):
            at += dice.uniform(0.4, 2.0)
            room.say("carol", at)
        at += dice.uniform(5, 200)
    room.run(at + HOUR)
    assert not room.braked_by
    assert not room._waiting


@pytest.mark.parametrize("thinks", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("per_second", [0.2, 0.5, 2.0, 10.0, 57.0, 400.0])
@pytest.mark.parametrize("regular", [True, False])
def test_a_flood_that_does_not_depend_on_our_answers_is_not_a_loop(per_second: float, thinks: float, regular: bool):
    room, dice = Room(thinks=thinks), Random(7)
    at = 0.0
    for _ in range(2000):
        at += 1 / per_second if regular else dice.expovariate(per_second)
        room.say("carol", at)
    room.run(at + 10 * HOUR)
    assert (room.braked_by, room.answers) == ("", 2000)


def test_what_has_waited_during_an_outage_is_answered_at_once():
    room = Room()
    for _ in range(1000):
        room.say("carol")
    room.run(HOUR)
    assert (room.answers, room.longest_hold) == (1000, 0)


def test_a_program_that_writes_twice_a_second_for_a_quarter_of_a_minute_waits_for_nothing():
    """As `bench latency` does."""
    room = Room()
    for number in range(34):
        room.say("carol", number / 2)
    room.run(HOUR)
    assert (room.answers, room.longest_hold) == (34, 0)


@pytest.mark.parametrize("seed", range(10))
def test_many_people_in_a_busy_group_are_not_braked(seed: int):
    room, dice = Room(group=True, thinks=0.2), Random(seed)
    at = 0.0
    for _ in range(5000):
        at += dice.expovariate(1.5)
        room.say(f"member {dice.randint(1, 6)}", at)
    room.run(at + HOUR)
    assert (room.braked_by, room.answers) == ("", 5000)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every", [20.0, 6.0])
@pytest.mark.parametrize(("least", "most"), [(0.01, 0.05), (1.0, 3.0)])
def test_two_bots_among_people_in_a_group_are_braked(least: float, most: float, every: float, seed: int):
    room, dice = Room(group=True, thinks=0.05), Random(seed)
    machine(room, "robot", lambda: dice.uniform(least, most))
    at = 0.0
    for _ in range(1000):
        at += dice.expovariate(1 / every)
        room.say(f"member {dice.randint(1, 6)}", at)
    room.run(at)
    assert room.braked_by == "robot"
    assert room.answers <= 400


def test_it_can_be_turned_off():
    room = Room(limit=0)
    machine(room, "robot", lambda: 0.01)
    talk(room, 30)
    assert not room.braked_by
    assert room.answers >= 1000


def test_who_writes_from_many_addresses_fills_no_memory():
    brake = Brake(20)
    for number in range(3 * MOST_KEPT):
        brake.arrived(f"{number}@lid", "", float(number))
        brake.answered(f"{number}@lid", "", float(number))
    assert (len(brake._exchanges), len(brake._chats)) == (MOST_KEPT, MOST_KEPT)


@given(
    st.lists(
        st.tuples(st.sampled_from(["came", "sent", "ask"]), st.sampled_from(["", "a", "b"]), st.floats(0.0, 100.0)),
        min_size=1,
        max_size=200,
    )
)
def test_whatever_happens_nobody_is_braked_before_he_was_answered_often_enough(steps: list[tuple[str, str, float]]):
    brake, now, sent = Brake(8), 0.0, dict.fromkeys(("", "a", "b"), 0)
    for what, sender, seconds in steps:
        now += seconds
        if what == "came":
            if brake.arrived(CHAT, sender, now) is Sign.MACHINE:
                assert sent[sender] >= 8 + 3
        elif what == "sent":
            sent[sender] += 1
            brake.answered(CHAT, sender, now)
        else:
            assert 0 <= brake.hold(CHAT, sender, now) <= 45
