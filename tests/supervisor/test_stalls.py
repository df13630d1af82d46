"""How long the event loop was kept from its turn is measured, exactly and for as long as it runs."""

from __future__ import annotations

import asyncio
import time

from wasess.supervisor.stalls import Stall, StallMeter


def test_the_longest_stall_is_remembered_and_the_latest_asked_for_once():
    meter = StallMeter()
    assert meter.longest == Stall()

    async def work() -> list[float]:
        await asyncio.sleep(0.2)  # waiting is no stall
        calm = meter.latest()
        time.sleep(0.15)  # noqa: ASYNC251 - this is the stall
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [calm, meter.latest(), meter.latest()]

    began = time.time()
    with asyncio.Runner(loop_factory=meter.new_loop) as runner:
        calm, stalled, after = runner.run(work())
    assert calm < 0.15 <= stalled
    assert after < 0.15
    assert meter.longest.seconds == stalled
    assert began < meter.longest.at <= time.time()
