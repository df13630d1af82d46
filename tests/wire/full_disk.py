"""A session meets a full disk while messages come. A program of its own: it mounts a small file system, in a namespace of its own.

``full_disk.py FOLDER COUNT SIZE``: prints one line of JSON about COUNT messages of SIZE letters; under `mounting`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker_rig import Follower, Rig, rig

from wasess.core import events

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = "48m"
MOUNTED = ("sh", "-c", f'mount -t tmpfs -o size={ROOM},mode=700 none "$1" && shift && exec "$@"', "sh")


def mounting() -> tuple[str, ...]:
    """The command under which a file system can be mounted that nobody else sees; empty when this machine allows none."""
    for words in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        with contextlib.suppress(OSError):
            if subprocess.run((*words, "mount", "-t", "tmpfs", "none", "/mnt"), capture_output=True, check=False).returncode == 0:
                return words
    return ()


async def burst(it: Rig, follower: Follower, texts: list[str], fill: Callable[[], object], clear: Callable[[], object]) -> dict[str, Any]:
    """Let the disk be full, and messages come. What is acknowledged must be in the spool, and the rest come later."""
    device = it.box.state.device("alice")
    await asyncio.to_thread(fill)
    sent = [it.box.say("bob", "alice", text) for text in texts]
    end = await follower.ended()
    spooled = {message.id for message in follower.messages()}
    kept = {message_id for _, message_id in device.pending}
    await asyncio.to_thread(clear)
    again = await it.start("alice")
    found = {"cause": end.value, "detail": end.detail, "at once": len(spooled & set(sent)), "lost": len(set(sent) - spooled - kept)}
    with contextlib.suppress(TimeoutError):
        await again.until(lambda: set(sent) <= spooled | {message.id for message in again.messages()}, 30)
    return {**found, "missing": len(set(sent) - spooled - {message.id for message in again.messages()})}


async def main(folder: Path, count: int, size: int) -> None:
    async with rig(folder) as it:
        follower = await it.online("alice")
        it.box.say("bob", "alice", "there is room")
        await follower.event(events.MessageReceived)
        filler = folder / "filler"
        found = await burst(it, follower, [f"{n} ".ljust(size, "x") for n in range(count)], lambda: _fill(filler), filler.unlink)
    sys.stdout.write(json.dumps(found) + "\n")


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
