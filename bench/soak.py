"""Random faults for an hour: no session may be dead at the end, no message lost, and neither memory nor open files may grow."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import secrets
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import samples
from bench.figure import BenchFailed, Figure, circumstances, tell
from bench.manager import Manager
from bench.stage import linked_sessions
from bench.troubles import EVERYONE, Chosen, choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.stage import Stage
    from bench.truth import Truth

CONTACT = "carol"
MINUTE = 60.0
SAMPLE_EVERY = 10.0
MESSAGE_EVERY = 60.0  # to each session
ANSWERS_WITHIN = 60.0
LOOKS_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """``faults_per_minute`` are those of all sessions together. ``seed`` chooses them, from what can be struck at the time; 0: a new one."""

    sessions: int = 20
    seconds: float = 3600.0
    faults_per_minute: float = 2.0
    seed: int = 0


def measure(plan: Plan) -> list[Figure]:
    """Do it. Ctrl+C ends it early, with the figures so far. What was seen stays in a temporary folder that the figures name."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start without it
    folder = Path(tempfile.mkdtemp(prefix="wasess-soak-"))
    tell(f"samples, faults, events and log in {folder}; {circumstances()}")
    with linked_sessions(plan.sessions) as stage, Manager(stage, echo=True) as manager:
        try:
            manager.all_online_after()
            soak = _Soak(plan, stage, manager, folder)
            soak.run()
            return soak.figures()
        finally:
            for file in manager.files:
                shutil.copy(file, folder)


