"""A keeper on a real folder, with a scripted worker and a clock that the test turns: what the tests of its faults share."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hand_clock import HandClock
from village import Told, Village, link_device, tools, until

from wasess.core.snapshot import Timer, Worker
from wasess.link.port import LinkSignal
from wasess.supervisor.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.core.outages import Outage
    from wasess.core.states import State
    from wasess.link.scripted import ScriptedLink
    from wasess.store.sessions import Home


class Watchroom:
    """A session, its keeper, and everything around them."""

    def __init__(self, home: Home, **others: Any) -> None:
        self.session = link_device(home.session("alice"))
        self.host = Village()
        self.clock = HandClock()
        self.told = Told()
        self.others = others
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        return Keeper(self.session, tools(self.host, self.told, self.clock, **self.others))

    @property
    def link(self) -> ScriptedLink:
        return self.host.links["alice"]

    @property
    def code(self) -> str:
        return self.keeper.snapshot.reason.code

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.keeper.run())
        try:
            yield
            self.keeper.request_stop()
            await asyncio.wait_for(task, 20)
        finally:
            task.cancel()

    async def online(self) -> None:
        await until(lambda: self.keeper.online and self.keeper.mail.is_open)
        await self.taken_in()

    async def reach(self, state: State) -> None:
        await until(lambda: self.keeper.snapshot.state is state and self.keeper.snapshot.worker is Worker.ABSENT)

    async def taken_in(self) -> None:
        """Everything told so far has been dealt with."""
        self.clock.advance(0.001)
        self.keeper.look()
        await until(lambda: self.keeper.ticked_at == self.clock.steady())

    async def retried(self) -> None:
        """The next try is due, and the session is back."""
        count = len(self.host.all)
        await until(lambda: self.keeper.snapshot.timer == Timer.RETRY)
        assert self.keeper.snapshot.resume_at is not None
        self.clock.advance(max(0.0, self.keeper.snapshot.resume_at - self.clock.steady()))
        await until(lambda: len(self.host.all) > count)
        await self.online()

    async def replaced(self, times: int = 1) -> None:
        """It was started so many times more, without a pause."""
        await until(lambda: len(self.host.all) == 1 + times)
        await self.online()

    def hint(self, name: str, fields: str = "") -> None:
        self.link.say(LinkSignal("hint", name, fields))

    @property
    def ledger(self) -> tuple[Outage, ...]:
        return self.session.record.outages()
