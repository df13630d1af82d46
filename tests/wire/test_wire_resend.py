"""A contact that can't decrypt a message asks for it; what the library can't serve any more, the manager sends again as a new message."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from test_manager_wire import Manager, managing

from wasess.core.message import Reply
from wasess.supervisor.post_office import PostOffice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasess.core.sending import Sending
    from wasess.sandbox import Sandbox
    from wasess.sandbox.state import Account

pytestmark = pytest.mark.wire


class Desk:
    """Sends for alice to carol, and looks at what carol has."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.box: Sandbox = manager.it.box
        self.carol: Account = self.box.contact("carol")
        self.office = PostOffice(manager.supervisor, manager.it.home.session, manager.supervisor._clock.now)

    async def send(self, text: str, *, state: str = "sent") -> Sending:
        sending = await self.office.send("alice", str(self.carol.jid), Reply(text), key=text)
        return await self.office.letter("alice", sending.position, state, 15)

    async def replace_worker(self) -> None:
        """Kill -9, and wait for the next one."""
        logins, pid = self.manager.device("alice").logins, self.manager.pid("alice")
        os.kill(pid, signal.SIGKILL)
        await self.manager.until(lambda: self.manager.device("alice").logins > logins and self.manager.online("alice"))

    async def taken(self) -> None:
        """The library has taken all receipts."""
        await self.manager.until(lambda: not self.manager.device("alice").pending)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with managing(folder, "alice") as manager:
        yield Desk(manager)


async def test_what_a_contact_could_not_read_is_sent_again_after_the_worker_was_replaced(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.box.switch_phone("carol", on=False)
        sent = await it.send("the table is yours")
        await it.replace_worker()
        it.box.fault("alice", "unreadable", "count=1")
        it.box.switch_phone("carol", on=True)
        await it.manager.until(lambda: it.carol.texts == ["the table is yours"])
        assert it.carol.undecryptable == [sent.message_id]
