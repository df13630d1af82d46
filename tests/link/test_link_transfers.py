from __future__ import annotations

import asyncio

from wasess.link.transfers import LARGE, Transfers

SMALL = LARGE // 2


class Carrying:
    """Files under way; ``now`` holds their names, ``ended`` lets one end."""

    def __init__(self):
        self.transfers = Transfers()
        self.now = []
        self.tasks = {}
        self.ends = {}

    async def begin(self, name, size):
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._carry(name, size))
        await self._settle()

    async def end(self, name):
        self.ends[name].set()
        await self.tasks[name]
        await self._settle()

    async def _carry(self, name, size):
        async with self.transfers.place(size):
            self.now.append(name)
            await self.ends[name].wait()
        self.now.remove(name)

    async def _settle(self):
        for _ in range(10):
            await asyncio.sleep(0)


async def test_two_small_files_at_a_time_and_a_large_one_alone():
    carrying = Carrying()
    for name, size in (("a", SMALL), ("b", SMALL), ("large", LARGE + 1), ("c", SMALL), ("unknown", 0)):
        await carrying.begin(name, size)
    assert carrying.now == ["a", "b"]
    await carrying.end("a")
    assert carrying.now == ["b"]  # nobody overtakes the large one
    await carrying.end("b")
    assert carrying.now == ["large"]
    await carrying.end("large")
    assert carrying.now == ["c"]
    await carrying.end("c")
    assert carrying.now == ["unknown"]
    await carrying.end("unknown")


async def test_who_gives_up_while_waiting_leaves_no_place_taken():
    carrying = Carrying()
    for name, size in (("a", SMALL), ("large", LARGE + 1), ("b", SMALL)):
        await carrying.begin(name, size)
    carrying.tasks["large"].cancel()
    await carrying.end("a")
    assert carrying.now == ["b"]
    await carrying.begin("c", SMALL)
    assert carrying.now == ["b", "c"]
