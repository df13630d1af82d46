"""Copies what replies carry, before they are queued: `store.outgoing_files` in threads, for a disk or a network folder may be slow.

Two threads for all sessions. A copy that is not there in time is given up; its thread is not: one that never comes back is one of two, and then
each reply with a file fails after the same time, while everything else goes on.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from wasess.delivery.replies import BadReply
from wasess.errors import UsageError
from wasess.store.outgoing_files import ANYWHERE, NotSent, OutgoingFiles
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from wasess.core.message import Reply
    from wasess.store.outgoing_files import Sources

WITHIN = 60.0  # seconds, for all files of one answer
_COPIERS = ThreadPoolExecutor(2, "outgoing")


class Enclosures:
    """Of the session with this ``folder``. ``secret``: files that are never sent."""

    def __init__(self, folder: Path, secret: Collection[Path] = ()) -> None:
        self._files = OutgoingFiles(folder, secret)

    async def keep(self, replies: Sequence[Reply], sources: Sources) -> tuple[str, ...]:
        """Return the name of the copy of each reply's file, empty for one without. ``sources``: where files that are named may be.

        Raises `BadReply` for what is not sent, and `errors.StoreError` when the disk refuses.
        """
        if not any(reply.file or reply.data for reply in replies):
            return ("",) * len(replies)
        copying = asyncio.get_running_loop().run_in_executor(_COPIERS, self._keep, replies, sources)
        try:
            async with asyncio.timeout(WITHIN):
                return await copying
        except TimeoutError:
            raise BadReply(_("the file of a reply could not be read within {seconds:.0f} s").format(seconds=WITHIN)) from None

    async def keep_one(self, reply: Reply) -> str:
        """The same for a reply whose file may be anywhere. Raises `errors.UsageError` for what is not sent."""
        try:
            (kept,) = await self.keep([reply], ANYWHERE)
        except BadReply as error:
            raise UsageError(str(error)) from error
        return kept

    def keep_one_now(self, reply: Reply) -> str:
        """The same, for a process that does nothing else meanwhile."""
        try:
            return self._kept(reply, ANYWHERE)
        except NotSent as error:
            raise UsageError(str(error)) from error

    def _keep(self, replies: Sequence[Reply], sources: Sources) -> tuple[str, ...]:
        try:
            return tuple(self._kept(reply, sources) for reply in replies)
        except NotSent as error:
            raise BadReply(str(error)) from error

    def _kept(self, reply: Reply, sources: Sources) -> str:
        if reply.data:
            return self._files.write([reply.data])
        return self._files.copy(reply.file, sources) if reply.file else ""
