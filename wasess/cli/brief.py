"""A manager of a command's own, for as long as the command needs it: while no `wasess serve` runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from wasess.assembly import brief_manager, realm
from wasess.errors import Interrupted
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from wasess.store.sessions import Home
    from wasess.supervisor.operations import Operations
    from wasess.supervisor.supervisor import Supervisor

Answer = TypeVar("Answer")


def briefly(
    home: Home,
    contract: Path | None,
    users: tuple[str, ...],
    purpose: str,
    work: Callable[[Operations], Awaitable[Answer]],
    wa_version: str = "",
) -> Answer:
    """Bring these sessions up (all, when none is named), do the work, take them down again; return what the work came to.

    Raises what the work raises, and what keeps a manager from running.
    """
    logging.getLogger("wasess").addHandler(logging.NullHandler())  # what the library says of a connection that ends is no news here
    return asyncio.run(_briefly(lambda: brief_manager(home, realm(contract), users, purpose, wa_version), work))


async def _briefly(start: Callable[[], tuple[Supervisor, Operations]], work: Callable[[Operations], Awaitable[Answer]]) -> Answer:
    supervisor, operations = start()
    running = asyncio.create_task(supervisor.run())
    working = asyncio.ensure_future(work(operations))
    try:
        await asyncio.wait({running, working}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # raises what keeps it from running
        if supervisor.stopping:
            raise Interrupted(_("stopped by a signal"))
        return working.result()
    finally:
        working.cancel()
        supervisor.stop()
        with suppress(Exception):
            await running
