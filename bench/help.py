"""How long `wasess --help` takes, next to what it can't do without: the interpreter and typer."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.figure import Figure, tell
from bench.manager import WASESS

LIMIT_MS = 200


def measure(runs: int = 10) -> list[Figure]:
    """Run the three in turn, so that a busy moment hits all of them."""
    tell(f"wasess --help, {runs} times")
    commands = {
        "wasess --help": [WASESS, "--help"],
        "python -c 'import typer'": [sys.executable, "-c", "import typer"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(_milliseconds(command))
    limits = {"wasess --help": LIMIT_MS}
    return [Figure(name, tuple(values), "ms", "python -m bench help", limits.get(name)) for name, values in times.items()]


def _milliseconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000
