"""What one session's mail that can't be written costs the manager, `wasess status`, the other sessions, and the session's own connection.

Another process holds the write lock of one session's inbox.db for ``seconds``, while all sessions get messages; before and after it, the same
traffic runs without the lock. Then the file is made immutable (root, and a file system that can), and WhatsApp replaces and logs out the session:
its state is asked for with `wasess status`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from bench.figure import BenchFailed, Figure, tell
from bench.latency import percentile
from bench.mail import NOTEBOOK
from bench.manager import WASESS, Manager
from bench.stage import linked_sessions, wait_until
from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.stage import Stage

CONTACT = "carol"
WITHIN = 60.0
UNWRITABLE_FOR = 60.0
AROUND = 2.0  # seconds of traffic before and after the lock
ASKED_EVERY = 1.0
STATUS_WITHIN, SEEN_WITHIN = 0.5, 1.0
MOST_SLOWER = 1.10


def measure(seconds: float = 14.0, rate: float = 20.0, sessions: int = 4, rounds: int = 2) -> list[Figure]:
    """``rate``: messages a second to each session."""
    command = f"python -m bench held --seconds {seconds:g} --rate {rate:g} --sessions {sessions} --rounds {rounds}"
    with linked_sessions(sessions) as stage:
        held = _Held(stage, rate, seconds)
        with Manager(stage, "--bot", f"{NOTEBOOK}:note") as manager:
            manager.all_online_after()
            first = stage.order("pace", WITHIN, contact=CONTACT, users=stage.users, rate=rate, seconds=AROUND)
            wait_until(lambda: len(manager.seen) >= len(first), "the bot has not begun", WITHIN)
            workers = set(manager.workers)
            phases = [held.phase(manager, locked=number % 2 == 1) for number in range(2 * rounds + 1)]
            replaced = len(workers - set(manager.workers))
        free, locked = phases[::2], phases[1::2]
        ratio = max(phase["p99"] for phase in locked) / max(phase["p99"] for phase in free)
        figures = [
            Figure(
                "worst answer of `wasess status` during the lock", tuple(phase["status"] for phase in locked), "s", command, STATUS_WITHIN
            ),
            Figure("p99 of the other sessions without it", tuple(phase["p99"] * 1000 for phase in free), "ms", command),
            Figure("p99 of the other sessions during the lock", tuple(phase["p99"] * 1000 for phase in locked), "ms", command),
            Figure("worst with the lock to worst without", (ratio,), "of 1.10", command, MOST_SLOWER),
            Figure("messages lost", (sum(phase["lost"] for phase in phases),), "", command, 0),
            Figure("workers replaced", (replaced,), "", command, 0),
        ]
        return [*figures, *_immutable(stage, command)]


class _Held:
    def __init__(self, stage: Stage, rate: float, seconds: float) -> None:
        self._stage = stage
        self._rate = rate
        self._seconds = seconds

    def phase(self, manager: Manager, *, locked: bool) -> dict[str, float]:
        """The traffic of ``AROUND``, the lock, and ``AROUND`` again."""
        user = self._stage.users[0]
        before = len(manager.seen)
        seconds = self._seconds + 2 * AROUND
        tell(f"{seconds:g} s {'with' if locked else 'without'} the lock, load {os.getloadavg()[0]:.1f}")
        asked: list[float] = []
        over = threading.Event()
        beside = threading.Thread(target=self._beside, args=(over, asked, self._stage.home.path / user / MAIL_NAME, locked))
        beside.start()
        try:
            late = self._stage.order(
                "pace", seconds + WITHIN, contact=CONTACT, users=self._stage.users, rate=self._rate, seconds=seconds, named=True
            )
        finally:
            over.set()
            beside.join()
        try:
            wait_until(lambda: len(manager.seen) >= before + len(late), "not all reached the bot", WITHIN)
        except BenchFailed as failed:
            tell(str(failed))
        took: dict[str, list[float]] = {}
        texts = set()
        for line in manager.seen[before:]:
            at, text, to = line.split()
            texts.add(text)
            took.setdefault(to, []).append(float(at) - float(text))
        others = [value for name, values in took.items() if name != user for value in values]
        return {"p99": percentile(others, 99), "status": max(asked), "lost": len(late) - len(texts)}

    def _beside(self, over: threading.Event, asked: list[float], path: Path, locked: bool) -> None:  # noqa: FBT001 - a thread's argument
        time.sleep(AROUND)
        if not locked:
            _ask_until(time.monotonic() + self._seconds, over, asked, self._stage)
            return
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            _ask_until(time.monotonic() + self._seconds, over, asked, self._stage)


def _ask_until(moment: float, over: threading.Event, asked: list[float], stage: Stage) -> None:
    while time.monotonic() < moment and not over.is_set():
        began = time.monotonic()
        _status(stage)
        asked.append(time.monotonic() - began)
        over.wait(ASKED_EVERY)


def _status(stage: Stage) -> dict[str, str]:
    """The code of each session."""
    done = subprocess.run([WASESS, "status", "--json", "--home", stage.home.path], check=False, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return {row["user"]: row["code"] for row in document["data"]["sessions"]}


def _immutable(stage: Stage, command: str) -> list[Figure]:
    """With a file that can't be written for a minute: how soon a login, another client and a logout are seen."""
    first, second = stage.users[:2]
    paths = [stage.home.path / user / MAIL_NAME for user in (first, second)]
    with Manager(stage, "--bot", f"{NOTEBOOK}:note") as manager:
        manager.all_online_after()
        with immutable(*paths) as done:
            if not done:
                tell("this file system, or this user, can't make a file immutable: not measured")
                return []
            tell("two files that can't be written for 60 s")
            began = time.monotonic()
            stage.order("pace", WITHIN, contact=CONTACT, users=[first, second], rate=5, seconds=1)
            moments = {
                "a login": _seen(manager, stage, first, ("rst",), "online"),
                "another client": _seen(manager, stage, first, ("stream-error replaced",), "paused"),
                "a logout": _seen(manager, stage, second, ("failure 401", "rst"), "logged_out"),
            }
            time.sleep(max(0.0, UNWRITABLE_FOR - (time.monotonic() - began)))
        return [
            Figure(f"an inbox.db that can't be written: {name} seen after", (took,), "s", command, SEEN_WITHIN)
            for name, took in moments.items()
        ]


def _seen(manager: Manager, stage: Stage, user: str, faults: tuple[str, ...], state: str) -> float:
    since = time.time()
    for fault in faults:
        stage.fault(user, fault)
    wait_until(lambda: any(event.get("state") == state for event in manager.said({user}, since)), f"{state} was not told", WITHIN)
    return time.time() - since


@contextmanager
def immutable(*paths: Path) -> Iterator[bool]:
    """Nobody can write to them, whoever has them open included."""
    done = subprocess.run(["chattr", "+i", *paths], check=False, capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["chattr", "-i", *paths], check=True)
