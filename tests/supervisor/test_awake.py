from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from hand_clock import HandClock
from hypothesis import given
from hypothesis import strategies as st

from wasess.supervisor.awake import STOOD_STILL, Awake
from wasess.supervisor.clock import SystemClock


def look(awake: Awake) -> tuple[float, float]:
    return awake.look(), awake.jumped


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.mark.parametrize(
    ("gap", "slept"), [(0.5, 0.0), (2.0, 0.0), (STOOD_STILL - 0.1, 0.0), (STOOD_STILL, STOOD_STILL), (8 * 3600.0, 8 * 3600.0)]
)
def test_a_long_gap_is_a_sleep_and_a_busy_machine_is_none(clock: HandClock, gap: float, slept: float):
    awake = Awake(clock)
    clock.advance(gap)
    assert look(awake) == (slept, 0.0)
    clock.advance(0.5)
    assert look(awake) == (0.0, 0.0)


@pytest.mark.parametrize("by", [86400.0, -86400.0, 3600.0, -0.75])
def test_a_clock_that_is_set_is_no_sleep(clock: HandClock, by: float):
    awake = Awake(clock)
    clock.advance(0.5)
    clock.set_wall(by)
    assert look(awake) == (0.0, by)
    clock.advance(0.5)
    assert look(awake) == (0.0, 0.0)


def test_the_clock_may_be_set_in_a_sleep(clock: HandClock):
    awake = Awake(clock)
    clock.advance(3600.0)
    clock.set_wall(-120.0)
    assert look(awake) == (3600.0, -120.0)


@given(st.lists(st.tuples(st.floats(0, 3.9), st.floats(-1e6, 1e6))))
def test_a_clock_may_be_set_as_often_as_one_likes(steps: list[tuple[float, float]]):
    clock = HandClock()
    awake = Awake(clock)
    for gap, by in steps:
        clock.advance(gap)
        clock.set_wall(by)
        slept, jumped = look(awake)
        assert slept == 0.0
        assert jumped == pytest.approx(by, abs=1e-5)


# --- the real clock -----------------------------------------------------------------------------------------------------


def test_steady_time_begins_as_wall_time_and_goes_as_fast():
    clock = SystemClock()
    assert clock.steady() == pytest.approx(time.time(), abs=0.5)
    first, began = clock.steady(), time.monotonic()
    time.sleep(0.05)
    assert clock.steady() - first == pytest.approx(time.monotonic() - began, abs=0.5)
    assert clock.steady() > first


def test_steady_time_counts_a_sleep_of_the_machine():
    """CLOCK_MONOTONIC, which `call_later` follows, does not."""
    clock = SystemClock()
    assert clock.steady() - clock._began == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=0.5)


def test_a_steady_moment_is_told_as_the_wall_clock_stands_now():
    class Wrong(SystemClock):
        by = 0.0

        def now(self) -> float:
            return super().now() + self.by

    clock = Wrong()
    moment = clock.steady() + 60
    assert clock.wall_of(moment) == pytest.approx(time.time() + 60, abs=0.5)
    clock.by = -86400.0
    assert clock.wall_of(moment) == pytest.approx(time.time() + 60 - 86400, abs=0.5)
    assert clock.steady() == pytest.approx(moment - 60, abs=0.5)


async def test_an_alarm_rings_once_and_not_when_it_was_called_off():
    rung: list[str] = []
    done = asyncio.Event()
    clock = SystemClock()
    clock.call_later(0.001, lambda: rung.append("called off")).cancel()
    clock.call_later(0.002, lambda: rung.append("rung"))
    clock.call_later(0.003, done.set)
    await asyncio.wait_for(done.wait(), 30)
    assert rung == ["rung"]


SLEEPER = """
import time
from wasess.supervisor.awake import Awake
from wasess.supervisor.clock import SystemClock
awake = Awake(SystemClock())
print("awake", flush=True)
while not (slept := awake.look()):
    time.sleep(0.05)
print(slept, flush=True)
"""


def test_a_process_that_was_stopped_notices():
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "awake\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(STOOD_STILL + 0.5)
        os.kill(process.pid, signal.SIGCONT)
        assert STOOD_STILL <= float(process.stdout.readline()) < 60
