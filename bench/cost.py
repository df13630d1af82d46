"""What a short command costs: wall time, and the most memory it had, run after run."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass

from bench.figure import BenchFailed


@dataclass(frozen=True, slots=True)
class Cost:
    """``milliseconds`` from the start to the end; ``mebibytes``: the peak of the RSS (the kernel's, wait4(2))."""

    milliseconds: float
    mebibytes: float


def cost_of(command: list[str], code: int = 0) -> Cost:
    """Run a command whose output nobody reads. Raises `BenchFailed` when it ends with another code."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        passed = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise BenchFailed(f"{' '.join(command)} ended with {process.returncode}: {said.decode(errors='replace')[:300]}")
    return Cost(passed * 1000, used.ru_maxrss / 1024)


def costs(commands: dict[str, tuple[list[str], int]], runs: int) -> dict[str, list[Cost]]:
    """Run all of them (each with the code it must end with) in turn, so that a busy moment hits all."""
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, (command, code) in commands.items():
            found[name].append(cost_of(command, code))
    return found
