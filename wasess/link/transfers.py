"""How many files a session sends at once: the library has each in memory several times, and a worker may not need more than 256 MiB."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from wasess.link.errands import MAX_FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# A larger one goes alone; WhatsApp's own pictures, sounds and videos rarely are.
LARGE = 16 * 2**20


class Transfers:
    """Places for files; who comes first is served first, a large file takes all of them."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._free = asyncio.Semaphore(MAX_FILES)

    @contextlib.asynccontextmanager
    async def place(self, size: int) -> AsyncIterator[None]:
        """Wait for room for a file of so many bytes; an unknown size, 0, is a large one."""
        wanted = 1 if 0 < size <= LARGE else MAX_FILES
        async with contextlib.AsyncExitStack() as taken:
            async with self._turn:
                for _ in range(wanted):
                    await taken.enter_async_context(self._free)
            yield
