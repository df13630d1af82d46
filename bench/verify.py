"""What `wasess verify` costs, which cron runs every minute: time and memory, with a running manager and without one.

All in one run, beside what none of them can do without: the interpreter and typer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.cost import costs
from bench.figure import Figure, tell
from bench.manager import WASESS, Manager
from bench.stage import linked_sessions

if TYPE_CHECKING:
    from bench.cost import Cost

WITH_MANAGER_MS = 300
WITHOUT_MANAGER_MS = 500
HELP_MS = 200
MEMORY_MIB = 32
HEALTHY, NO_MANAGER = 0, 8  # exit codes


def measure(sessions: int = 200, runs: int = 10) -> list[Figure]:
    """Sessions with full histories and ledgers, all of them online; then the same without a manager."""
    others = {"help": ([WASESS, "--help"], 0), "typer": ([sys.executable, "-c", "import typer"], 0)}
    with linked_sessions(sessions, aged=True) as stage:
        verify = [WASESS, "verify", "--all", "--home", str(stage.home.path)]
        with Manager(stage) as manager:
            manager.all_online_after()
            tell(f"verify --all, {runs} times, with a manager")
            commands = {"verify": (verify, HEALTHY), **others}
            costs(commands, 1)  # the first run of an installation compiles its modules, and no later one does
            kept = costs(commands, runs)
        tell(f"verify --all, {runs} times, without one")
        unkept = costs({"verify": (verify, NO_MANAGER)}, runs)["verify"]
    command = f"python -m bench verify --sessions {sessions}"
    return [
        *_figures(f"verify --all, {sessions} sessions and a manager", kept["verify"], command, WITH_MANAGER_MS),
        *_figures(f"verify --all, {sessions} sessions and no manager", unkept, command, WITHOUT_MANAGER_MS),
        Figure("wasess --help, beside a manager", _times(kept["help"]), "ms", command, HELP_MS),
        Figure("python -c 'import typer', beside a manager", _times(kept["typer"]), "ms", command),
    ]


def _figures(name: str, found: list[Cost], command: str, limit: float) -> list[Figure]:
    memory = tuple(cost.mebibytes for cost in found)
    return [Figure(name, _times(found), "ms", command, limit), Figure(f"{name}: RSS", memory, "MiB", command, MEMORY_MIB)]


def _times(found: list[Cost]) -> tuple[float, ...]:
    return tuple(cost.milliseconds for cost in found)
