from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.events import Event, LineLost, WorkerStuck, WorkerTooLarge
from wasess.core.vitals import LATE, Look, following, judge

MIB = 2**20
LIMIT = 256 * MIB
NOW = 1_700_000_000.0

HEALTHY = Look(NOW, beat_age=0.5, state="S", cpu=1.25, memory=40 * MIB)
SILENT = replace(HEALTHY, beat_age=60.0)


def verdict(first: Look, apart: float = 1.0, **second: float | str) -> Event | None:
    """Of a second look: as the first, but for the time that passes and what is said."""
    passing = {"at": first.at + apart, "beat_age": first.beat_age + apart if first.beat_age else 0.0}
    now = replace(first, **passing | second)
    return judge(first, following(first, now), LIMIT)


def test_a_healthy_worker():
    assert verdict(HEALTHY, beat_age=0.5) is None


def test_a_first_look_compares_with_nothing():
    assert judge(None, replace(SILENT, state="T", memory=LIMIT + 1, line_age=60.0), LIMIT) is None
    assert following(None, SILENT).silence == 0.0


@pytest.mark.parametrize("state", ["T", "t"])
@pytest.mark.parametrize(("silent", "is_stuck"), [(0.9, False), (1.0, True), (60.0, True)])
def test_stopped_by_a_signal(state: str, silent: float, is_stuck: bool):
    expected = WorkerStuck(f"stopped by a signal, silent for {silent:.0f} s") if is_stuck else None
    assert verdict(HEALTHY, state=state, beat_age=silent) == expected


@pytest.mark.parametrize(("states", "patience"), [("SS", 2.0), ("DD", 5.0), ("SD", 5.0), ("DS", 5.0)])
@pytest.mark.parametrize(("more", "is_stuck"), [(-0.1, False), (0.0, True), (10.0, True)])
def test_asleep_for_good(states: str, patience: float, more: float, is_stuck: bool):
    silent = patience + more
    before = silent - 1.0
    first = replace(HEALTHY, state=states[0], beat_age=before)
    assert verdict(first, state=states[1], beat_age=silent) == (WorkerStuck(f"silent for {silent:.0f} s") if is_stuck else None)


@pytest.mark.parametrize(
    ("states", "cpu", "apart"),
    [
        ("RR", 0.0, 1.0),
        ("SR", 0.0, 1.0),
        ("RS", 0.0, 1.0),
        ("SS", 0.01, 1.0),
        ("DD", 0.01, 1.0),
        ("SS", 0.0, 0.8),
        ("ZZ", 0.0, 1.0),
        ("SS", -1.0, 1.0),
    ],
)
@pytest.mark.parametrize(("silent", "is_stuck"), [(6.0, False), (19.9, False), (20.0, True)])
def test_a_process_that_wants_to_run_gets_twenty_seconds(states: str, cpu: float, apart: float, silent: float, is_stuck: bool):
    first = replace(HEALTHY, state=states[0], beat_age=silent - apart)
    expected = WorkerStuck(f"silent for {silent:.0f} s") if is_stuck else None
    assert verdict(first, apart, state=states[1], cpu=first.cpu + cpu, beat_age=silent) == expected


@pytest.mark.parametrize(
    ("memory", "limit", "expected"), [(LIMIT, LIMIT, None), (LIMIT + 1, LIMIT, WorkerTooLarge(LIMIT + 1, LIMIT)), (LIMIT, 0, None)]
)
def test_too_much_memory(memory: int, limit: int, expected: Event | None):
    assert judge(HEALTHY, replace(HEALTHY, at=NOW + 1, memory=memory), limit) == expected


@pytest.mark.parametrize("field", ["line_age", "unacked_age"])
@pytest.mark.parametrize(("age", "is_lost"), [(0.0, False), (4.9, False), (5.0, True)])
def test_a_lost_line(field: str, age: float, is_lost: bool):
    assert isinstance(verdict(HEALTHY, beat_age=0.5, **{field: age}), LineLost) is is_lost


def test_the_worst_comes_first():
    bad = {"memory": LIMIT + 1, "line_age": 60.0, "unacked_age": 60.0}
    assert isinstance(verdict(SILENT, **bad), WorkerStuck)
    assert isinstance(verdict(HEALTHY, beat_age=0.5, **bad), WorkerTooLarge)
    assert verdict(HEALTHY, beat_age=0.5, line_age=60.0, unacked_age=60.0) == LineLost("what was sent is not even acknowledged")


