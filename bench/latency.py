"""How long a message takes from the stand-in to the bot's function while many sessions are busy; then, at a slower pace, to the bot and back.

The stand-in writes to all sessions in turn, evenly paced, and each text is the moment at which it was written; the bot notes when it was called.
Everything runs on this machine, the stand-in and the phones of those who write included, so it is shown how late the stand-in itself was, and
how much of a core each part used. Answers cost the stand-in and the workers far more than messages do: hence the slower pace.
"""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from bench.figure import Figure, tell
from bench.mail import NOTEBOOK
from bench.manager import Manager
from bench.process import cpu_seconds
from bench.stage import linked_sessions, wait_until

if TYPE_CHECKING:
    from bench.stage import Stage

CONTACT = "carol"
P99_MS = 50
WITHIN = 60.0
WARM_UP = 1.0  # seconds, before what counts: the bot is started for its first message
SLOWER = 5


def measure(sessions: int = 20, rate: float = 10.0, seconds: float = 30.0) -> list[Figure]:
    """``rate``: messages a second to each session."""
    command = f"python -m bench latency --sessions {sessions} --rate {rate:g} --seconds {seconds:g}"
    with linked_sessions(sessions) as stage:
        return [*_one_way(stage, rate, seconds, command), *_and_back(stage, rate / SLOWER, seconds / 2, command)]


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _one_way(stage: Stage, rate: float, seconds: float, command: str) -> list[Figure]:
    with Manager(stage, "--bot", f"{NOTEBOOK}:note") as manager:
        manager.all_online_after()
        _write(stage, manager, rate, min(WARM_UP, seconds))
        parts = {"stand-in": [stage.stand_in], "manager": [manager.pid], "workers": manager.workers}
        used = {name: sum(map(cpu_seconds, pids)) for name, pids in parts.items()}
        called, late = _write(stage, manager, rate, seconds)
        shares = {name: (sum(map(cpu_seconds, pids)) - used[name]) / seconds * 100 for name, pids in parts.items()}
    name = f"latency, {stage.count} sessions"
    return [
        *_figures(f"{name} x {rate:g}/s: to the bot", [at - float(text) for text, at in called.items()], command, P99_MS),
        *_figures(f"{name} x {rate:g}/s: the stand-in wrote too late by", late, command),
        *(Figure(f"{name} x {rate:g}/s: core used by {part}", (share,), "%", command) for part, share in shares.items()),
    ]


def _and_back(stage: Stage, rate: float, seconds: float, command: str) -> list[Figure]:
    with Manager(stage, "--bot", f"{NOTEBOOK}:answer") as manager:
        manager.all_online_after()
        _write(stage, manager, rate, min(WARM_UP, seconds))
        called, _late = _write(stage, manager, rate, seconds)
        wait_until(lambda: called.keys() <= _answers(stage).keys(), "not all answers came back", WITHIN)
        answers = _answers(stage)
    name = f"latency, {stage.count} sessions x {rate:g}/s: to the bot and back"
    return _figures(name, [answers[text] - float(text) for text in called], command)


def _write(stage: Stage, manager: Manager, rate: float, seconds: float) -> tuple[dict[str, float], list[float]]:
    """Have it written; when the bot was called for each text, and how late each was written."""
    before = len(manager.seen)
    tell(f"{rate:g} messages a second to each of {stage.count} sessions for {seconds:g} s, load {os.getloadavg()[0]:.1f}")
    late: list[float] = stage.order("pace", seconds + WITHIN, contact=CONTACT, users=stage.users, rate=rate, seconds=seconds)
    wait_until(lambda: len(manager.seen) >= before + len(late), "not all reached the bot", WITHIN)
    notes = (line.partition(" ") for line in manager.seen[before:])
    return {text: float(at) for at, _, text in notes}, late


def _answers(stage: Stage) -> dict[str, float]:
    """When which text came back."""
    found: dict[str, float] = stage.order("answers", contact=CONTACT)
    return found


def _figures(name: str, seconds: list[float], command: str, limit: float | None = None) -> list[Figure]:
    parts = {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99), "most": max(seconds)}
    return [Figure(f"{name}, {part}", (value * 1000,), "ms", command, limit if part == "p99" else None) for part, value in parts.items()]
