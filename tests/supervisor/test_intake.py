from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasess.supervisor.intake import Ledger


@given(st.permutations(range(12)))
def test_the_position_is_the_end_of_the_finished_beginning(order: list[int]):
    ledger = Ledger()
    tickets = [ledger.add(10 * (number + 1)) for number in range(12)]
    position = 0
    for count, number in enumerate(order, 1):
        position = ledger.finish(tickets[number]) or position
        finished = set(order[:count])
        assert position == 10 * next((number for number in range(12) if number not in finished), 12)
    assert len(ledger) == 0


def test_a_ticket_of_a_forgotten_spool_moves_nothing():
    ledger = Ledger()
    old = ledger.add(10)
    ledger.forget()
    new = ledger.add(5)
    assert ledger.finish(old) is None
    assert ledger.finish(new) == 5
