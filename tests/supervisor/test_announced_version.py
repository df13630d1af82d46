"""Which client version an operator has sessions announce, and what is told of it. What comes of that: link.versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_operations import kept, outcomes
from village import EVENT, Told, Village, spooled, until

from wasess.core.events import ClientOutdated
from wasess.core.states import State

if TYPE_CHECKING:
    from wasess.store.sessions import Home

WANTED = "2.3000.1053000000"


async def test_a_version_is_told_for_those_that_were_named_before_they_start_anew(home: Home, told: Told):
    host, announced = Village(), []
    async with kept(home, told, host, "alice", "bob") as operations:
        operations.announce = lambda user, wish: announced.append((user, wish, len(host.all)))
        assert [found.ok async for found in operations.reconnect(["alice"], 5.0, WANTED)] == [True]
        assert announced == [("alice", WANTED, 2)]
        assert len([link for link in host.all if link.spec.user == "bob"]) == 1, "bob was touched"
        assert [found.ok async for found in operations.reconnect([], 5.0, "auto")] == [True, True]
        assert announced[1:] == [("alice", "auto", 3), ("bob", "auto", 3)]
        assert (await outcomes(operations, "alice"))["alice"].ok
        assert len(announced) == 3


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
