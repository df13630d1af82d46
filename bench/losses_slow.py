"""The proof that holding the receipts back is what keeps messages: kill -9 of a worker whose disk is slow (`bench.slow_disk`), in a burst.

What the library has acknowledged and nobody has written is lost with the process. On a disk as fast as usual a kill hardly ever meets such a message:
an event is written sooner than the next one is decrypted (most kills of `flood` met 3 at most), and the few receipts of a burst that are out have
not been read by the server when the connection dies. So with the hold taken out of it, 10 runs of `flood` and 20 of `kills` lost nothing (measured).

Here events queue up before the disk, and a kill counts only with at least `LEAST` of them on the way: what the server has sent and has no receipt
for; without the hold, what it has a receipt for and nobody has written. ``slow-disk-control`` is the same without the hold: unless each of its kills
loses a message, the proof has shown nothing. Each loses dozens.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.losses_scene import wait_or_pass
from bench.slow_disk import HOLD, NO_HOLD, in_channel

if TYPE_CHECKING:
    from pathlib import Path

    from bench.losses_scene import Scene

BURST = 200  # six seconds of such a disk
LEAST = 20
WRITTEN_FOR = 1.0  # seconds at most from the moment when enough are on the way to the kill
BEGINS_WITHIN = 30.0
BACK_WITHIN = 120.0  # a session whose worker was killed often waits
MISSES_A_RUN = 5


@dataclass
class SlowDisk:
    """``folder``: where the workers say what is in the library's channel. ``on_the_way`` and ``in_channel``: how many events, at each kill that counts."""

    folder: Path
    hold: bool
    on_the_way: list[int] = field(default_factory=list)
    in_channel: list[int] = field(default_factory=list)

    @property
    def program(self) -> tuple[str, ...]:
        """What is run in the place of `wasess`."""
        return (sys.executable, "-m", "bench.slow_disk", str(self.folder), HOLD if self.hold else NO_HOLD)

    def strike(self, scene: Scene) -> None:
        """Write a burst to one session, and kill its worker while it is on the way."""
        user = scene.dice.choice(scene.stage.users)
        wait_or_pass(lambda: user in scene.stage.active_since() and scene.holder(user), BACK_WITHIN)
        worker = scene.holder(user)
        scene.burst(user, BURST)
        wait_or_pass(lambda: (begun := in_channel(self.folder, worker)) and self._found(scene, user, begun) >= LEAST, BEGINS_WITHIN)
        time.sleep(scene.dice.uniform(0, WRITTEN_FOR))
        killed = bool(worker) and scene.kill("worker", worker)
        channel = in_channel(self.folder, worker)
        found = self._found(scene, user, channel)
        counts = killed and found >= LEAST
        scene.note(f"kill of worker on a slow disk{'' if counts else ' missed'}: {user} had {found} on the way, {channel} in the channel")
        if counts:
            self.on_the_way.append(found)
            self.in_channel.append(channel)

    def _found(self, scene: Scene, user: str, channel: int) -> int:
        """How many events are on the way; ``channel``: of those, in the library's channel."""
        return scene.unacknowledged(user) if self.hold else channel
