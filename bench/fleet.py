"""Many sessions on one manager: a cold start, a reset of all sockets, a server that was away, workers that are killed and poisoned."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Figure, number, tell
from bench.manager import Manager
from bench.process import cpu_seconds
from bench.restore import LIMITS_SECONDS
from bench.stage import linked_sessions, wait_until
from bench.truth import most_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.stage import Stage

# Promised on two cores; the stand-in's work is part of it.
RESET_LIMIT = 2
RETURN_LIMIT = 15
KILLED_LIMIT = 3
BURST_LIMIT = 0.5  # of all sessions, in any one second
SPREAD_LEAST = 1  # seconds from the first dial to the last

WAITS = 120.0
# How long the others are watched after one worker's end: longer than a manager that restarts all of them would need.
WATCHES = 3.0
QUIET = 1.0
POISON = "failure 418 count=1"  # at a login: the one word, of those that the library can't digest, that wasess asks it for


def measure(sessions: int = 100, away: float = 60.0) -> list[Figure]:
    """Do it all to ``sessions`` sessions with full histories; the server is away for ``away`` seconds."""
    with linked_sessions(sessions, aged=True) as stage:
        fleet = _Fleet(stage)
        with Manager(stage) as manager:
            with fleet.phase("cold start"):
                online = manager.all_online_after()
            fleet.add("exec to all online", online, "s", limit=LIMITS_SECONDS.get(sessions))
            _reset(fleet)
            _kill(fleet, manager)  # before the server goes away: a session that was lost a moment ago comes back more slowly
            _leave_and_return(fleet, away)
            _poison(fleet, manager)
    return fleet.figures


class _Fleet:
    """The stage, and the figures so far."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, *, limit: float | None = None, least: float | None = None) -> None:
        """Add a figure and tell it."""
        count = self.stage.count
        self.figures.append(Figure(f"fleet of {count}: {name}", (value,), unit, f"python -m bench fleet --sessions {count}", limit, least))
        tell(f"{name}: {number(value)} {unit}".rstrip())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say how much of a core the stand-in used meanwhile: near 100 %, the figures are its own."""
        began, used = time.monotonic(), cpu_seconds(self.stage.stand_in)
        yield
        share = (cpu_seconds(self.stage.stand_in) - used) / (time.monotonic() - began)
        self.add(f"stand-in's share of a core, {name}", share * 100, "%")


def _reset(fleet: _Fleet) -> None:
    stage = fleet.stage
    with fleet.phase("reset of all"):
        began = time.time()
        stage.fault("*", "rst")
        back = stage.all_back(began, WAITS)
    fleet.add("all sockets reset to all back", max(back.values()) - began, "s", limit=RESET_LIMIT)


def _leave_and_return(fleet: _Fleet, away: float) -> None:
    stage = fleet.stage
    tell(f"the server goes away for {away:.0f} s")
    stage.fault("*", "refuse")
    left = time.time()
    stage.fault("*", "rst")
    time.sleep(away)
    returned = time.time()
    with fleet.phase("return of the server"):
        stage.ask("clear", user="*")
        back = stage.all_back(returned, WAITS)
    truth = stage.truth()
    dials = truth.times("dialled", returned)
    fleet.add(f"dials while the server was away for {away:.0f} s", len(truth.times("dialled", left)) - len(dials), "")
    fleet.add("server back to all back", max(back.values()) - returned, "s", limit=RETURN_LIMIT)
    fleet.add("dials after the return", len(dials), "")
    fleet.add("most dials in one second after the return", most_within(dials, 1.0), "", limit=BURST_LIMIT * stage.count)
    fleet.add("server back to the last dial", dials[-1] - returned, "s")
    fleet.add("first dial to the last", dials[-1] - dials[0], "s", least=SPREAD_LEAST)


def _kill(fleet: _Fleet, manager: Manager) -> None:
    stage = fleet.stage
    killed, *others = stage.users
    worker, began = manager.holders()[killed], time.time()
    fleet.add("others touched by a killed one", _touched(fleet, manager, others, lambda: os.kill(worker, signal.SIGKILL)), "", limit=0)
    back = stage.all_back(began, WAITS, [killed])
    fleet.add("kill -9 of a worker to its session back", back[killed] - began, "s", limit=KILLED_LIMIT)


def _poison(fleet: _Fleet, manager: Manager) -> None:
    """The last of all: wasess leaves a session alone for a minute or two after a refusal that it does not know."""
    stage = fleet.stage
    poisoned, *others = stage.users
    process = Path(f"/proc/{manager.holders()[poisoned]}")

    def poison() -> None:
        stage.fault(poisoned, POISON)
        stage.fault(poisoned, "rst")
        wait_until(lambda: not process.exists(), "the poisoned worker lives on")

    fleet.add("others touched by a poisoned one", _touched(fleet, manager, others, poison), "", limit=0)


def _touched(fleet: _Fleet, manager: Manager, others: list[str], strike: Callable[[], object]) -> int:
    """How many of the others have another process, another connection, or said anything after the strike."""
    stage = fleet.stage
    # The stand-in knows of a login a moment before the manager says it.
    wait_until(lambda: not manager.said(set(others), time.time() - QUIET), "the manager has still something to say")
    before = manager.holders()
    began = time.time()
    strike()
    time.sleep(WATCHES)
    after, disturbed = manager.holders(), stage.truth().disturbed(began)
    told = {event["session"] for event in manager.said(set(others), began)}
    return sum(user not in before or after.get(user) != before[user] or user in disturbed or user in told for user in others)
