"""The proofs that no message is lost: traffic to some sessions while everything is stopped, cut, broken and killed at random instants.

    drain   `serve` is ended and started again, `wasess reconnect`, the network is cut, the bot raises, hangs or is killed for seconds
    kills   kill -9 of a worker, of the supervisor, of the bot, of all three
    flood   hundreds of messages at once, and kill -9 of the worker or the supervisor while they are taken in
    power   the disk forgets what was not brought to it (`bench.losses_power`); power-fast: the same with `--durability fast`, to compare
    slow-disk   kill -9 of a worker with 20 events and more on their way to its slow disk (`bench.losses_slow`); slow-disk-control: the same
                without the hold of the receipts, which must lose some

The stand-in's truth is compared with the inbox, the gap ledger, the bot and the answers (`bench.ledger_truth`). The choices are those of a seed,
which is printed; what is struck by them depends on the moment.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench.figure import BenchFailed, Figure, circumstances, tell
from bench.losses_power import Cuts, disk_for, strike
from bench.losses_scene import Scene, told, wait_or_pass
from bench.losses_slow import LEAST, MISSES_A_RUN, SlowDisk
from bench.stage import linked_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.ledger_truth import Evidence

RUNS = {"drain": 100, "kills": 200, "flood": 50, "power": 20, "power-fast": 20, "slow-disk": 30, "slow-disk-control": 10}
MESSAGES_A_RUN = {"drain": 100, "kills": 50}  # on average: 10,000 over 100 drains
BURST = 300
BURST_WITHIN = 20.0
SPOOLED_BYTES = 305  # for each message, on average
CUTS = (
    ("rst",),
    ("fin",),
    ("close 1001",),
    ("stream-error 503",),
    ("stream-error xml-not-well-formed",),
    ("refuse seconds=3", "rst"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``kind`` is one of `RUNS`; ``runs``: 0 for as many as there; ``rate``: messages a second to all sessions; ``seed``: 0 for a new one."""

    kind: str
    runs: int = 0
    sessions: int = 5
    rate: float = 20.0
    seed: int = 0

    @property
    def each_lasts(self) -> float:
        """Seconds from one thing to the next, on average."""
        return MESSAGES_A_RUN[self.kind] / self.rate

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m bench losses --kind {self.kind} --runs {self.runs} --sessions {self.sessions} --rate {self.rate:g} --seed {self.seed}"


def measure(wanted: Plan) -> list[Figure]:
    """Do it. What was said and done stays in a temporary folder when something is wrong."""
    plan = replace(wanted, runs=wanted.runs or RUNS[wanted.kind], seed=wanted.seed or 1 + secrets.randbelow(10**6))
    folder = Path(tempfile.mkdtemp(prefix=f"wasess-{plan.kind}-"))
    tell(f"{plan.command}\nlog and actions in {folder}; {circumstances()}")
    figures = KINDS[plan.kind](plan, folder)
    if not any(figure.over for figure in figures):
        shutil.rmtree(folder)
    return figures


# --- what happens ---------------------------------------------------------------------------------------------------------


def _drain(plan: Plan, folder: Path) -> list[Figure]:
    with linked_sessions(plan.sessions) as stage, Scene(stage, folder, Random(plan.seed)) as scene:
        dice = scene.dice
        actions = [dice.choice(DRAINS) for _ in range(plan.runs)]
        _begin(scene, plan)
        began = time.monotonic()
        for number, action in enumerate(actions):
            at = (number + dice.random()) * plan.each_lasts
            time.sleep(max(0.0, began + at - time.monotonic()))
            scene.note(f"{action.__name__.strip('_')}: {action(scene)}")
        time.sleep(max(0.0, began + plan.runs * plan.each_lasts - time.monotonic()))
        return _end(scene, plan)


def _kills(plan: Plan, folder: Path) -> list[Figure]:
    with linked_sessions(plan.sessions) as stage, Scene(stage, folder, Random(plan.seed)) as scene:
        _begin(scene, plan)
        done = 0
        while done < plan.runs:
            time.sleep(scene.dice.uniform(0, 2 * plan.each_lasts))
            what = scene.dice.choice(("worker", "worker", "supervisor", "bot", "all"))
            struck = scene.kill(what)
            scene.note(f"kill of {what}{'' if struck else ' missed'}: number {done}")
            done += struck
        return _end(scene, plan)


