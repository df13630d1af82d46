"""The manager's rounds look at the age of the client version that sessions announce."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_rounds import DAY, STEP, Night, channel

from wasess.core.client_version import A_DAY, BUILT_AT, BUILT_IN
from wasess.supervisor.rounds import CLIENT_AFTER

if TYPE_CHECKING:
    import socket

    from wasess.store.sessions import Home

__all__ = ["channel"]  # a fixture


async def test_an_old_client_version_is_told_once_a_day_after_the_start(home: Home, channel: tuple[socket.socket, str]):
    night = Night(home, *channel)
    announced = [version_of(59.0, night.clock.now())]
    night.rounds.announced = lambda: announced[0]
    async with night.walking():
        announced[0] = version_of(61.0, night.clock.now())
        assert "CLIENT_OLD" not in night.told.codes()
        await night.passes(CLIENT_AFTER + STEP)
        assert night.told.codes() == ["CLIENT_OLD"]
        assert "--wa-version auto" in night.told.notices[-1].line
        assert (night.told.notices[-1].level, night.told.notices[-1].session) == ("warning", "")
        night.clock.advance(DAY)
        await night.round()
        assert night.told.codes().count("CLIENT_OLD") == 2
        announced[0] = version_of(10.0, night.clock.now())
        night.clock.advance(DAY)
        await night.round()
        assert night.told.codes().count("CLIENT_OLD") == 2


def version_of(days: float, now: float) -> int:
    """What was new so many days before ``now``."""
    return round(BUILT_IN + A_DAY * ((now - BUILT_AT) / DAY - days))
