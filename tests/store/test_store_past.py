from __future__ import annotations

import pytest

from wasess.core.outages import Ledger, Outage
from wasess.store.past import settled
from wasess.store.records import SessionRecord

STOPPED = Outage(500.0, None, "STOPPED")


@pytest.mark.parametrize(
    ("state", "last_online_at", "ledger", "true"),
    [
        ("online", 600.0, (), (Outage(900.0, None, "MANAGER_DOWN"),)),
        ("online", 600.0, (STOPPED,), (Outage(500.0, 600.0, "STOPPED"), Outage(900.0, None, "MANAGER_DOWN"))),
        ("online", 600.0, (Outage(700.0, None, "MANAGER_DOWN"),), (Outage(700.0, None, "MANAGER_DOWN"),)),
        ("stopped", 300.0, (), (Outage(600.0, None, "CODE"),)),
        ("waiting", 300.0, (STOPPED,), (STOPPED,)),
        ("waiting", None, (), ()),  # never up: nothing to be away from
        ("waiting", None, (STOPPED,), (STOPPED,)),
        ("connecting", 300.0, (STOPPED,), (STOPPED,)),
        ("connecting", 300.0, (), ()),
        ("new", 300.0, (), ()),
    ],
)
def test_the_ledger_says_what_the_record_says(state: str, last_online_at: float | None, ledger: Ledger, true: Ledger):
    record = SessionRecord("alice", 100.0, state, "CODE", 600.0, last_online_at=last_online_at)
    assert settled(record, ledger, 900.0) == true
    assert settled(record, true, 950.0) == true


@pytest.mark.parametrize("last_alive", [0.0, 599.0])
def test_what_was_up_was_up_at_its_login(last_alive: float):
    record = SessionRecord("alice", 100.0, "online", "ONLINE", 600.0, last_online_at=600.0)
    assert settled(record, (), last_alive) == (Outage(600.0, None, "MANAGER_DOWN"),)
