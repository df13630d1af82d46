"""Short runs of `python -m bench losses`: what is stopped, cut, broken, killed and without power at random instants loses no message.

Long ones are for hand: `python -m bench losses --kind drain`, `kills`, `flood`, `power`, `slow-disk`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from homes import measured

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parent.parent.parent
SHORT = {
    "drain": ("--runs", "3", "--rate", "60", "--seed", "11"),
    "kills": ("--runs", "4", "--rate", "50", "--seed", "3"),
    "flood": ("--runs", "2", "--seed", "7"),
    "power": ("--runs", "1", "--seed", "7"),
    "slow-disk": ("--runs", "2", "--seed", "5"),
    "slow-disk-control": ("--runs", "1", "--seed", "5"),
}


@pytest.fixture
def module(monkeypatch):
    """A module of the bench by its name; only `python -m bench`, started in its folder, finds it by itself."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"bench.{name}")


@pytest.mark.parametrize("kind", ["drain", "kills", "flood", "slow-disk"])
def test_no_message_is_lost(kind):
    _nothing_is_lost(kind)


def test_no_message_is_lost_with_the_power(module, tmp_path):
    if obstacle := module("lossy_disk").obstacle(tmp_path / "disk"):
        pytest.skip(obstacle)
    _nothing_is_lost("power")


def test_without_the_hold_of_the_receipts_the_same_kills_lose_messages():
    values = _nothing_is_lost("slow-disk-control")  # by its own limits: it must lose
    assert values["lost and not named by the gap ledger"] > 0
    assert values["least events on the way at a kill"] >= 20


def _nothing_is_lost(kind: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench", "losses", "--kind", kind, "--sessions", "2", *SHORT[kind], "--json"]
    bench = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    found = json.loads(bench.stdout)
    assert not found["failures"], f"{found['failures']}\n{bench.stderr}"
    values = {one["name"].partition(": ")[2]: one["median"] for one in found["figures"]}
    measured(f"{kind}: {values}")
    assert values["messages"] >= 100
    assert not [f"{one['name']}: {one['median']:g}" for one in found["figures"] if one["over"]], bench.stderr
    assert bench.returncode == 0
    return values


CHAT = "alice carol"
ID = {f"{CHAT} {number}": f"id{number}" for number in range(5)}


@pytest.fixture
def books(module):
    """What is known of five messages with which all went well; a test may change some of it."""
    truth = module("ledger_truth")

    def made(seen=ID, *, answers=ID, inbox=ID, gaps=(), receipted=ID, ended=(), unreadable=()):
        entry = truth.Entry(
            {ID[text]: "done" for text in inbox}, {ID[text]: "old-counter" for text in gaps}, 0, {f"re{ID[text]}": text for text in ID}
        )
        return truth.Evidence.of(
            {
                "sent": [["alice", "carol", text, name, 1.0] for text, name in ID.items()],
                "receipted": {"alice": [ID[text] for text in receipted]},
                "pending": {"alice": [name for text, name in ID.items() if text not in receipted]},
                "answers": {"carol": [[f"re {text}", 2.0] for text in answers]},
                "unreadable": list(unreadable),
            },
            {"alice": entry},
            [f"1.5 {pid} {text}" for pid, text in (one if isinstance(one, tuple) else (7, one) for one in seen)],
            ended,
        )

    return made


def texts(*numbers):
    return [f"{CHAT} {number}" for number in numbers]


def test_where_nothing_is_wrong_nothing_is_found(books):
    found = books()
    assert [found.lost, found.unnamed, found.forgotten, found.withheld, found.unanswered, found.out_of_order()] == [[]] * 6
    assert [found.repeated(excused=False), found.repeated(excused=True), found.answered_again, found.false_gaps] == [[], [], {}, 0]


def test_what_did_not_reach_the_bot_is_lost_and_named_only_by_the_ledger(books):
    found = books(seen=texts(0, 1, 4), inbox=texts(0, 1, 4), gaps=texts(2))
    assert [one.text for one in found.lost] == texts(2, 3)
    assert [one.text for one in found.unnamed] == [one.text for one in found.forgotten] == texts(3)
    assert "acknowledged True, waits at the server False, inbox no, gap old-counter, bot no" in found.story(found.lost[0])
    assert not books(seen=texts(0, 1, 2), inbox=texts(0, 1, 2), receipted=texts(0, 1, 2)).forgotten, "the server still has them"


def test_what_stays_in_the_inbox_and_what_the_ledger_names_by_mistake_are_found(books):
    assert [one.text for one in books(seen=texts(0, 1, 2, 3)).withheld] == texts(4)
    assert books(gaps=texts(1, 2)).false_gaps == 2


def test_the_order_is_that_of_the_first_time_in_each_chat(books):
    assert books(seen=texts(0, 2, 1, 3, 4)).out_of_order() == texts(1)
    assert books(seen=texts(0, 2, 1, 3, 4)).out_of_order(frozenset(texts(1))) == []
    assert books(seen=texts(0, 1, 2, 1, 3, 4)).out_of_order() == []


def test_a_bot_may_see_again_only_what_died_with_its_process(books):
    seen = [(7, f"{CHAT} 0"), (7, f"{CHAT} 1"), (8, f"{CHAT} 1"), (8, f"{CHAT} 0")]
    assert (books(seen=seen).repeated(excused=False), books(seen=seen).repeated(excused=True)) == (texts(1, 0), [])
    assert (books(seen=seen, ended=[7]).repeated(excused=False), books(seen=seen, ended=[7]).repeated(excused=True)) == ([], texts(1, 0))
    assert books(seen=[(7, f"{CHAT} 0"), (7, f"{CHAT} 0")], ended=[7]).repeated(excused=False) == texts(0), "it was alive"


def test_an_answer_that_came_twice_or_not_at_all_is_found(books):
    found = books(answers=texts(0, 1, 1, 2), unreadable=["reid3"])
    assert found.unanswered == texts(4), "one of the others came, and could not be read"
    assert found.answered_again == {f"re {CHAT} 1": (2.0, 2.0)}