def test_what_is_unknown_is_no_fault():
    assert judge(Look(NOW), Look(NOW + 1), LIMIT) is None
    assert verdict(replace(HEALTHY, beat_age=0.0), state="T") is None
    assert verdict(replace(SILENT, state=""), beat_age=19.0) is None


@pytest.mark.parametrize("state", ["S", "R", "D", "T"])
def test_when_we_come_late_ourselves_there_is_no_verdict(state: str):
    first = replace(SILENT, state=state)
    assert verdict(first, LATE + 0.1, memory=LIMIT + 1, line_age=60.0) is None
    assert isinstance(verdict(first, 1.0), WorkerStuck)


@pytest.mark.parametrize(("state", "seconds"), [("T", 1), ("S", 2), ("R", 20)])
def test_after_everything_stood_still_a_worker_gets_its_whole_time(state: str, seconds: int):
    """As `docker pause` does it: manager and workers at once, for a minute. This one does not come back to life."""
    before, age = replace(HEALTHY, state=state), 60.5
    looks = [following(before, replace(before, at=NOW + 60.0, beat_age=age))]
    assert judge(before, looks[0], LIMIT) is None
    for second in range(1, seconds + 2):
        looks.append(following(looks[-1], replace(looks[-1], at=NOW + 60.0 + second, beat_age=age + second)))
    found = [judge(earlier, later, LIMIT) for earlier, later in pairwise(looks)]
    assert [isinstance(event, WorkerStuck) for event in found].index(True) + 1 == pytest.approx(seconds, abs=1)


def test_a_beat_ends_what_was_excused():
    late = following(HEALTHY, replace(HEALTHY, at=NOW + 60.0, beat_age=60.5))
    assert late.excused == 60.5
    assert following(late, replace(late, at=NOW + 61.0, beat_age=0.4)).excused == 0.0
    assert following(late, replace(late, at=NOW + 61.0, beat_age=61.5)).excused == 60.5


# --- no false alarm -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """Between two looks: ``runs`` seconds in which everybody may run, and ``frozen`` in which nobody does, our looks included."""

    runs: float
    frozen: float
    freeze_at: float


stretches = st.lists(
    st.builds(Stretch, st.floats(0.9, 1.0), st.one_of(st.just(0.0), st.floats(0, 4), st.floats(0, 5000)), st.floats(0, 1)),
    min_size=2,
    max_size=40,
)
delays = st.lists(st.floats(0.05, 1.9), min_size=1, max_size=20)
states = st.lists(st.sampled_from("SRD"), min_size=1, max_size=7)


def looks_at(beats: list[float], letters: list[str], life: list[Stretch]) -> list[Look]:
    """A worker beats so many seconds of its own time after its last beat; in a freeze its time stands still, and its age grows."""
    now, own, looks, beaten_at = NOW, 0.0, [], NOW
    due, number = beats[0], 0

    def run(seconds: float) -> None:
        nonlocal now, own, beaten_at, due, number
        while due <= own + seconds:
            now, own, seconds = now + (due - own), due, seconds - (due - own)
            beaten_at, number = now, number + 1
            due += beats[number % len(beats)]
        now, own = now + seconds, own + seconds

    for index, stretch in enumerate(life):
        run(stretch.runs * stretch.freeze_at)
        now += stretch.frozen
        run(stretch.runs * (1 - stretch.freeze_at))
        look = Look(now, max(1e-9, now - beaten_at), letters[index % len(letters)], cpu=1.0, memory=LIMIT)
        looks.append(following(looks[-1] if looks else None, look))
    return looks


@given(delays, states, stretches)
def test_a_worker_that_beats_within_two_seconds_is_never_judged(beats: list[float], letters: list[str], life: list[Stretch]):
    looks = looks_at(beats, letters, life)
    assert [judge(earlier, later, LIMIT) for earlier, later in pairwise(looks)] == [None] * (len(looks) - 1)


@given(st.floats(0.1, 0.9), st.lists(st.floats(0.95, 1.5), min_size=8, max_size=30))
def test_a_worker_that_has_died_in_silence_is_found_within_six_seconds(age: float, gaps: list[float]):
    looks = [replace(HEALTHY, beat_age=age)]
    for gap in gaps:
        looks.append(following(looks[-1], replace(looks[-1], at=looks[-1].at + gap, beat_age=looks[-1].beat_age + gap)))
    found = next(later for earlier, later in pairwise(looks) if judge(earlier, later, LIMIT))
    assert found.beat_age <= 6.0
