"""One contact attacks a session for minutes (`bench.attack`), beside four busy sessions of the same manager: who is harmed, and by how much.

The same traffic runs without the attack before it and after it, for a fifth of the time each: what a message takes to the bot then is what the
neighbours' p99 under attack is compared with. The stand-in's own work for the attack takes place on this machine: it is shown, and what waits in the
stand-in is not counted.
Whether the attacked session is online is the stand-in's word. In the end all real messages must be answered, and nothing be said in others' names.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.attack import FRIEND, MALLORY, NEIGHBOUR
from bench.figure import BenchFailed, Figure, circumstances, tell
from bench.latency import percentile
from bench.losses_scene import wait_or_pass
from bench.mail import NOTEBOOK
from bench.manager import Manager
from bench.process import cpu_seconds, status
from bench.stage import linked_sessions, wait_until
from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.stage import Stage
    from bench.truth import Fact

SESSIONS = 5
FRIENDS_RATE, NEIGHBOURS_RATE = 1.0, 2.0  # messages a second to each session
QUIET_SHARE = 1 / 5
LEAST_ONLINE = 99  # percent
MOST_SLOWER = 1.10
MOST_THREADS = 64
MOST_MEMORY = 256  # MiB: the default of --worker-memory
LOOKS_EVERY = 0.2
WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``seed`` chooses the stanzas; 0: a new one."""

    stanzas: int = 20000
    seconds: float = 600.0
    seed: int = 0

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m bench hostile --stanzas {self.stanzas} --minutes {self.seconds / 60:g} --seed {self.seed}"


@dataclass
class Watched:
    """What the processes came to. ``threads``: of any worker, ``memory``: of the attacked session's (peak, MiB); ``holders``: its processes."""

    threads: int = 0
    memory: float = 0.0
    holders: set[int] = field(default_factory=set)

    def look(self, manager: Manager, user: str) -> None:
        """Look once."""
        with suppress(BenchFailed, OSError):  # there may be no fork server at the moment
            self.threads = max(self.threads, *(int(status(pid)["Threads"]) for pid in manager.workers))
            if holder := manager.holders().get(user):
                self.holders.add(holder)
                self.memory = max(
                    self.memory, int(status(holder).get("VmHWM", "0").split()[0]) / 1024
                )  # one that has just died has no memory


@dataclass(frozen=True, slots=True)
class Phase:
    """A time of traffic: when it was (Unix time), what the stand-in says of it (`bench.attack.Attacks`), and when the bot was called for each text.

    ``stand_in_used``: percent of a core.
    """

    began: float
    ended: float
    told: dict[str, Any]
    called: dict[str, float]
    watched: Watched
    stand_in_used: float

    def took(self, whose: str) -> list[float]:
        """Milliseconds from the stand-in to the bot."""
        return [(self.called[text] - left) * 1000 for text, left in self.told[whose].items() if text in self.called]


def measure(wanted: Plan) -> list[Figure]:
    """Do it. What was said stays in a temporary folder when something is wrong."""
    plan = replace(wanted, seed=wanted.seed or 1 + secrets.randbelow(10**6))
    folder = Path(tempfile.mkdtemp(prefix="wasess-hostile-"))
    tell(f"{plan.command}\nlog and events in {folder}; {circumstances()}")
    with linked_sessions(SESSIONS) as stage, Manager(stage, "--bot", f"{NOTEBOOK}:answer") as manager:
        try:
            figures = _measure(plan, stage, manager)
        finally:
            for file in manager.files:
                shutil.copy(file, folder)
    if not any(figure.over for figure in figures):
        shutil.rmtree(folder)
    return figures


def online(history: Iterable[Fact], user: str, began: float, ended: float) -> float:
    """The share of a time (percent) in which a session, active at its beginning, was so."""
    away, since = 0.0, 0.0
    for fact in history:
        if fact.user != user or not began <= fact.at <= ended:
            continue
        if fact.what == "disconnected":
            since = since or fact.at
        elif fact.what == "active" and since:
            away, since = away + fact.at - since, 0.0
    return 100 * (1 - (away + (ended - since if since else 0.0)) / (ended - began))


