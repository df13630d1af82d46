"""Which client version a keeper asks its links for: what an operator said, until the manager ends, and whether the last one was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_operations import kept, outcomes
from village import EVENT, Told, Village, spooled, until

from wasess.core.events import ClientOutdated
from wasess.core.states import State

if TYPE_CHECKING:
    from wasess.store.sessions import Home

WANTED = "2.3000.1053000000"


async def test_a_version_counts_for_the_sessions_that_were_named_and_for_every_later_start(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice", "bob") as operations:
        assert [(link.spec.wa_version, link.spec.outdated) for link in host.all] == [("", False)] * 2
        assert [found.ok async for found in operations.reconnect(["alice"], 5.0, WANTED)] == [True]
        assert (await outcomes(operations, "alice"))["alice"].ok
        assert [link.spec.wa_version for link in host.all if link.spec.user == "alice"] == ["", WANTED, WANTED]
        assert len([link for link in host.all if link.spec.user == "bob"]) == 1, "bob was touched"
        assert [found.ok async for found in operations.reconnect([], 5.0, "auto")] == [True, True]
        assert [link.spec.wa_version for user in ("alice", "bob") for link in host.living(user)] == ["auto", "auto"]
        await operations.pause("alice")
        await operations.resume("alice")
        await until(lambda: host.living("alice"))
        assert host.living("alice")[0].spec.wa_version == "auto", "its keeper is another one"


async def test_that_a_version_was_refused_is_known_until_one_is_taken(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        host.living("alice")[0].frames(EVENT, spooled(ClientOutdated()))
        await until(lambda: operations.lives()[0].state is State.OUTDATED)
        assert (await outcomes(operations, "alice"))["alice"].ok
        assert (await outcomes(operations, "alice"))["alice"].ok
        assert [link.spec.outdated for link in host.all] == [False, True, False]


async def test_what_is_announced_is_told(home: Home, told: Told):
    async with kept(home, told, Village(), "alice") as operations:
        assert operations.info().client_version == ""
        operations.announced = lambda: 1_053_000_000
        assert operations.info().client_version == WANTED
