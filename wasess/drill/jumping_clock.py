"""A manager whose wall clock can be moved: ``python -m wasess.drill.jumping_clock HOME CONTRACT BOT.py OFFSET-FILE``.

It is the manager of `wasess serve --events` with another clock. The file holds the seconds by which that clock is wrong, now.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from wasess.assembly import realm
from wasess.delivery.function import BotSpec, FunctionBot
from wasess.link.hints import hint_of
from wasess.link.translate import translate
from wasess.store.sessions import Home
from wasess.supervisor.clock import SystemClock
from wasess.supervisor.report import EventReporter, trouble_teller
from wasess.supervisor.supervisor import Supervisor


class JumpingClock(SystemClock):
    """The real clock, off by what stands in a file."""

    def __init__(self, offset: Path) -> None:
        super().__init__()
        self._offset = offset

    def now(self) -> float:
        """See `supervisor.clock.Clock`."""
        return super().now() + float(self._offset.read_text() or 0)


async def serve(home: Path, contract: Path, bot: Path, offset: Path) -> int:
    """Keep the home until SIGTERM; return the exit code."""
    reporter = EventReporter(sys.stdout)
    function = FunctionBot(BotSpec(bot, "reply"), trouble_teller(reporter))
    host = realm(contract).host()
    return await Supervisor(Home(home), host, translate, reporter, hint=hint_of, bot=function, clock=JumpingClock(offset)).run()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(*map(Path, sys.argv[1:5]))))
