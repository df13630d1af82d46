"""What a short command costs: wall time, and the most memory it had, run after run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.figure import BenchFailed

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class Cost:
    """``milliseconds`` from the start to the end; ``mebibytes``: the peak of the RSS, never less than the 9 of `launcher`."""

    milliseconds: float
    mebibytes: float


def cost_of(command: list[str], code: int = 0) -> Cost:
    """Run a command whose output nobody reads. Raises `BenchFailed` when it ends with another code."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # compiled, as installed
    launched = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    said = launched.stderr.decode(errors="replace")[-300:]
    if launched.returncode:
        raise BenchFailed(f"{' '.join(command)} could not be started: {said}")
    seconds, kibibytes, ended = launched.stdout.split()
    if int(ended) != code:
        raise BenchFailed(f"{' '.join(command)} ended with {int(ended)}: {said}")
    return Cost(float(seconds) * 1000, int(kibibytes) / 1024)


def costs(commands: dict[str, tuple[list[str], int]], runs: int) -> dict[str, list[Cost]]:
    """Run all of them (each with the code it must end with) in turn, so that a busy moment hits all."""
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, (command, code) in commands.items():
            found[name].append(cost_of(command, code))
    return found
