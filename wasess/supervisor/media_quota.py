"""Keeps the files of a session's messages within ``--media-quota``: the oldest of those that nobody waits for go first.

What waits for the bot, or is to be sent, is never deleted. When that alone fills the quota, no further file is fetched, and each message says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasess.errors import FileUnavailable
from wasess.store.media import MediaFile, delete_media, media_files
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from wasess.delivery.mail_queue import MailQueue
    from wasess.delivery.mailbox import Mailbox
    from wasess.supervisor.teller import Teller

MEBIBYTE = 2**20
# So that not every further file has the folder read again.
DELETED_BEYOND = 0.1
# At a time, beyond what must be: each has its row changed, and the session's other mail waits.
MOST_DELETED = 200


class MediaQuota:
    """Of one session; ``most`` bytes, 0 for any number. ``full``: the last file that came had no room."""

    def __init__(self, folder: Path, mail: MailQueue, most: int, teller: Teller) -> None:
        self.full = False
        self.folder = folder
        self._mail = mail
        self._most = most
        self._teller = teller
        self._used: int | None = None  # an upper bound: what is forgotten with its message is noticed when room is made
        self._coming: dict[int, int] = {}
        self._making_room = asyncio.Lock()

    async def reserve(self, position: int, size: int) -> None:
        """Make room for the file of a message; give it back with `release`. Raises `FileUnavailable`, OSError, `errors.StoreError`."""
        if not self._most:
            return
        if size > self._most:
            raise FileUnavailable(_("larger than the quota of {most} MiB (--media-quota)").format(most=self._most // MEBIBYTE))
        async with self._making_room:
            if self._used is None or self._total(size) > self._most:
                await self._look(size)
            self.full = self._total(size) > self._most
            if self.full:
                limit = _("the files that wait fill the quota of {most} MiB (--media-quota)").format(most=self._most // MEBIBYTE)
                self._teller.trouble("MEDIA_FULL", limit, sparing=True)
                raise FileUnavailable(limit)
            self._coming[position] = size

    def release(self, position: int, size: int) -> None:
        """The file has come, with so many bytes, or 0 when it has not."""
        if self._coming.pop(position, None) is not None:
            self._used = (self._used or 0) + size

    def _total(self, size: int) -> int:
        return (self._used or 0) + sum(self._coming.values()) + size

    async def _look(self, size: int) -> None:
        """See what is there, and delete what is old, if that is needed."""
        found = await asyncio.to_thread(media_files, self.folder)
        stale = [file.name for file in found if file.part and file.position not in self._coming]
        files = sorted((file for file in found if not file.part and file.position not in self._coming), key=lambda file: file.position)
        self._used = sum(file.size for file in files)
        excess = self._total(size) - self._most
        doomed = await self._oldest(files, excess) if excess > 0 else []
        if doomed:
            why = _("deleted: the quota of {most} MiB was used up (--media-quota)").format(most=self._most // MEBIBYTE)
            await self._mail.do(lambda mailbox: _forget(mailbox, doomed, why))
        gone = set(await asyncio.to_thread(delete_media, self.folder, [*stale, *(file.name for file in doomed)]))
        self._used -= sum(file.size for file in doomed if file.name in gone)
        if doomed:
            count = plural("{count} file of an old message was deleted", "{count} files of old messages were deleted", len(doomed))
            sentence = _("{deleted} to stay within --media-quota ({most} MiB)").format(
                deleted=count.format(count=len(doomed)), most=self._most // MEBIBYTE
            )
            self._teller.trouble("MEDIA_QUOTA", sentence, level="info", sparing=True)

    async def _oldest(self, files: list[MediaFile], excess: int) -> list[MediaFile]:
        """Those that are deleted: for what is too much, and a little more; none when that would not be enough."""
        needed = await self._mail.do(lambda mailbox: mailbox.needed())
        doomed: list[MediaFile] = []
        freed = 0
        for file in files:
            if freed >= excess and (freed >= excess + self._most * DELETED_BEYOND or len(doomed) >= MOST_DELETED):
                break
            if file.position not in needed:
                doomed.append(file)
                freed += file.size
        return doomed if freed >= excess else []


def _forget(mailbox: Mailbox, doomed: Iterable[MediaFile], why: str) -> None:
    """Their messages say first that they are gone: a file that stays, for a crash, is found the next time."""
    for file in doomed:
        mailbox.inbox.lose_file(file.position, why)