def _flood(plan: Plan, folder: Path) -> list[Figure]:
    """A kill while a session takes in what has queued up: some runs find it offline, and begin with its login."""
    with linked_sessions(plan.sessions) as stage, Scene(stage, folder, Random(plan.seed), bot="answer_some") as scene:
        scene.start()
        scene.serve.all_online_after()
        for _ in range(plan.runs):
            _flood_once(scene)
        return _end(scene, plan)


def _flood_once(scene: Scene) -> None:
    """Where the session has got to is seen in its spool: the stand-in itself has no time for questions."""
    dice = scene.dice
    user, what = dice.choice(scene.stage.users), dice.choice(("worker", "supervisor"))
    wanted = dice.uniform(0, BURST * SPOOLED_BYTES)
    offline = dice.random() < 0.5
    if offline:
        scene.cut(user, "refuse", "rst")  # it may be away already
    spooled = scene.spooled(user)
    with ThreadPoolExecutor(1) as beside:
        writing = beside.submit(scene.burst, user, BURST)
        if offline:
            writing.result()
        scene.stage.ask("clear", user=user)
        wait_or_pass(lambda: scene.spooled(user) - spooled >= wanted, BURST_WITHIN)
        struck = scene.kill(what, scene.holder(user))
        messages = (scene.spooled(user) - spooled) // SPOOLED_BYTES
        writing.result()
    where = "offline" if offline else "online"
    scene.note(f"kill of {what} in a flood {where}{'' if struck else ' missed'}: {user} had spooled about {messages}")


def _power(plan: Plan, folder: Path) -> list[Figure]:
    durability = "fast" if plan.kind == "power-fast" else "power"
    with (
        linked_sessions(plan.sessions) as stage,
        disk_for(stage) as disk,
        Scene(stage, folder, Random(plan.seed), options=("--durability", durability)) as scene,
    ):
        cuts = Cuts([])
        _begin(scene, plan)
        for _ in range(plan.runs):
            strike(scene, disk, cuts)
        found = _end(scene, plan)
        sure = cuts.sure(scene.evidence())
    limit = 0 if durability == "power" else None
    name = f"losses, {plan.kind}"
    return [
        *(found if durability == "power" else [replace(figure, limit=None) for figure in found]),
        Figure(f"{name}: answers given twice that were surely sent", (float(len(sure)),), "", plan.command, limit),
        Figure(f"{name}: cuts after which the disk had forgotten", (float(cuts.true),), "", plan.command, least=plan.runs),
    ]


def _slow_disk(plan: Plan, folder: Path) -> list[Figure]:
    hold = plan.kind == "slow-disk"
    with linked_sessions(plan.sessions) as stage:
        disk = SlowDisk(stage.folder / "channels", hold)
        disk.folder.mkdir()
        with Scene(stage, folder, Random(plan.seed), bot="answer_some", program=disk.program) as scene:
            scene.start()
            scene.serve.all_online_after()
            for _ in range(plan.runs * MISSES_A_RUN):
                if len(disk.on_the_way) < plan.runs:
                    disk.strike(scene)
            if not disk.on_the_way:
                raise BenchFailed(f"no kill met {LEAST} events on the way")
            found = _end(scene, plan)
    name = f"losses, {plan.kind}"
    return [
        *(found if hold else [_to_be_lost(figure, plan.runs) for figure in found]),
        Figure(f"{name}: kills that counted", (float(len(disk.on_the_way)),), "", plan.command, least=plan.runs),
        Figure(f"{name}: least events on the way at a kill", (float(min(disk.on_the_way)),), "", plan.command, least=LEAST),
        Figure(f"{name}: events on the way at a kill", tuple(map(float, disk.on_the_way)), "", plan.command),
        Figure(f"{name}: events in the library's channel at a kill", tuple(map(float, disk.in_channel)), "", plan.command),
    ]


def _to_be_lost(figure: Figure, least: int) -> Figure:
    """The figure of a control: something must be lost, and the rest is not judged."""
    return replace(figure, limit=None, least=least if figure.name.endswith(": lost") else None)


def _sigterm(scene: Scene) -> str:
    scene.stop()
    pause = scene.dice.uniform(0, 2)
    time.sleep(pause)
    scene.start()
    return f"{pause:.1f} s"


def _upgrade(scene: Scene) -> str:
    scene.stop()
    scene.start()
    return "at once"


