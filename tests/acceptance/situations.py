"""Every state that a session can be in, brought about for real on the sandbox; what it is called, and whether a new connection helps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homes import until

from wasess.doctor.census import census, manager_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from homes import House, Running

    from wasess.doctor.census import SessionView

BAN = 600
COMES_ABOUT_WITHIN = 20.0


@dataclass(frozen=True)
class Situation:
    """``before``: the manager starts; ``after``: the session was online. ``cure``: what happens outside before somebody reconnects.

    ``late``: brings about what passes by itself (a black hole is found in 30 s, a dial is given up in 45), after everything else stands.

    ``state``, ``code``, ``exit_code``: how it is called then. ``stays``: the code that a reconnect ends with, empty when it helps.
    """

    name: str
    state: str
    code: str
    exit_code: int
    before: Callable[[House, str], Awaitable[None]] | None = None
    after: Callable[[House, str], Awaitable[None]] | None = None
    late: Callable[[House, str], Awaitable[None]] | None = None
    cure: Callable[[House, str], Awaitable[None]] | None = None
    stays: str = ""
    linked: bool = True


def faults(*words: str) -> Callable[[House, str], Awaitable[None]]:
    """Break something; each string is what one types after `wasess sandbox fault USER`."""

    async def do(house: House, user: str) -> None:
        for word in words:
            house.box.fault(user, *word.split())

    return do


async def unlinked_on_the_phone(house: House, user: str) -> None:
    house.box.unlink(user)


async def paused(house: House, user: str) -> None:
    done = await house.run("pause", user)
    assert await done.over() == 0, done.text


async def resumed_into_a_stall(house: House, user: str) -> None:
    house.box.fault(user, "stall", "upgrade", "count=1")
    done = await house.run("resume", user)
    assert await done.over() == 0, done.text


async def logged_out_here(house: House, user: str) -> None:
    done = await house.run("logout", user, "--yes")
    assert await done.over() == 0, done.text


async def damaged(house: House, user: str) -> None:
    (house.home.path / user / "device.db").write_bytes(b"no database at all " * 100)


async def gone(house: House, user: str) -> None:
    (house.home.path / user / "device.db").unlink()


async def unreadable(house: House, user: str) -> None:
    for name in ("session.json", "session.json.bak"):
        (house.home.path / user / name).write_bytes(b"{")


async def cleared(house: House, user: str) -> None:
    house.box.clear(user)


SITUATIONS = (
    Situation("online", "online", "ONLINE", 0),
    Situation("black-hole", "online", "ONLINE", 0, late=faults("freeze live")),  # nobody can know yet
    Situation("connecting", "connecting", "STARTING", 3, after=paused, late=resumed_into_a_stall),
    Situation("recovering", "recovering", "CONNECTION_LOST", 3, late=faults("stall upgrade count=1", "rst")),
    Situation("unreachable", "waiting", "NETWORK_DOWN", 3, before=faults("refuse connect"), stays="NETWORK_DOWN"),
    Situation("reachable-again", "waiting", "NETWORK_DOWN", 3, before=faults("refuse connect"), cure=cleared),
    Situation("refused-once", "waiting", "REFUSED", 3, before=faults("failure 409 count=1")),
    Situation("refused", "waiting", "REFUSED", 3, before=faults("failure 409"), stays="REFUSED"),
    Situation("rate-limited", "waiting", "RATE_LIMITED", 5, before=faults("http_status upgrade 429 count=1")),
    Situation("banned", "paused", "BANNED", 5, after=faults(f"failure 402:101:{BAN}", "rst"), stays="BANNED"),
    Situation("replaced", "paused", "REPLACED", 7, after=faults("stream-error replaced")),
    Situation("outdated-once", "outdated", "OUTDATED", 6, after=faults("failure 405 count=1", "rst")),
    Situation("outdated", "outdated", "OUTDATED", 6, after=faults("failure 405", "rst"), stays="OUTDATED"),
    Situation("logged-out", "logged_out", "LOGGED_OUT", 4, after=faults("failure 401", "rst"), stays="LOGGED_OUT", linked=False),
    Situation("locked", "logged_out", "ACCOUNT_LOCKED", 4, after=faults("failure 403", "rst"), stays="ACCOUNT_LOCKED", linked=False),
    Situation(
        "banned-for-good", "logged_out", "ACCOUNT_BANNED", 4, after=faults("failure 406", "rst"), stays="ACCOUNT_BANNED", linked=False
    ),
    Situation("unlinked", "logged_out", "LOGGED_OUT", 4, after=unlinked_on_the_phone, stays="LOGGED_OUT", linked=False),
    Situation("logged-out-here", "logged_out", "UNLINKED_HERE", 4, after=logged_out_here, stays="UNLINKED_HERE", linked=False),
    Situation("paused", "stopped", "PAUSED_BY_OPERATOR", 3, after=paused, stays="PAUSED_BY_OPERATOR"),
    Situation("damaged", "waiting", "DATABASE_DAMAGED", 4, before=damaged, stays="DATABASE_DAMAGED", linked=False),
    Situation("gone", "waiting", "DATABASE_DAMAGED", 4, before=gone, stays="DATABASE_DAMAGED", linked=False),
)


class Street:
    """A house with a session in every situation: its user has the situation's name."""

    def __init__(self, house: House, situations: tuple[Situation, ...] = SITUATIONS) -> None:
        self.house = house
        self.situations = situations

    async def prepare(self) -> Running:
        """Link them all, start the manager, and bring them where they belong; return the manager."""
        await self.house.link(*(found.name for found in self.situations))
        for found in self.situations:
            if found.before:
                await found.before(self.house, found.name)
        serve = await self.house.serve()
        await self.house.online(serve, *(found.name for found in self.situations if not found.before), seconds=COMES_ABOUT_WITHIN)
        await asyncio.gather(*(found.after(self.house, found.name) for found in self.situations if found.after))
        await self.settle(serve, tuple(found for found in self.situations if not found.late))
        await asyncio.gather(*(found.late(self.house, found.name) for found in self.situations if found.late))
        await self.settle(serve, self.situations)
        return serve

    async def settle(self, serve: Running, situations: tuple[Situation, ...]) -> None:
        """Wait until each of these sessions is called what its situation says."""
        wanted = {found.name: (found.state, found.code) for found in situations}
        deadline = time.monotonic() + COMES_ABOUT_WITHIN
        while wrong := self._elsewhere(await self.views(), wanted):
            assert time.monotonic() < deadline, f"found, wanted: {wrong}\n{serve.text}"
            await asyncio.sleep(0.05)

    @staticmethod
    def _elsewhere(views: dict[str, SessionView], wanted: dict[str, tuple[str, str]]) -> dict[str, object]:
        """What is found and what is wanted, of each that is not there yet."""
        found = {user: (str(view.state), view.code) for user, view in views.items()}
        return {user: (found.get(user), where) for user, where in wanted.items() if found.get(user) != where}

    async def views(self) -> dict[str, SessionView]:
        """What the census says, by user."""
        found = await asyncio.to_thread(lambda: census(self.house.home, manager_of(self.house.home)))
        return {view.user: view for view in found}

    def truly_online(self, user: str) -> bool:
        """What the server knows."""
        device = self.house.box.state.device(user)
        return device is not None and device.online


async def cured(street: Street) -> None:
    """Outside, what can be mended is mended."""
    for found in street.situations:
        if found.cure:
            await found.cure(street.house, found.name)


__all__ = ["SITUATIONS", "Situation", "Street", "cured", "until"]
