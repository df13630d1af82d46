"""No false alarm: a session whose server is slow, and one that nobody writes to, are left alone."""

from __future__ import annotations

import time

from bench.figure import Figure, tell
from bench.manager import Manager
from bench.stage import Stage, linked_sessions, wait_until

LATENCY = 8
MESSAGE_LIMIT = 10  # seconds until a message arrives at the end: the session was neither dead nor deaf
LOOKS_EVERY = 60.0


def measure(minutes: float = 30.0) -> list[Figure]:
    """Keep the two online for ``minutes``; then each gets a message."""
    with linked_sessions(2) as stage, Manager(stage) as manager:
        manager.all_online_after()
        slow, quiet = stage.users
        stage.fault(slow, f"slow {LATENCY}")
        return _Watch(stage, manager, minutes).figures({slow: f"{LATENCY} s of latency", quiet: "no message"})


class _Watch:
    """What the sessions were at the start, and all that happened to them since."""

    def __init__(self, stage: Stage, manager: Manager, minutes: float) -> None:
        self._stage = stage
        self._manager = manager
        self._minutes = minutes
        self._began = time.time()
        self._before = stage.truth()
        self._pids = manager.holders()

    def figures(self, kinds: dict[str, str]) -> list[Figure]:
        """Wait, then count."""
        self._wait()
        found = []
        for user, kind in kinds.items():
            for name, value, limit, unit in self._counts(user):
                found.append(Figure(f"{kind}: {name}", (value,), unit, f"python -m bench untouched --minutes {self._minutes:g}", limit))
        return found

    def _wait(self) -> None:
        ends = self._began + self._minutes * 60
        while (left := ends - time.time()) > 0:
            time.sleep(min(left, LOOKS_EVERY))
            disturbed = dict(self._stage.truth().disturbed(self._began))
            tell(f"{(time.time() - self._began) / 60:.1f} of {self._minutes:g} minutes: {disturbed or 'nothing happened'}")

    def _counts(self, user: str) -> list[tuple[str, float, float | None, str]]:
        truth = self._stage.truth()
        before, now = self._before.devices[user], truth.devices[user]
        return [
            ("dials and lost connections", truth.disturbed(self._began)[user], 0, ""),
            ("further logins", now["logins"] - before["logins"], 0, ""),
            ("workers replaced", int(self._manager.holders().get(user) != self._pids[user]), 0, ""),
            ("changes told by --events", len(self._manager.said({user}, self._began)), 0, ""),
            ("keepalives", now["pings"] - before["pings"], None, ""),
            ("a message at the end, said to received", self._message(user), MESSAGE_LIMIT, "s"),
        ]

    def _message(self, user: str) -> float:
        began, receipted = time.monotonic(), self._stage.truth().devices[user]["receipted"]
        self._stage.ask("say", contact="carol", user=user, text="are you there?")
        wait_until(lambda: self._stage.truth().devices[user]["receipted"] > receipted, f"{user} got no message")
        return time.monotonic() - began
