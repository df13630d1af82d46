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
from typing import TYPE_CHECKING, Self

from bench.figure import BenchFailed
from bench.process import children
from bench.stage import wait_until

if TYPE_CHECKING:
    from bench.stage import Stage

WASESS = str(Path(sys.executable).parent / "wasess")
ENDS_WITHIN = 30.0


class Manager:
    """A running `wasess serve` on a stage. As a context manager it is ended, at the latest, when the block is left."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._events = stage.folder / "events"
        self._log = stage.folder / "log"
        command = [WASESS, "serve", "--events", "--home", str(stage.home.path), "--sandbox", str(stage.contract_file)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
        with self._events.open("w") as events, self._log.open("w") as log:
            self.started_at = time.time()
            self._process = subprocess.Popen(command, stdout=events, stderr=log, env=environment)

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
        """The parent of the workers."""
        [server] = children(self.pid)
        return server

    @property
    def workers(self) -> list[int]:
        """One for each session."""
        return children(self.fork_server)

    def all_online_after(self) -> float:
        """Wait until the stand-in calls every session online and active; seconds from exec until the last became so. Raises `BenchFailed`."""
        self.ready_after()  # before that, asking the stand-in again and again would take time from what is measured
        try:
            wait_until(lambda: len(self._stage.active_since()) == self._stage.count, "not all sessions came online")
        except BenchFailed as failed:
            missing = {session.user for session in self._stage.home.sessions()} - self._stage.active_since().keys()
            raise BenchFailed(f"{failed}: {', '.join(sorted(missing))}; {self._last_words(missing)}") from None
        return max(self._stage.active_since().values()) - self.started_at

    def ready_after(self) -> float:
        """Wait until the manager calls itself ready; seconds from exec. Raises `BenchFailed`."""
        wait_until(lambda: self._ready_at() or self._process.poll() is not None, "the manager did not get ready")
        if not (ready_at := self._ready_at()):
            raise BenchFailed(f"serve ended with {self._process.returncode}: {self._log.read_text()[-300:]}")
        return ready_at - self.started_at

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

    def _last_words(self, users: set[str]) -> str:
        """What the manager said last of some sessions."""
        said = {event["session"]: event for event in map(json.loads, self._events.read_text().splitlines())}
        return "; ".join(
            f"{user}: {said[user]['event']} {said[user]['state']} {said[user]['reason']}" for user in sorted(users & said.keys())
        )

    def _ready_at(self) -> float:
        """Unix time, 0 when it is not ready yet."""
        for line in self._events.read_text().splitlines(keepends=True):
            if '"manager_ready"' in line and line.endswith("\n"):
                return datetime.fromisoformat(json.loads(line)["ts"]).timestamp()
        return 0.0
