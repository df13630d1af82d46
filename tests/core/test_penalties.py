from __future__ import annotations

from wasess.core.penalties import FIRST, LONGEST, MOST_KEPT, Penalties


def test_each_further_time_costs_twice_as_much_up_to_an_hour():
    penalties = Penalties()
    assert penalties.left("mallory", 0.0) == 0
    assert [penalties.charge("mallory", 0.0) for _ in range(4)] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert (penalties.left("mallory", 30.0), penalties.left("carol", 30.0)) == (8 * FIRST - 30, 0)
    assert penalties.left("mallory", 8 * FIRST + 1) == 0
    assert [penalties.charge("mallory", 0.0) for _ in range(2000)][-1] == LONGEST


def test_what_is_right_is_counted_for_him_and_a_long_quiet_time_is_the_end_of_it():
    penalties = Penalties()
    penalties.charge("mallory", 0.0)
    penalties.charge("mallory", 0.0)
    penalties.relieve("mallory")
    assert penalties.charge("mallory", 100.0) == 2 * FIRST
    penalties.relieve("mallory")
    penalties.relieve("mallory")
    assert penalties.charge("mallory", 200.0) == FIRST
    penalties.charge("mallory", 200.0)
    assert penalties.charge("mallory", 200.0 + 2 * FIRST + LONGEST + 1) == FIRST
    penalties.relieve("carol")


def test_who_has_many_names_fills_no_memory_and_does_not_free_the_worst():
    penalties = Penalties()
    for _ in range(10):
        penalties.charge("mallory", 0.0)
    for number in range(MOST_KEPT * 2):
        penalties.charge(f"{number}@lid", 0.0)
    assert len(penalties._penalties) == MOST_KEPT
    assert penalties.left("mallory", 0.0)
