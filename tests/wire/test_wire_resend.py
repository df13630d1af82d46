"""A contact that can't decrypt a message asks for it; what the library can't serve any more, the manager sends again as a new message."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from test_manager_wire import Manager, managing

from wasess.core.message import Reply
from wasess.supervisor.post_office import PostOffice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.core.sending import Sending
    from wasess.sandbox import Sandbox
    from wasess.sandbox.state import Account

pytestmark = [pytest.mark.wire, pytest.mark.asyncio(loop_scope="module")]


class Desk:
    """Sends for alice, and looks at what her contacts have; each test has a contact of its own."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.box: Sandbox = manager.it.box
        self.office = PostOffice(manager.supervisor, manager.it.home.session, manager.supervisor._clock.now)

    def contact(self, name: str) -> Account:
        return self.box.contact(name)

    async def send(self, to: str, text: str) -> Sending:
        sending = await self.office.send("alice", str(self.contact(to).jid), Reply(text), key=text)
        return await self.office.letter("alice", sending.position, "sent", 15)

    async def kill_worker(self) -> int:
        """Kill -9; returns how many logins there were."""
        logins = self.manager.device("alice").logins
        os.kill(self.manager.pid("alice"), signal.SIGKILL)
        return logins

    async def replace_worker(self) -> None:
        logins = await self.kill_worker()
        await self.manager.until(lambda: self.manager.device("alice").logins > logins and self.manager.online("alice"))

    async def has(self, name: str, *texts: str) -> None:
        await self.manager.until(lambda: self.contact(name).texts == list(texts))

    async def quiet(self) -> None:
        """The library has taken everything, and nothing is to be sent."""

        def is_quiet() -> bool:
            device, unsent = self.manager.device("alice"), "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending')"
            return not device.pending and self.number(unsent) == 0

        await self.manager.until(is_quiet)

    def number(self, query: str) -> int:
        path = self.manager.it.session("alice").folder / "inbox.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute(query).fetchone()[0])

    def resent(self) -> int:
        return self.number("SELECT count(*) FROM outbox WHERE key LIKE 'reply:again:%'")

    def not_resent(self) -> int:
        return self.number("SELECT coalesce(sum(count), 0) FROM gaps WHERE cause = 'resend-unknown'")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with managing(tmp_path_factory.mktemp("resend"), "alice") as manager:
        yield Desk(manager)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replaced(it: Desk) -> dict[str, Sending]:
    """The worker was replaced after these messages had gone out, by contact; carol's and grace's phones are off."""
    await it.send("grace", "first")
    it.box.say("grace", "alice", "so that no keys of alice's go along any more")
    await it.quiet()
    for name in ("carol", "grace"):
        it.box.switch_phone(name, on=False)
    sent = {name: await it.send(name, f"to {name}") for name in ("carol", "erin", "grace")}
    await it.replace_worker()
    return sent


async def test_what_a_contact_could_not_read_is_sent_again_after_the_worker_was_replaced(it: Desk, replaced: dict[str, Sending]) -> None:
    sent = replaced["carol"]
    it.box.fault("alice", "unreadable", "count=1")
    it.box.switch_phone("carol", on=True)
    await it.has("carol", "to carol")
    assert it.contact("carol").undecryptable == [sent.message_id]
    assert it.contact("carol").received[-1].id != sent.message_id
    record = await it.office.letter("alice", sent.position, "sent", 0)
    assert record.detail.startswith("its recipient could not decrypt it; sent again as ")
    assert it.manager.told("alice", "SENT_AGAIN")


async def test_the_same_receipt_twice_is_served_once(it: Desk, replaced: dict[str, Sending]) -> None:
    sent = replaced["erin"]
    before = it.resent()
    for device in (0, 0, 5):
        it.box.ask_again("erin", "alice", sent.message_id, device=device)
        await it.quiet()
    await it.has("erin", "to erin", "to erin")
    assert it.resent() == before + 1


async def test_what_the_library_serves_is_not_sent_twice(it: Desk) -> None:
    before = it.resent()
    it.box.fault("alice", "unreadable", "count=1")
    sent = await it.send("frank", "from its memory")
    await it.has("frank", "from its memory")
    await it.quiet()
    assert [message.id for message in it.contact("frank").received] == [sent.message_id]
    assert it.resent() == before


async def test_a_contact_that_has_lost_its_session_gets_it_from_the_library_in_the_end(it: Desk, replaced: dict[str, Sending]) -> None:
    """The new message is encrypted for the lost session, too: it is asked for again, and the library has that one."""
    grace, lost = it.contact("grace"), replaced["grace"]
    grace.party.forget(it.manager.device("alice").address)
    it.box.switch_phone("grace", on=True)
    await it.has("grace", "first", "to grace")
    assert grace.asked_again[lost.message_id] == 1
    assert sum(grace.asked_again.values()) > 1


async def test_a_message_that_never_was_is_counted(it: Desk) -> None:
    before = it.not_resent(), it.resent()
    it.box.ask_again("heidi", "alice", "3EB0NEVERSENT")
    await it.manager.until(lambda: it.not_resent() == before[0] + 1)
    assert it.manager.told("alice", "NOT_SENT_AGAIN")
    assert (it.resent(), it.contact("heidi").texts) == (before[1], [])


async def test_a_receipt_that_comes_while_there_is_no_worker_is_served_too(it: Desk) -> None:
    it.box.switch_phone("dave", on=False)
    sent = await it.send("dave", "on its way")
    await it.kill_worker()
    it.box.fault("alice", "unreadable", "count=1")
    it.box.switch_phone("dave", on=True)
    await it.has("dave", "on its way")
    assert it.contact("dave").undecryptable == [sent.message_id]