class _Soak:
    """An agenda of what is to be done when, and the books of what was."""

    def __init__(self, plan: Plan, stage: Stage, manager: Manager, folder: Path) -> None:
        self._plan = plan
        self._stage = stage
        self._manager = manager
        self._seed = plan.seed or secrets.randbelow(10**6)
        self._random = random.Random(self._seed)
        self._sampler = samples.Sampler(manager, folder / "samples.csv")
        self._faults_file = folder / "faults.csv"
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._began, self._began_at = time.monotonic(), time.time()
        self._ran = 0.0
        self._ends = self._began + plan.seconds
        self._busy: dict[str, float] = {}
        self._healed_by = 0.0
        self._struck = 0
        self._sent: list[str] = []
        self._turns = itertools.cycle(stage.users)

    def run(self) -> None:
        """Until the time is over."""
        tell(f"seed {self._seed}: {self._plan.faults_per_minute:g} faults a minute for {self._plan.seconds / MINUTE:.1f} minutes")
        for action in (self._sample, self._say, self._fault):
            self._do_after(0, action)
        self._do_after(MINUTE, self._tell)
        try:
            while self._agenda[0][0] < self._ends:
                due, _, action = self._agenda[0]
                time.sleep(max(0.0, due - time.monotonic()))
                heapq.heappop(self._agenda)
                action()
            time.sleep(max(0.0, self._ends - time.monotonic()))
        except KeyboardInterrupt:
            tell("ended early; what was struck last gets its time to heal")
        self._ran = time.monotonic() - self._began
        self._sampler.take()

    def figures(self) -> list[Figure]:
        """End all faults, see who is alive, and count."""
        plan = self._plan
        command = f"python -m bench soak --sessions {plan.sessions} --minutes {plan.seconds / MINUTE:g}"
        command += f" --faults-per-minute {plan.faults_per_minute:g} --seed {self._seed}"
        dead, last_after = self._who_is_dead()
        truth, seen = self._stage.truth(), set(self._manager.seen)
        unseen = [text for text in self._sent if text not in seen]
        unanswered = set(self._sent) - set(truth.received[CONTACT])
        if unseen or unanswered:
            tell(f"not seen by the bot: {', '.join(unseen)}; not answered: {', '.join(sorted(unanswered))}")
        absences = _absences(truth, self._began_at)
        found = [
            Figure("soak: minutes", (self._ran / MINUTE,), "", command),
            Figure("soak: faults", (self._struck,), "", command),
            Figure("soak: sessions dead at the end", (len(dead),), "", command, 0),
            Figure("soak: last message to every session answered", (last_after,), "s", command, ANSWERS_WITHIN),
            Figure("soak: messages", (len(self._sent),), "", command),
            Figure("soak: messages that did not reach the bot", (len(unseen),), "", command, 0),
            Figure("soak: messages without an answer", (len(unanswered),), "", command),
        ]
        found += [Figure("soak: connection lost to session back", tuple(absences), "s", command)] if absences else []
        return found + samples.figures(self._sampler.samples, plan.sessions, command, self._sampler.file)

    # --- the agenda ---------------------------------------------------------------------------------------------

    def _do_after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._order), action))

    def _sample(self) -> None:
        self._do_after(min(SAMPLE_EVERY, self._plan.seconds / 10), self._sample)
        self._sampler.take()

    def _say(self) -> None:
        self._do_after(min(MESSAGE_EVERY, self._plan.seconds / 4) / self._plan.sessions, self._say)
        user = next(self._turns)
        self._write_to(user, f"{user} {len(self._sent)}")

    def _write_to(self, user: str, text: str) -> None:
        self._stage.ask("say", contact=CONTACT, user=user, text=text)
        self._sent.append(text)

    def _fault(self) -> None:
        self._do_after(self._random.uniform(0.5, 1.5) * MINUTE / self._plan.faults_per_minute, self._fault)
        now = time.monotonic()
        active = self._stage.truth().active()
        users = [user for user in self._stage.users if user in active and self._busy.get(user, 0) < now]
        chosen = choose(self._random, users, self._ends - now)
        if chosen is None:
            return
        try:
            self._strike(chosen)
        except (BenchFailed, OSError) as missed:
            self._note(chosen, f"missed: {missed}")
        else:
            self._struck += 1
            self._note(chosen, "struck")
        if chosen.lasts:
            self._do_after(chosen.lasts, lambda: self._end(chosen))
        self._healed_by = max(self._healed_by, now + chosen.lasts + chosen.trouble.heals_within)
        for user in self._stage.users if chosen.user == EVERYONE else [chosen.user]:
            self._busy[user] = now + chosen.lasts + 1

    def _strike(self, chosen: Chosen) -> None:
        trouble = chosen.trouble
        for words in filter(None, (trouble.waits, trouble.strikes)):
            self._stage.fault(chosen.user, words)
        if trouble.process:
            pid = self._manager.fork_server if trouble.process == "fork server" else self._manager.holders().get(chosen.user, 0)
            if not pid:
                raise BenchFailed("no worker")
            os.kill(pid, signal.Signals[trouble.signal])

    def _end(self, chosen: Chosen) -> None:
        try:
            self._stage.ask("clear", user=chosen.user)
            if chosen.trouble.ends != "clear":
                self._stage.fault(chosen.user, chosen.trouble.ends)
        except BenchFailed:
            pass  # its connection is gone: nothing to thaw
        self._note(chosen, "ended")

    def _note(self, chosen: Chosen, what: str) -> None:
        with self._faults_file.open("a") as file:
            file.write(f"{time.time():.3f},{chosen.user},{chosen.trouble.name},{what}\n")

    def _tell(self) -> None:
        self._do_after(MINUTE, self._tell)
        last, active = self._sampler.samples[-1], self._stage.truth().active()
        away = [user for user in self._stage.users if user not in active]
        tell(
            f"{(time.monotonic() - self._began) / MINUTE:.0f} min: {self._struck} faults, {len(self._sent)} messages, "
            f"manager {last.manager_rss:.1f} MiB {last.manager_files} files, {last.workers} workers {last.workers_rss:.0f} MiB, load {last.load:.1f}"
            + (f"; away: {', '.join(away)}" if away else "")
        )

    # --- the end ------------------------------------------------------------------------------------------------

    def _who_is_dead(self) -> tuple[set[str], float]:
        """Write to everybody. Returns who does not answer in time, and the seconds until the last answer."""
        for user in (EVERYONE, *self._stage.users):
            self._stage.ask("clear", user=user)
        began = time.monotonic()
        last_words = {user: f"{user} {len(self._sent)} are you there?" for user in self._stage.users}
        for user, text in last_words.items():
            self._write_to(user, text)
        deadline = max(began + ANSWERS_WITHIN, self._healed_by)  # later only when it was ended early
        while dead := last_words.keys() - self._answered(last_words):
            if time.monotonic() > deadline:
                tell(f"dead: {self._manager.last_words(dead)}")
                break
            time.sleep(LOOKS_EVERY)
        return dead, time.monotonic() - began

    def _answered(self, texts: dict[str, str]) -> set[str]:
        answers = set(self._stage.truth().received[CONTACT])
        return {user for user, text in texts.items() if text in answers}


def _absences(truth: Truth, since: float) -> list[float]:
    """Seconds from each lost connection to the session's next being active."""
    lost: dict[str, float] = {}
    found = []
    for fact in truth.history:
        if fact.what == "disconnected" and fact.at >= since:
            lost.setdefault(fact.user, fact.at)
        elif fact.what == "active" and fact.user in lost:
            found.append(fact.at - lost.pop(fact.user))
    return found
