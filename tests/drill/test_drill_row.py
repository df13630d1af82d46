from __future__ import annotations

from dataclasses import replace

import pytest

from wasess.drill.row import HEADINGS, Row, Seen, failed, judge


async def nothing(_scene) -> Seen:
    return Seen("nothing")


ROW = Row("cut", "5.3/1", "it is cut", "back within 1 s", nothing, bound=1.0, detect_within=2.0)


def test_within_all_bounds_is_ok():
    verdict = judge(ROW, Seen("back", 2.0, 1.0), 0)
    assert verdict.ok
    assert verdict.happened == "back"


@pytest.mark.parametrize(
    ("seen", "lost", "complaint"),
    [
        (Seen("back", 0.1, 1.001), 0, "not back within 1 s; back"),
        (Seen("never", 0.1, None), 0, "not back within 1 s; never"),
        (Seen("back", 2.5, 0.5), 0, "not noticed within 2 s; back"),
        (Seen("back", None, 0.5), 0, "not noticed within 2 s; back"),
        (Seen("back", 0.1, 0.5), 3, "3 messages did not come; back"),
        (Seen("back", 3.0, 3.0), 1, "not back within 1 s; not noticed within 2 s; 1 messages did not come; back"),
    ],
)
def test_whatever_is_out_of_bounds_is_said(seen, lost, complaint):
    verdict = judge(ROW, seen, lost)
    assert not verdict.ok
    assert verdict.happened == complaint


def test_without_bounds_only_a_lost_message_counts():
    row = replace(ROW, bound=None, detect_within=None)
    assert judge(row, Seen("slow", None, 1000.0), 0).ok
    assert not judge(row, Seen("fast", 0.0, 0.0), 1).ok


def test_a_verdict_as_json():
    assert judge(ROW, Seen("back", 0.12345, 0.5), 0).as_json() == {
        "row": "cut",
        "fault": "it is cut",
        "expected": "back within 1 s",
        "happened": "back",
        "detected_s": 0.123,
        "recovered_s": 0.5,
        "bound_s": 1.0,
        "lost": 0,
        "ok": True,
    }
    assert failed(ROW, "it broke", 2).as_json()["detected_s"] is None


def test_a_verdict_as_cells():
    cells = failed(ROW, "it broke", 2).as_cells()
    assert cells == ("cut", "it is cut", "back within 1 s", "it broke", "-", "-", "2", "FAILED")
    assert len(cells) == len(HEADINGS)
