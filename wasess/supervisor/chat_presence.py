"""Shows people what becomes of their messages: that one was read, and that the bot types. What does not work is no harm."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.errors import WasessError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from wasess.core.message import Message
    from wasess.supervisor.tether import Tether

MOST_AT_ONCE = 16  # strangers may write faster than WhatsApp takes this


class ChatPresence:
    """Of one session. ``read_receipts``: tell senders that a message was read when the bot gets it. ``typing``: show them that the bot thinks."""

    def __init__(self, tether: Tether, *, read_receipts: bool, typing: bool) -> None:
        self._tether = tether
        self._read_receipts = read_receipts
        self._typing = typing
        self._tasks: set[asyncio.Task[None]] = set()

    def attend(self, message: Message, *, begins: bool) -> None:
        """The bot gets a message, or is done with it."""
        if self._read_receipts and begins:
            self._show(self._tether.mark_read(message.chat, message.sender, [message.id]))
        if self._typing:
            self._show(self._tether.typing(message.answer_to, on=begins))

    def close(self) -> None:
        """Stop at once."""
        for task in self._tasks:
            task.cancel()

    def _show(self, request: Coroutine[None, None, None]) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            request.close()
            return

        async def ask() -> None:
            with suppress(WasessError):
                await request

        task = asyncio.create_task(ask())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
