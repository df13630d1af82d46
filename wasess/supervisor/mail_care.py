"""Looks after a session's mail files now and then: brings to the disk what is committed, deletes what is old, replaces what is damaged."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from wasess.errors import WasessError
from wasess.store.mail_checkpoint import settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.core.clock import Clock
    from wasess.delivery.mail_queue import MailQueue
    from wasess.delivery.mailbox import Mailbox
    from wasess.supervisor.intake import Intake

SETTLED_EVERY = 30.0
SETTLED_AFTER = 300  # rows written: some hundred messages, 4 MiB of the WAL
FORGOTTEN_EVERY = 600.0

# One for all sessions: several at once keep the event loop from its turn for a tenth of a second.
_SETTLER = ThreadPoolExecutor(1, "settler")


class MailCare:
    """Of one session, as long as its mail is open. ``keep``: seconds after which texts of messages that are done with are deleted, and their ids.

    ``set_aside``: folders with damaged files that nobody has taken away yet. ``begun_anew`` is told of a further one, and that the mail is empty.
    """

    def __init__(
        self,
        folder: Path,
        queue: MailQueue,
        intake: Intake,
        clock: Clock,
        keep: tuple[float, float],
        set_aside: list[Path],
        begun_anew: Callable[[Path], None],
    ) -> None:
        self.set_aside = set_aside
        self._folder = folder
        self._queue = queue
        self._intake = intake
        self._clock = clock
        self._keep_texts, self._keep_ids = keep
        self._begun_anew = begun_anew
        self._tending: asyncio.Task[None] | None = None
        self._settle_at = self._forget_at = 0.0
        self._settled = -1  # how many rows were written by then; at first, what an earlier manager has left is settled
        self._forgot = True  # an earlier manager may have been killed before all was wiped out

    def tend(self) -> None:
        """See whether something is due, and have it done. What a disk refuses is tried again."""
        now = self._clock.steady()
        if (self._tending is not None and not self._tending.done()) or self._queue.fault():
            return
        if self._queue.damage:
            self._tending = asyncio.create_task(self._begin_anew())
        elif now >= self._settle_at or self._queue.changes >= self._settled + SETTLED_AFTER:
            self._settle_at = now + SETTLED_EVERY
            self._tending = asyncio.create_task(self._settle(now))

    async def close(self) -> None:
        """Wait for what is being done: it has the files open, and whoever stopped the session may want to move or delete them."""
        if self._tending is not None:
            await asyncio.wait([self._tending])

    async def _settle(self, now: float) -> None:
        """What is not done this time is done the next."""
        with suppress(WasessError):
            if now >= self._forget_at:
                self._forget_at = now + FORGOTTEN_EVERY
                wall = self._clock.now()
                self._forgot |= await self._queue.do(lambda mailbox: mailbox.forget(wall - self._keep_texts, wall - self._keep_ids))
            if self._queue.changes != self._settled or self._forgot:
                changes, forgot = self._queue.changes, self._forgot
                done = await asyncio.get_running_loop().run_in_executor(_SETTLER, partial(settle, self._folder, forgot=forgot))
                self._settled = changes if done else -1
                self._forgot = forgot and not done
        if self.set_aside:
            self.set_aside = [kept for kept in self.set_aside if kept.exists()]

    async def _begin_anew(self) -> None:
        """A page of the open file makes no sense: as at a start, it is set aside, and the spool brings what it still holds."""
        now = self._clock.now()

        def begin(mailbox: Mailbox) -> Path:
            kept = mailbox.begin_anew()
            mailbox.mail_lost(now)
            self._intake.begin_anew()
            return kept

        with suppress(WasessError):  # the next round tries it again
            kept = await self._queue.do(begin)
            self.set_aside = [kept]
            self._settled = -1
            self._begun_anew(kept)
