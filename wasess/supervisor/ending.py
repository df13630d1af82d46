"""The end of the keepers: drained while there is time, then cut off."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasess.delivery.bot import Bot
    from wasess.delivery.dispatcher import Dispatcher
    from wasess.link.port import LinkHost
    from wasess.store.sessions import Session
    from wasess.supervisor.keeper import Keeper
    from wasess.supervisor.manager_settings import Settings

CLOSED_WITHIN = 0.8

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Kept:
    """A keeper and its task. ``jid``: the device it was started with."""

    session: Session
    keeper: Keeper
    jid: str
    task: asyncio.Task[None] | None = None
    removed: bool = False
    paused: bool = False


async def drain(kept: Mapping[str, Kept], dispatcher: Dispatcher | None, settings: Settings) -> None:
    """First the bot, while its replies can still be sent; then the workers, all at once."""
    if dispatcher:
        await dispatcher.drain(settings.bot_patience)
    await asyncio.gather(*(one.keeper.mail.drain(settings.sent_within) for one in kept.values()))
    tasks = [one.task for one in kept.values() if one.task]
    for one in kept.values():
        one.keeper.request_stop()
    if tasks:
        await asyncio.wait(tasks, timeout=settings.drain_patience)


async def cut_off(kept: Mapping[str, Kept], dispatcher: Dispatcher | None, host: LinkHost, bot: Bot | None) -> None:
    """Whatever is still there goes now."""
    left = list(kept.values())
    for one in left:
        one.keeper.kill()
        if one.task:
            one.task.cancel()
    if dispatcher:
        await dispatcher.close()
    closing = [asyncio.create_task(door.close()) for door in (host, bot) if door]
    _done, late = await asyncio.wait(closing, timeout=CLOSED_WITHIN)
    for task in late:
        task.cancel()
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, Exception):
            logger.error("closing failed", exc_info=outcome)
    await asyncio.gather(*(one.task for one in left if one.task), return_exceptions=True)
