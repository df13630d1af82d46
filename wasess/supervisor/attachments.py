"""Fetches what a message only points to, before the bot gets it: its file, and what was voted for in a poll.

Files go to ``media/`` in the session's folder, under a name of ours. What can't be had is said in the message: the bot gets it all the same,
and it is not asked for again. A network that fails is tried a few times; what is not what its sender says is not.

After such a file its sender's further files wait (`core.penalties`), and with them what stands behind them in their chat, but nothing for longer than
`HELD` after its arrival: where that is not enough, the bot gets these messages at once, without their files.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core.file_types import ending
from wasess.core.penalties import Penalties
from wasess.errors import FileForged, FileUnavailable, UsageError, WasessError
from wasess.store.media import MEDIA_NAME, make_media_folder
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.clock import Clock
    from wasess.core.message import Media, Message
    from wasess.delivery.mail_queue import MailQueue
    from wasess.store.inbox import Item
    from wasess.supervisor.media_quota import MediaQuota
    from wasess.supervisor.teller import Teller
    from wasess.supervisor.tether import Tether

PAUSES = (1.0, 4.0, 16.0)  # seconds between the tries of a network, or a disk, that fails
PATIENCE = 600.0  # seconds for a file, while the session is away too
HELD = 60.0  # seconds that a chat waits for the file of a sender who was caught, from its arrival


class Attachments:
    """Of one session. ``online`` is set while it is logged in; ``largest`` in bytes, 0 to fetch no file."""

    def __init__(
        self, mail: MailQueue, tether: Tether, online: asyncio.Event, largest: int, quota: MediaQuota, clock: Clock, teller: Teller
    ) -> None:
        self._folder = quota.folder
        self._mail = mail
        self._tether = tether
        self._online = online
        self._largest = largest
        self._quota = quota
        self._clock = clock
        self._teller = teller
        self._penalties = Penalties()

    @property
    def full(self) -> bool:
        """Whether files are not fetched because others, whose messages wait, fill the quota."""
        return self._quota.full and self._mail.waiting > 0

    def hold(self, item: Item) -> float:
        """The seconds for which a message's file is not to be fetched yet, because of its sender; 0, too, when waiting would not help."""
        message = item.message
        if message is None or message.media is None:
            return 0.0
        left = self._penalties.left(message.sender, self._clock.steady())
        return left if left <= min(HELD, item.received_at + HELD - self._clock.now()) else 0.0

    async def fetch(self, item: Item) -> Message:
        """The message with what was missing, or with the reason why that is not there. Never raises for what WhatsApp or the disk does."""
        message = item.message
        if message is None:
            raise RuntimeError("a message without content is never fetched")
        if message.media is not None:
            return replace(message, media=await self._file(item, message.sender, message.media))
        return replace(message, votes=await self._votes(item, message))

    async def _file(self, item: Item, sender: str, media: Media) -> Media:
        if media.size > self._largest or not self._largest:
            return replace(media, problem=_("larger than {most} bytes").format(most=self._largest) if self._largest else _("not fetched"))
        if self._penalties.left(sender, self._clock.steady()):
            return replace(media, problem=_("not fetched: its sender's last file was not what its message said"))
        path = self._folder / MEDIA_NAME / f"{item.seq}{ending(media.mime, media.name)}"
        try:
            await asyncio.to_thread(make_media_folder, self._folder)
            async with asyncio.timeout(PATIENCE):
                size = await self._download(item, path, media.size or self._largest)
        except FileForged as error:
            self._penalties.charge(sender, self._clock.steady())
            self._teller.trouble("FILE_FORGED", _("a file was not what its message said; its sender's further files wait"), sparing=True)
            return replace(media, problem=str(error))
        except (WasessError, OSError, TimeoutError) as error:
            return replace(media, problem=str(error) or _("not within {seconds:.0f} s").format(seconds=PATIENCE))
        self._penalties.relieve(sender)
        return replace(media, path=str(path), size=size)

    async def _download(self, item: Item, path: Path, size: int) -> int:
        await self._quota.reserve(item.seq, size)
        fetched = 0
        try:
            fetched = await self._tried(item, path)
        finally:
            self._quota.release(item.seq, fetched)
        return fetched

    async def _tried(self, item: Item, path: Path) -> int:
        for pause in PAUSES:
            await self._online.wait()
            try:
                return await self._tether.download(item.raw, path, self._largest)
            except (UsageError, FileUnavailable):
                raise
            except WasessError:
                await asyncio.sleep(pause)
        await self._online.wait()
        return await self._tether.download(item.raw, path, self._largest)

    async def _votes(self, item: Item, message: Message) -> tuple[str, ...]:
        """The options by their texts, when the poll is here; else by their hashes."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._online.wait()
                chosen = await self._tether.votes(item.raw)
        except (WasessError, TimeoutError):
            return ()
        options = await self._mail.do(lambda mailbox: mailbox.options(message.chat, message.about))
        names = {hashlib.sha256(option.encode()).hexdigest(): option for option in options}
        return tuple(names.get(one, one) for one in chosen)
