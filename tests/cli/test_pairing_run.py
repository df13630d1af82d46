"""What a pairing does with Ctrl+C: it is never lost, whatever comes at the same moment."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from wasess.cli.pairing import Tick
from wasess.cli.pairing_run import PairingRun
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from pathlib import Path


class Blank:
    """A screen and a folder of codes that show nothing."""

    def refresh(self, _now: float) -> None:
        return


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_with_news_is_not_lost(tmp_path: Path, turns: int):
    nothing: Any = Blank()
    run = PairingRun(Home(tmp_path).session("alice"), nothing, nothing, nothing)
    waiting = asyncio.create_task(run._next(time.monotonic() + 60))
    for _ in range(3):
        await asyncio.sleep(0)
    run.resized()  # any news
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:  # it had ended before: whoever called it has the news, and is cancelled then
        assert waiting.result() == Tick()