def _reconnect(scene: Scene) -> str:
    whom = scene.dice.choice([*scene.stage.users, "--all"])
    return f"{whom} ended with {scene.reconnect(whom)}"


def _cut(scene: Scene) -> str:
    user, words = scene.dice.choice([*scene.stage.users, "*"]), scene.dice.choice(CUTS)
    return f"{user} {', '.join(words)}: {'struck' if scene.cut(user, *words) else 'missed'}"


def _bot_raises(scene: Scene) -> str:
    return _bot_broken(scene, "raise", scene.dice.uniform(0.5, 2))


def _bot_hangs(scene: Scene) -> str:
    return _bot_broken(scene, "hang", scene.dice.uniform(0.5, 4))


def _bot_broken(scene: Scene, how: str, seconds: float) -> str:
    scene.break_bot(how)
    time.sleep(seconds)
    scene.break_bot("")
    return f"{seconds:.1f} s"


def _bot_killed(scene: Scene) -> str:
    times = scene.dice.randrange(1, 4)
    for _ in range(times):
        scene.kill("bot")
        time.sleep(scene.dice.uniform(0, 1))
    return f"{times} times"


DRAINS: tuple[Callable[[Scene], str], ...] = (_sigterm, _upgrade, _reconnect, _cut, _cut, _bot_raises, _bot_hangs, _bot_killed)


def _begin(scene: Scene, plan: Plan) -> None:
    scene.start()
    scene.serve.all_online_after()
    scene.write(plan.rate)


def _end(scene: Scene, plan: Plan) -> list[Figure]:
    answered = scene.bot == "answer"
    tell(f"{scene.fall_silent()} messages were written; waiting until all is quiet")
    back = wait_or_pass(lambda: len(scene.stage.active_since()) == plan.sessions, 180)
    tell(", ".join(f"{count} {what}" for what, count in sorted(scene.done.items())))
    scene.settle()
    found = scene.evidence()
    dead = 0 if back else plan.sessions - len(scene.stage.active_since())
    return figures(plan, scene, found, dead=dead, answered=answered)


# --- what is said about it --------------------------------------------------------------------------------------------------


def figures(plan: Plan, scene: Scene, found: Evidence, *, dead: int, answered: bool) -> list[Figure]:
    """Judge it, and keep the story of every message with which something is wrong."""
    late = found.out_of_order(frozenset(scene.given_up))
    again = found.repeated(excused=False)
    open_ = found.unanswered if answered else []
    wrong = {sent.id: sent for group in (found.lost, found.forgotten, found.withheld) for sent in group}
    texts = {*late, *again, *open_}
    wrong |= {sent.id: sent for sent in found.sent if sent.text in texts}
    if wrong:
        stories = [found.story(sent) for sent in wrong.values()]
        (scene.folder / "stories").write_text("\n".join(stories))
        tell(f"wrong:{told(stories)}")
    rows: list[tuple[str, float, float | None]] = [
        ("runs", plan.runs, None),
        ("messages", len(found.sent), None),
        ("lost", len(found.lost), 0),
        ("lost and not named by the gap ledger", len(found.unnamed), 0),
        ("acknowledged, in neither inbox nor gap ledger", len(found.forgotten), 0),
        ("in the inbox, and not seen by the bot", len(found.withheld), 0),
        ("out of order within a chat", len(late), 0),
        ("seen again by the bot without a reason", len(again), 0),
        ("seen again as the bot was killed", len(found.repeated(excused=True)), None),
        ("dead letters, tried again at the end", len(scene.given_up), None),
        ("named by the gap ledger", sum(len(entry.gaps) + entry.nameless for entry in found.inboxes.values()), None),
        ("named by the gap ledger and here", found.false_gaps, 0),
        ("answers given twice", len(found.answered_again), None),
        ("answers that a phone could not read", len(found.unreadable), 0),
        ("sessions dead at the end", dead, 0),
    ]
    if answered:
        rows.append(("without an answer", len(open_), 0))
    return [Figure(f"losses, {plan.kind}: {name}", (float(value),), "", plan.command, limit) for name, value, limit in rows]


KINDS: dict[str, Callable[[Plan, Path], list[Figure]]] = {
    "drain": _drain,
    "kills": _kills,
    "flood": _flood,
    "power": _power,
    "power-fast": _power,
    "slow-disk": _slow_disk,
    "slow-disk-control": _slow_disk,
}
