"""What the manager itself costs while its sessions are idle."""

from __future__ import annotations

from bench.figure import Figure
from bench.manager import Manager
from bench.process import at_rest
from bench.stage import linked_sessions


def measure(sessions: int = 20, seconds: float = 5) -> list[Figure]:
    """Keep ``sessions`` online, wait until the memory has been at rest for ``seconds``."""
    with linked_sessions(sessions) as stage, Manager(stage) as manager:
        manager.all_online_after()
        names = {manager.pid: "supervisor", manager.fork_server: "fork server"}
        memory, cpu = at_rest(list(names), seconds)
    command = f"python -m bench supervisor --sessions {sessions}"
    figures = []
    for pid, name in names.items():
        rss, pss = memory[pid]
        figures += [Figure(f"{name} RSS, {sessions} sessions", (rss,), "MiB", command)]
        figures += [Figure(f"{name} PSS, {sessions} sessions", (pss,), "MiB", command)]
        figures += [Figure(f"{name} CPU while idle, {sessions} sessions", (cpu[pid] * 100,), "%", command)]
    return figures
