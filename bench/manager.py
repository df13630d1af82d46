"""`wasess serve` as anybody would start it, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.echo import SEEN
from bench.figure import BenchFailed
from bench.process import children, runs
from bench.stage import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stage import Stage

WASESS = str(Path(sys.executable).parent / "wasess")
BOT = Path(__file__).parent / "echo.py"
ENDS_WITHIN = 30.0


class Manager:
    """A running `wasess serve` on a stage. As a context manager it is ended, at the latest, when the block is left."""

    def __init__(self, stage: Stage, *options: str, echo: bool = False, program: Sequence[str] = (WASESS,)) -> None:
        """``options`` of `serve`. ``echo``: with the bot that says back what was said and writes it to `seen`. ``program``: what is run as `wasess`."""
        self._stage = stage
        self._events = stage.folder / "events"
        self._log = stage.folder / "log"
        self._seen = stage.folder / "seen"
        command = [*program, "serve", "--events", "--home", str(stage.home.path), "--sandbox", str(stage.contract_file)]
        command += ["--bot", f"{BOT}:reply"] if echo else options
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")} | {SEEN: str(self._seen)}
        with self._events.open("w") as events, self._log.open("w") as log:
            self.started_at = time.time()
            self._process = subprocess.Popen(command, stdout=events, stderr=log, env=environment, process_group=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._process.pid

    @property
    def fork_server(self) -> int:
        """The parent of the workers. Raises `BenchFailed` when there is none at the moment."""
        servers = [pid for pid in children(self.pid) if runs(pid, "wasess.link.forkserver")]
        if len(servers) != 1:
            raise BenchFailed(f"there are {len(servers)} fork servers")
        return servers[0]

    @property
    def workers(self) -> list[int]:
        """One for each session."""
        return children(self.fork_server)

    def holders(self) -> dict[str, int]:
        """The process that holds each session; sessions that none of the workers holds are left out."""
        workers = set(self.workers)
        pids = {session.user: _locked_by(session.folder / "lock") for session in self._stage.home.sessions()}
        return {user: pid for user, pid in pids.items() if pid in workers}

    @property
    def seen(self) -> list[str]:
        """The texts that reached the bot, in the order of arrival."""
        return self._seen.read_text().splitlines() if self._seen.exists() else []

    @property
    def files(self) -> list[Path]:
        """What it has written: its events and its log."""
        return [self._events, self._log]

    def said(self, users: set[str], since: float = 0.0) -> list[dict[str, Any]]:
        """What ``--events`` told of these sessions after ``since`` (Unix time), in order."""
        whole = (line for line in self._events.read_text().splitlines(keepends=True) if line.endswith("\n"))
        told = [event for event in map(json.loads, whole) if event.get("session") in users]
        return [event for event in told if datetime.fromisoformat(event["ts"]).timestamp() >= since]

    def all_online_after(self) -> float:
        """Wait until the stand-in calls every session online and active; seconds from exec until the last became so. Raises `BenchFailed`."""
        self.ready_after()  # before that, asking the stand-in again and again would take time from what is measured
        try:
            wait_until(lambda: len(self._stage.active_since()) == self._stage.count, "not all sessions came online")
        except BenchFailed as failed:
            missing = {session.user for session in self._stage.home.sessions()} - self._stage.active_since().keys()
            raise BenchFailed(f"{failed}: {', '.join(sorted(missing))}; {self.last_words(missing)}") from None
        return max(self._stage.active_since().values()) - self.started_at

    def ready_after(self) -> float:
        """Wait until the manager calls itself ready; seconds from exec. Raises `BenchFailed`."""
        wait_until(lambda: self._ready_at() or self._process.poll() is not None, "the manager did not get ready")
        ready_at = self._ready_at()
        if not ready_at:
            self.check()
        return ready_at - self.started_at

    def check(self) -> None:
        """Raise `BenchFailed` when it has ended."""
        if self._process.poll() is not None:
            raise BenchFailed(f"serve ended with {self._process.returncode}: {self._log.read_text()[-300:]}")

    def last_words(self, users: set[str]) -> str:
        """What it said last of some sessions."""
        said = {event["session"]: event for event in self.said(users)}
        return "; ".join(f"{user}: {event['event']} {event['state']} {event['reason']}" for user, event in sorted(said.items()))

    def stop(self) -> float:
        """SIGTERM; seconds until it is gone. Raises `BenchFailed` when it does not end well."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise BenchFailed(f"serve did not end within {ENDS_WITHIN:.0f} s of SIGTERM") from None
        if code:
            raise BenchFailed(f"serve ended with {code}: {self._log.read_text()[-300:]}")
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill -9 of the supervisor alone; returns when it is gone. What it has started may live on for a moment."""
        self._process.kill()
        self._process.wait()

    def _ready_at(self) -> float:
        """Unix time, 0 when it is not ready yet."""
        for line in self._events.read_text().splitlines(keepends=True):
            if '"manager_ready"' in line and line.endswith("\n"):
                return datetime.fromisoformat(json.loads(line)["ts"]).timestamp()
        return 0.0


def _locked_by(lock: Path) -> int:
    """Who wrote last that the lock was taken, 0 for nobody. A look at the lock itself could make a worker wait."""
    try:
        return int(json.loads(lock.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return 0
