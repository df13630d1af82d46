"""Listens on the control socket for as long as the manager runs: HTTP by uvicorn, for processes of the home's owner (and root) alone.

Nothing here may harm a session: a socket that can't be had is told and done without, and what a peer sends is bounded.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from wasess.control.address import SOCKET_NAME, listening
from wasess.control.app import application
from wasess.control.listener import keep_listening
from wasess.control.protocol import MOST_AT_ALL, MOST_AT_ONCE, ControlProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from wasess.control.door import Manager

LONGEST_HEAD = 16 * 1024
NEVER = 10**6  # seconds: `control.protocol` has the deadlines
ENDS_WITHIN = 1


@asynccontextmanager
async def serving(home: Path, manager: Manager, complain: Callable[[str], None]) -> AsyncIterator[None]:
    """Answer for ``manager`` inside the ``async with`` block; only for the holder of the home's lock.

    ``complain`` is called with a sentence when the home can't have a socket now; that is tried again and again.
    """
    listeners = []
    try:
        listeners.append(listening(home))
    except OSError as error:
        complain(str(error))
    server = _Server(_config(manager))
    serving = asyncio.create_task(server.serve(sockets=listeners))
    keeping = keep_listening(home, server, complain, listens=bool(listeners))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(OSError):
            (home / SOCKET_NAME).unlink()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=ENDS_WITHIN + 1)
        serving.cancel()
        for listener in listeners:
            listener.close()


def _config(manager: Manager) -> uvicorn.Config:
    return uvicorn.Config(
        application(manager),
        http=ControlProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        limit_concurrency=MOST_AT_ALL + MOST_AT_ONCE,
        timeout_keep_alive=NEVER,
        timeout_graceful_shutdown=ENDS_WITHIN,
    )


class _Server(uvicorn.Server):
    """Leaves signals to the manager."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`."""
        yield