def _measure(plan: Plan, stage: Stage, manager: Manager) -> list[Figure]:
    user = stage.users[0]
    manager.all_online_after()
    _greet(stage, manager)
    quiet = replace(plan, stanzas=0, seconds=plan.seconds * QUIET_SHARE)
    before = _phase(quiet, stage, manager)
    attack = _phase(plan, stage, manager)
    tell("sent: " + ", ".join(f"{count} {kind}" for kind, count in sorted(attack.told["sent"].items())) + f", load now {circumstances()}")
    open_ = {whose: _unanswered(stage, contact, attack.told[whose]) for whose, contact in (("friend", FRIEND), ("neighbour", NEIGHBOUR))}
    told = manager.said({user}, attack.began)
    reasons = sorted({str(event["reason"]) for event in told if event.get("reason")})
    tell(f"{len(told)} events of the attacked session: {', '.join(reasons)}")
    after = _phase(quiet, stage, manager)
    in_peace, attacked = percentile(before.took("neighbour") + after.took("neighbour"), 99), percentile(attack.took("neighbour"), 99)
    his, in_others_names = _gaps(stage, user)
    rows: list[tuple[str, float, str, float | None, float | None]] = [
        ("stanzas", sum(attack.told["sent"].values()), "", None, plan.stanzas),
        ("attacked session online", online(stage.truth().history, user, attack.began, attack.ended), "%", None, LEAST_ONLINE),
        ("attacked session, processes more than one", max(0, len(attack.watched.holders) - 1), "", None, None),
        ("attacked session, peak memory of its process", attack.watched.memory, "MiB", MOST_MEMORY, None),
        ("most threads of a worker", attack.watched.threads, "", MOST_THREADS, None),
        ("attacked session, real messages", len(attack.told["friend"]), "", None, None),
        ("attacked session, real messages without an answer", len(open_["friend"]), "", 0, None),
        ("others, messages", len(attack.told["neighbour"]), "", None, None),
        ("others, messages without an answer", len(open_["neighbour"]), "", 0, None),
        ("others to the bot, p99 without the attack", in_peace, "ms", None, None),
        ("others to the bot, p99 under attack", attacked, "ms", None, None),
        ("others to the bot, p99 under attack by p99 without", attacked / in_peace, "", MOST_SLOWER, None),
        ("gaps in the attacker's name", his, "", None, None),
        ("gaps in somebody else's name", in_others_names, "", 0, None),
        ("lines of serve's log", len(manager.files[1].read_text().splitlines()), "", None, None),
        *(
            (f"{what} {when}", value, unit, None, None)
            for when, phase in (("before", before), ("under attack", attack), ("after", after))
            for what, value, unit in (
                ("core used by the stand-in", phase.stand_in_used, "%"),
                ("the stand-in wrote too late by, p99", percentile(phase.told["late"], 99) * 1000, "ms"),
            )
        ),
    ]
    if came := attack.took("friend"):
        rows.append(("attacked session to the bot, p99", percentile(came, 99), "ms", None, None))
    return [Figure(f"hostile: {name}", (float(value),), unit, plan.command, limit, least) for name, value, unit, limit, least in rows]


def _greet(stage: Stage, manager: Manager) -> None:
    """Everybody who will write has written once: the bot runs, keys are exchanged."""
    texts = []
    for number, user in enumerate(stage.users):
        for contact in (FRIEND, MALLORY) if number == 0 else (NEIGHBOUR,):
            texts.append(f"{contact} {time.time():.6f}")
            stage.ask("say", contact=contact, user=user, text=texts[-1])
    wait_until(lambda: set(texts) <= _called(manager).keys(), "not all reached the bot", WITHIN)


def _phase(plan: Plan, stage: Stage, manager: Manager) -> Phase:
    user, *others = stage.users
    tell(f"{plan.stanzas} hostile stanzas in {plan.seconds:g} s, load {circumstances()}")
    watched, began, used = Watched(), time.time(), cpu_seconds(stage.stand_in)
    rates = [FRIENDS_RATE, NEIGHBOURS_RATE]
    with ThreadPoolExecutor(1) as beside:
        order = {"user": user, "others": others, "seconds": plan.seconds, "rates": rates, "stanzas": plan.stanzas, "seed": plan.seed}
        telling = beside.submit(stage.order, "attack", 2 * plan.seconds + WITHIN, **order)
        while not telling.done():
            watched.look(manager, user)
            manager.check()
            time.sleep(LOOKS_EVERY)
        told: dict[str, Any] = telling.result()
    ended, wanted = time.time(), {*told["friend"], *told["neighbour"]}
    share = (cpu_seconds(stage.stand_in) - used) / (ended - began) * 100
    wait_or_pass(lambda: wanted <= _called(manager).keys(), WITHIN)
    return Phase(began, ended, told, _called(manager), watched, share)


def _gaps(stage: Stage, user: str) -> tuple[int, int]:
    """How many messages the gap ledger misses in the attacker's name, and in the names of others, who have lost none."""
    [attacker] = [account for account in stage.ask("state")["accounts"] if account["name"] == MALLORY]
    path = stage.home.session(user).folder / MAIL_NAME
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        gaps = connection.execute("SELECT sender, count FROM gaps WHERE cause NOT LIKE 'resend-%'").fetchall()
    his = sum(count for sender, count in gaps if sender.partition("@")[0].partition(":")[0] in {attacker["number"], attacker["lid"]})
    return his, sum(count for _, count in gaps) - his


def _called(manager: Manager) -> dict[str, float]:
    """When the bot was called first for each text."""
    notes = (line.partition(" ") for line in reversed(manager.seen))
    return {text: float(at) for at, _, text in notes}


def _unanswered(stage: Stage, contact: str, texts: Iterable[str]) -> set[str]:
    def left() -> set[str]:
        return set(texts) - stage.order("answers", WITHIN, contact=contact).keys()

    wait_or_pass(lambda: not left(), WITHIN)
    if missing := left():
        tell(f"{contact} waits for {len(missing)} answers, such as {min(missing)}")
    return missing
