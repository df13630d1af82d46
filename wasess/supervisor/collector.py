"""Fetches the files and votes of messages that no bot is asked about because there is none: for who reads along (`wasess tail`), and for a later bot.

WhatsApp does not keep them for ever. One after the other, in the order in which the messages came; what must wait comes when its time has come.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.delivery.rules import for_bots
from wasess.errors import WasessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.core.message import Message
    from wasess.delivery.mail_queue import MailQueue
    from wasess.store.inbox import Item

STORE_PAUSE = 5.0  # a disk that takes nothing is asked again after it

logger = logging.getLogger(__name__)


class Collector:
    """Of one session. Needs a running event loop. ``fetch`` gets what is missing of a message, and never raises; ``hold``: for how long that must wait."""

    def __init__(self, mail: MailQueue, fetch: Callable[[Item], Awaitable[Message]], hold: Callable[[Item], float]) -> None:
        self._mail = mail
        self._fetch = fetch
        self._hold = hold
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def look(self) -> None:
        """Something has come."""
        self._wake.set()

    async def close(self) -> None:
        """Stop at once; what is not there yet is fetched after the next start."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _work(self) -> None:
        done = 0
        while True:
            self._wake.clear()
            pause: float | None = None
            try:
                behind = done
                while (item := await self._next(behind)) is not None:
                    behind = item.seq
                    if held := await self._get(item):
                        pause = min(pause or held, held)
                    elif pause is None:
                        done = item.seq
            except WasessError:  # whoever takes messages in tells what is wrong with the disk
                await asyncio.sleep(STORE_PAUSE)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()

    async def _next(self, behind: int) -> Item | None:
        return await self._mail.do(lambda mailbox: mailbox.inbox.next_unfetched(behind))

    async def _get(self, item: Item) -> float:
        """For how many seconds it must wait; 0: it is dealt with, whatever came of it."""
        try:
            if for_bots(item.message):
                if held := self._hold(item):
                    return held
                fetched = await self._fetch(item)
                await self._mail.do(lambda mailbox: mailbox.inbox.prepared(item.seq, fetched))
        except WasessError:
            raise
        except Exception:  # one that nobody has thought of keeps no other waiting
            logger.exception("fetching what belongs to message %d failed", item.seq)
        return 0.0
