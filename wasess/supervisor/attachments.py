"""Fetches what a message only points to, before the bot gets it: its file, and what was voted for in a poll.

Files go to ``media/`` in the session's folder, under a name of ours. What can't be had is said in the message: the bot gets it all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core import backoff
from wasess.core.file_types import ending
from wasess.errors import UsageError, WasessError
from wasess.store.guard import FOLDER_MODE
from wasess.store.mail import MEDIA_NAME
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.message import Media, Message
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.inbox import Item
    from wasess.supervisor.tether import Tether

TRIES = 2  # a file that is larger than its sender says may cost the session its process
PATIENCE = 600.0  # seconds for a file, while the session is away too


class Attachments:
    """Of one session. ``online`` is set while it is logged in; ``largest`` in bytes, 0 to fetch no file."""

    def __init__(self, folder: Path, mailbox: Mailbox, tether: Tether, online: asyncio.Event, largest: int) -> None:
        self._folder = folder
        self._mailbox = mailbox
        self._tether = tether
        self._online = online
        self._largest = largest

    async def fetch(self, item: Item) -> Message:
        """The message with what was missing, or with the reason why that is not there. Never raises for what WhatsApp or the disk does."""
        message = item.message
        if message is None:
            raise RuntimeError("a message without content is never fetched")
        if message.media is not None:
            return replace(message, media=await self._file(item, message.media))
        return replace(message, votes=await self._votes(item, message))

    async def _file(self, item: Item, media: Media) -> Media:
        if media.size > self._largest:
            return replace(media, problem=_("larger than {most} bytes").format(most=self._largest) if self._largest else _("not fetched"))
        path = self._folder / MEDIA_NAME / f"{item.seq}{ending(media.mime, media.name)}"
        try:
            path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            async with asyncio.timeout(PATIENCE):
                size = await self._download(item, path)
        except (WasessError, OSError, TimeoutError) as error:
            return replace(media, problem=str(error) or _("not within {seconds:.0f} s").format(seconds=PATIENCE))
        return replace(media, path=str(path), size=size)

    async def _download(self, item: Item, path: Path) -> int:
        for tries in range(TRIES):
            await self._online.wait()
            try:
                await self._tether.download(item.raw, path)
                break
            except UsageError:
                raise
            except WasessError:
                if tries + 1 == TRIES:
                    raise
                await asyncio.sleep(backoff.delay(tries, 1.0))
        return _size(path)

    async def _votes(self, item: Item, message: Message) -> tuple[str, ...]:
        """The options by their texts, when the poll is here; else by their hashes."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._online.wait()
                chosen = await self._tether.votes(item.raw)
        except (WasessError, TimeoutError):
            return ()
        options = self._mailbox.options(message.chat, message.about)
        names = {hashlib.sha256(option.encode()).hexdigest(): option for option in options}
        return tuple(names.get(one, one) for one in chosen)


def _size(path: Path) -> int:
    return path.stat().st_size
