"""How soon a connection that silently died is noticed and replaced: the live ones go into a black hole, new ones would work."""

from __future__ import annotations

import random
import time
from datetime import datetime
from typing import TYPE_CHECKING

from bench.figure import BenchFailed, Figure, tell
from bench.manager import Manager
from bench.stage import linked_sessions

if TYPE_CHECKING:
    from bench.stage import Stage

# The library pings every 20 to 30 s and waits 10 s for the answer; by itself it redials after 200 s.
LIMIT = 50.0
SPREAD = 15.0  # the holes open at any instant of a ping's period
WAITS = 240.0


def measure(sessions: int = 20, seed: int = 1) -> list[Figure]:
    """Open a hole under each session, at an instant of its own; until it was noticed, and until it was back."""
    luck = random.Random(seed)
    with linked_sessions(sessions) as stage, Manager(stage) as manager:
        manager.all_online_after()
        holes = {}
        for user in stage.users:
            time.sleep(luck.uniform(0, SPREAD / sessions))
            holes[user] = time.time()
            stage.fault(user, "freeze live")
        tell(f"{sessions} connections are dead (seed {seed}); waiting")
        back = _back(stage, holes)
        noticed = {user: _noticed(manager, user, began) - began for user, began in holes.items()}
    command = f"python -m bench blackhole --sessions {sessions} --seed {seed}"
    return [
        Figure("black hole to noticed", tuple(noticed.values()), "s", command),
        Figure("black hole to back", tuple(back.values()), "s", command, LIMIT),
        Figure(f"black holes not back within {LIMIT:.0f} s", (sum(value > LIMIT for value in back.values()),), "", command, 0),
    ]


def _back(stage: Stage, holes: dict[str, float]) -> dict[str, float]:
    """Seconds from each hole to the session's next login."""
    deadline = time.monotonic() + WAITS
    back: dict[str, float] = {}
    while missing := holes.keys() - back.keys():
        if time.monotonic() > deadline:
            raise BenchFailed(f"not back within {WAITS:.0f} s: {', '.join(sorted(missing))}")
        time.sleep(0.5)
        for user in missing:
            if (active := stage.truth().active(holes[user])).get(user):
                back[user] = active[user] - holes[user]
    return back


def _noticed(manager: Manager, user: str, began: float) -> float:
    """Unix time of the first word about it."""
    return datetime.fromisoformat(manager.said({user}, began)[0]["ts"]).timestamp()
