"""The proof that holding the receipts back is what keeps messages: kill -9 of a worker whose disk is slow (`bench.slow_disk`), in a burst.

What the library has acknowledged and nobody has written is lost with the process. On a disk as fast as usual a kill hardly ever meets such a message:
an event is written sooner than the next one is decrypted (most kills of `flood` met 3 at most), and the few receipts of a burst that are out have
not been read by the server when the connection dies. So with the hold taken out of it, 10 runs of `flood` and 20 of `kills` lost nothing (measured).

Here the library's channel fills up, and a kill counts only with at least `LEAST` events on the way from it to the disk. ``slow-disk-control`` is
the same without the hold: unless each of its kills loses a message, the proof has shown nothing. The first three lost 177.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.losses_scene import wait_or_pass
from bench.slow_disk import HOLD, NO_HOLD, on_the_way

if TYPE_CHECKING:
    from pathlib import Path

    from bench.losses_scene import Scene

BURST = 200
LEAST = 20
WANTED = (LEAST + 10, 80)  # of the 100 that the library's channel holds
FILLS_WITHIN = 30.0
BACK_WITHIN = 120.0  # a session whose worker was killed often waits
MISSES_A_RUN = 5


@dataclass
class SlowDisk:
    """``folder``: where the workers say how many events are on the way. ``struck``: how many were, at each kill that counts."""

    folder: Path
    hold: bool
    struck: list[int] = field(default_factory=list)

    @property
    def program(self) -> tuple[str, ...]:
        """What is run in the place of `wasess`."""
        return (sys.executable, "-m", "bench.slow_disk", str(self.folder), HOLD if self.hold else NO_HOLD)

    def strike(self, scene: Scene) -> bool:
        """Write a burst to one session, and kill its worker while enough of it is on the way. Returns whether it was."""
        user, wanted = scene.dice.choice(scene.stage.users), scene.dice.randint(*WANTED)
        wait_or_pass(lambda: user in scene.stage.active_since() and scene.holder(user), BACK_WITHIN)
        worker = scene.holder(user)
        with ThreadPoolExecutor(1) as beside:
            writing = beside.submit(scene.burst, user, BURST)
            wait_or_pass(lambda: on_the_way(self.folder, worker) >= wanted, FILLS_WITHIN)
            killed = bool(worker) and scene.kill("worker", worker)
            writing.result()
        found = on_the_way(self.folder, worker) if killed else 0
        scene.note(f"kill of worker on a slow disk{'' if found >= LEAST else ' missed'}: {user} had {found} on the way")
        if found >= LEAST:
            self.struck.append(found)
        return found >= LEAST
