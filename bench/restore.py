"""How fast `wasess serve` brings linked sessions back, and how fast it lets them go."""

from __future__ import annotations

from bench.figure import Figure, tell
from bench.manager import Manager
from bench.stage import linked_sessions, wait_until

# Promised on two cores; the stand-in's work is part of it.
LIMITS_SECONDS = {20: 2, 100: 8}
DRAIN_LIMIT_SECONDS = 10


def measure(sessions: int = 20, rounds: int = 5) -> list[Figure]:
    """Start and stop a manager ``rounds`` times on the same linked sessions. Files are in the page cache, processes are not there."""
    online, ready, drained = [], [], []
    with linked_sessions(sessions) as stage:
        for number in range(1, rounds + 1):
            with Manager(stage) as manager:
                online.append(manager.all_online_after())
                ready.append(manager.ready_after())
                drained.append(manager.stop())
            tell(f"round {number} of {rounds}: {sessions} online after {online[-1]:.2f} s, gone after {drained[-1]:.2f} s")
            wait_until(lambda: not stage.active_since(), "sessions stayed online without a manager")
    command = f"python -m bench restore --sessions {sessions}"
    return [
        Figure(f"restore of {sessions}: exec to all online", tuple(online), "s", command, LIMITS_SECONDS.get(sessions)),
        Figure(f"restore of {sessions}: exec to 'manager ready'", tuple(ready), "s", command),
        Figure(f"restore of {sessions}: SIGTERM to gone", tuple(drained), "s", command, DRAIN_LIMIT_SECONDS),
    ]
