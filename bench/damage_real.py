"""Some of `bench.damage` with nothing scripted: `wasess serve` with the real library on the sandbox, and the commands as they are typed.

Each round strikes one file of every session, while `serve` runs or between two runs of it; contacts write before and after. A session that does not
come back by itself must be named by `wasess diagnose`, and come back with its good file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from random import Random
from typing import TYPE_CHECKING, Any

from bench.damage_batch import FILES, HARMLESS
from bench.damage_strokes import strike
from bench.figure import BenchFailed, Figure, tell
from bench.losses_scene import wait_or_pass
from bench.manager import WASESS, Manager
from bench.stage import linked_sessions

if TYPE_CHECKING:
    from bench.stage import Stage

BURST = 5
QUIET_WITHIN = 20.0
BACK_WITHIN = 90.0


def measure(sessions: int, seed: int) -> list[Figure]:
    """One round for each file and state, with so many sessions."""
    command = f"python -m bench damage --real {sessions} --seed {seed}"
    wrong: list[str] = []
    with linked_sessions(sessions) as stage:
        for file in FILES:
            for serving in (False, True):
                found = _Round(stage, file, Random(f"{seed} {file} {serving}"), serving=serving).run()
                tell(f"{file}, {'serving' if serving else 'stopped'}: {'; '.join(found) or 'as it should be'}")
                wrong += found
    cases = float(len(FILES) * 2 * sessions)
    return [
        Figure("damage, real library: cases", (cases,), "", command),
        Figure("damage, real library: lost silently, dead for good, unnamed, or with a traceback", (float(len(wrong)),), "", command, 0),
    ]


class _Round:
    def __init__(self, stage: Stage, file: str, dice: Random, *, serving: bool) -> None:
        self._stage, self._file, self._dice, self._serving = stage, file, dice, serving
        self._named: dict[str, set[str]] = {user: set() for user in stage.users}
        self._wrong: list[str] = []
        self._good = stage.folder / f"good-{file}-{serving}"

    def run(self) -> list[str]:
        """What is wrong after it, in words."""
        before = set(self._texts())
        if not self._serving:
            with Manager(self._stage, echo=True) as manager:
                manager.all_online_after()
                self._write(manager)
            self._strike()
            self._diagnose()
        with Manager(self._stage, echo=True) as manager:
            if self._serving:
                manager.all_online_after()
                self._write(manager)
                self._strike()
            else:
                manager.ready_after()
            self._write(manager)
            self._diagnose()
            self._revive(manager)
            self._write(manager)
            seen = set(manager.seen)
            self._diagnose()
            log = "".join(file.read_text() for file in manager.files)
        if "Traceback" in log:
            self._wrong.append(f"a traceback: {log[log.index('Traceback') :][:600]}")
        self._count(set(self._texts()) - before, seen)
        return self._wrong

    def _texts(self) -> list[str]:
        return [sent[2] for sent in self._stage.order("books")["sent"]]

    def _write(self, manager: Manager) -> None:
        for user in self._stage.users:
            self._stage.order("burst", user=user, count=BURST)
        wanted = len(self._texts())
        wait_or_pass(lambda: len(set(manager.seen)) >= wanted, QUIET_WITHIN)

    def _strike(self) -> None:
        self._good.mkdir()
        for user in self._stage.users:
            path = self._stage.home.session(user).folder / self._file
            if path.exists():
                shutil.copyfile(path, self._good / user)
            tell(f"  {user}: {strike(path, self._dice)}")

    def _diagnose(self) -> None:
        words = ["diagnose", "--offline", "--json", "--home", str(self._stage.home.path), "--sandbox", str(self._stage.contract_file)]
        done = subprocess.run([WASESS, *words], capture_output=True, text=True, check=False, timeout=60)
        if "Traceback" in done.stderr:
            self._wrong.append(f"diagnose: {done.stderr[-600:]}")
        found: dict[str, Any] = json.loads(done.stdout)["data"]
        for session in found["sessions"]:
            self._named[session["user"]] |= {one["code"] for one in session["findings"] if one["fix"]}

    def _revive(self, manager: Manager) -> None:
        """What is not online needs its good file."""
        everybody = set(self._stage.users)
        wait_or_pass(lambda: self._stage.active_since().keys() >= everybody, QUIET_WITHIN)
        for user in sorted(everybody - self._stage.active_since().keys()):
            if not self._named[user] - HARMLESS:
                self._wrong.append(f"{user} is down, and diagnose names nothing: {manager.last_words({user})}")
            shutil.copyfile(self._good / user, self._stage.home.session(user).folder / self._file)
        if not wait_or_pass(lambda: self._stage.active_since().keys() >= everybody, BACK_WITHIN):
            down = everybody - self._stage.active_since().keys()
            self._wrong.append(f"dead for good: {manager.last_words(down)}")
            raise BenchFailed(self._wrong[-1])

    def _count(self, written: set[str], seen: set[str]) -> None:
        """A text that did not reach the bot is one of a session of which diagnose says that something is missing."""
        for user in self._stage.users:
            lost = [text for text in written - seen if text.startswith(f"{user} ")]
            if lost and not (self._named[user] & {"GAPS", *(self._named[user] - HARMLESS)}):
                self._wrong.append(f"{user}: {len(lost)} lost silently")
        if strange := {text for text in seen if text.startswith("user-")} - set(self._texts()):
            self._wrong.append(f"{len(strange)} texts that nobody has written")
