"""The proof that a broken disk costs no message and no session silently: bits flip, ends are lost, blocks are zeroed or garbage, in each file of a session.

Each case is one session with known content (`bench.damage_session`): one of its files is damaged (`bench.damage_strokes`) while nobody serves it, or
while a supervisor does; it is looked at by `wasess diagnose`'s own code, served, and judged (`bench.damage_batch`). The connections are scripted: what
is damaged is what wasess reads. `bench.damage_real` does some of it with `wasess serve` and the real library.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.damage_batch import FILES, Batch
from bench.figure import BenchFailed, Figure, circumstances, tell

if TYPE_CHECKING:
    from bench.damage_batch import Case

AT_ONCE = 100  # sessions in one home
PROCESSES = 2
STATES = {"stopped": False, "serving": True}


@dataclass(frozen=True, slots=True)
class Plan:
    """``each``: cases of each file, and as many of each of ``states`` (empty: both); ``file``: empty for all; ``seed``: 0 for a new one."""

    each: int = 500
    file: str = ""
    state: str = ""
    seed: int = 0

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m bench damage --each {self.each} --seed {self.seed}" + "".join(
            f" --{name} {value}" for name, value in (("file", self.file), ("state", self.state)) if value
        )


def measure(wanted: Plan) -> list[Figure]:
    """Do it. The cases stay in a file when something is wrong. Raises `BenchFailed` for a file or a state that there is not."""
    plan = replace(wanted, seed=wanted.seed or 1 + secrets.randbelow(10**6))
    files, states = [plan.file] if plan.file else list(FILES), [plan.state] if plan.state else list(STATES)
    if not set(files) <= set(FILES) or not set(states) <= set(STATES):
        raise BenchFailed(f"--file is one of {', '.join(FILES)}; --state one of {', '.join(STATES)}")
    tell(f"{plan.command}\n{circumstances()}")
    began = time.monotonic()
    batches = [
        (file, min(AT_ONCE, plan.each - first), f"{plan.seed} {file} {state} {first}", STATES[state])
        for file in files
        for state in states
        for first in range(0, plan.each, AT_ONCE)
    ]
    with ProcessPoolExecutor(PROCESSES) as pool:
        cases = [case for batch in pool.map(_batch, batches) for case in batch]
    tell(f"{len(cases)} cases in {time.monotonic() - began:.0f} s")
    if any(case.wrong for case in cases):
        _keep(cases)
    return [figure for file in files for state in states for figure in _figures(plan, file, state, cases)]


def _batch(order: tuple[str, int, str, bool]) -> list[Case]:
    file, count, seed, serving = order
    return Batch([file], count, seed, serving=serving).run()


def _keep(cases: list[Case]) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="wasess-damage-", suffix=".json", delete=False) as kept:
        json.dump([asdict(case) for case in cases if case.wrong], kept, indent=1)
    said = Counter(
        f"{case.file}, {'serving' if case.serving else 'stopped'}: {wrong.partition(':')[0]}" for case in cases for wrong in case.wrong
    )
    tell("\n  ".join(["wrong:", *(f"{count} x {what}" for what, count in said.most_common(20)), f"all of it: {Path(kept.name)}"]))


def _figures(plan: Plan, file: str, state: str, cases: list[Case]) -> list[Figure]:
    chosen = [case for case in cases if (case.file, case.serving) == (file, STATES[state])]
    rows = [
        ("cases", len(chosen), None),
        ("with harm", sum(bool(case.harm) for case in chosen), None),
        ("with something lost, changed, dead or unnamed", sum(bool(case.wrong) for case in chosen), 0),
    ]
    return [Figure(f"damage, {file}, {state}: {name}", (float(value),), "", plan.command, limit) for name, value, limit in rows]
