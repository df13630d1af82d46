"""The WhatsApp stand-in as a process of its own, so that its work is not done by the bench: `python -m bench.stand_in FOLDER`.

Prints the path of its contract once it answers; ends when its stdin does, so it never outlives the bench. It claims to hold a pre-key already:
a first login then uploads 50 of them instead of 812, which would take 2 s of CPU for each session.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from wasess.sandbox import Sandbox


async def main(folder: Path) -> None:
    """Serve until stdin ends."""
    async with Sandbox(folder, claimed_pre_keys=1) as box:
        print(box.contract_path, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
