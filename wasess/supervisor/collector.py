"""Fetches the files and votes of messages that no bot is asked about because there is none: for who reads along (`wasess tail`), and for a later bot.

WhatsApp does not keep them for ever. One after the other, in the order in which the messages came.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from wasess.delivery.rules import for_bots
from wasess.errors import WasessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.core.message import Message
    from wasess.store.inbox import Inbox, Item

STORE_PAUSE = 5.0  # a disk that takes nothing is asked again after it

logger = logging.getLogger(__name__)


class Collector:
    """Of one session. Needs a running event loop. ``fetch`` gets what is missing of a message, and never raises."""

    def __init__(self, inbox: Inbox, fetch: Callable[[Item], Awaitable[Message]]) -> None:
        self._inbox = inbox
        self._fetch = fetch
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
            try:
                while (item := self._inbox.next_unfetched(done)) is not None:
                    done = await self._get(item)
            except WasessError:  # whoever takes messages in tells what is wrong with the disk
                await asyncio.sleep(STORE_PAUSE)
            else:
                await self._wake.wait()

    async def _get(self, item: Item) -> int:
        """Its position, whatever came of it."""
        try:
            if for_bots(item.message):
                self._inbox.prepared(item.seq, await self._fetch(item))
        except WasessError:
            raise
        except Exception:  # one that nobody has thought of keeps no other waiting
            logger.exception("fetching what belongs to message %d failed", item.seq)
        return item.seq
