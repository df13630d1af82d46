"""docs/machine.md is what the code does."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from wasess.core import events, reasons
from wasess.core.events import Event
from wasess.core.states import State

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "machine.md"


@pytest.fixture(scope="module")
def tool() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "tools" / "machine_table.py"))


def test_the_page_is_up_to_date(tool):
    assert PAGE.read_text() == tool["page"](), "run `python tools/machine_table.py --write`"


def test_every_event_and_every_state_is_in_it(tool):
    kinds = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind not in {Event, events.MessageReceived}
    }  # what came is the mailbox's
    assert {type(event) for _, event in tool["WORDS"]} == kinds
    assert {position.state for position in tool["POSITIONS"]} == set(State) - {State.PAIRING}  # which is `connect`'s own


def test_every_code_is_in_it():
    listed = PAGE.read_text().split("## Codes")[1]
    assert [reason.code for reason in reasons.ALL if f"| {reason.code} |" not in listed] == []
