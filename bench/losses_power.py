"""The proof that a power cut loses no message with `serve --durability power`: the sessions' home is on a disk that forgets (`bench.lossy_disk`).

At each cut all processes die at once, then the disk is what was brought to it. What they had sent by then, receipts too, has arrived. The same
disk goes on after it, so that the next cut meets what the last one left. ``power-fast`` shows what `--durability fast` promises less.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.lossy_disk import LossyDisk
from bench.stage import wait_until

if TYPE_CHECKING:
    from bench.ledger_truth import Evidence
    from bench.losses_scene import Scene
    from bench.stage import Stage

RUN_LASTS = (0.5, 4.0)
BURST = 60
GONE_WITHIN = 10.0
IN_DOUBT = 1.0  # seconds before a cut in which an answer can have gone out and not been noted as sent


@dataclass
class Cuts:
    """What the cuts came to. ``at``: when they were; ``true``: in how many the disk forgot what it should, and nothing else."""

    at: list[float]
    true: int = 0

    def sure(self, found: Evidence) -> list[str]:
        """The answers that were given twice although the first had been sent long before any cut."""
        return [text for text, moments in found.answered_again.items() if not any(-0.1 <= at - min(moments) <= IN_DOUBT for at in self.at)]


def disk_for(stage: Stage) -> LossyDisk:
    """What puts the home on a disk that forgets; raises `BenchFailed`, when it is entered, where there can be none."""
    return LossyDisk(stage.home.path, stage.folder / "power")


def strike(scene: Scene, disk: LossyDisk, cuts: Cuts) -> None:
    """One cut at a random instant, half of them while many messages come in at once; then everything starts again."""
    dice = scene.dice
    wait_until(scene.stage.active_since, "no session came online", GONE_WITHIN * 3)
    disk.mark()
    time.sleep(dice.uniform(*RUN_LASTS))
    burst = dice.random() < 0.5
    if burst:
        scene.burst(dice.choice(scene.stage.users), BURST)
        time.sleep(dice.uniform(0, 0.3))
    everybody = scene.everybody()
    scene.ended.update(scene.bots())
    cuts.at.append(time.time())
    for pid in everybody:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    scene.serve_is_gone()
    wait_until(lambda: not any(_lives(pid) for pid in everybody), "a process outlived the power", GONE_WITHIN)
    wait_until(lambda: not scene.stage.active_since(), "the stand-in did not notice the end", GONE_WITHIN)
    true = disk.cut()
    cuts.true += true
    scene.note(f"cut{' in a burst' if burst else ''}: the disk was {'as it should be' if true else 'WRONG'}")
    scene.start()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that is dead and not buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
