"""What a connected, idle worker costs: memory and CPU."""

from __future__ import annotations

import statistics

from bench.figure import Figure
from bench.manager import Manager
from bench.process import at_rest
from bench.stage import linked_sessions

LIMIT_MIB = 15


def measure(workers: int = 8, seconds: float = 5) -> list[Figure]:
    """Keep ``workers`` sessions online, wait until their memory has been at rest for ``seconds``."""
    with linked_sessions(workers) as stage, Manager(stage) as manager:
        manager.all_online_after()
        memory, cpu = at_rest(manager.workers, seconds)
    command = f"python -m bench pss --workers {workers}"
    pss = [shares for _, shares in memory.values()]
    return [
        Figure(f"worker PSS, mean of {workers}", (statistics.mean(pss),), "MiB", command, LIMIT_MIB),
        Figure(f"worker PSS, each of {workers}", tuple(pss), "MiB", command, LIMIT_MIB),
        Figure(f"worker CPU while idle, each of {workers}", tuple(share * 100 for share in cpu.values()), "%", command),
    ]
