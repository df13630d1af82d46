"""Keeps the control socket at its name: a cleaner that deletes it would lock all commands out for as long as the manager runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.control.address import SOCKET_NAME, connected, listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import uvicorn

    _Identity = tuple[int, int, int] | None

LOOK_EVERY = 1.0


def keep_listening(home: Path, server: uvicorn.Server, complain: Callable[[str], None], *, listens: bool) -> asyncio.Task[None]:
    """Until cancelled: listen anew when nobody listens at the name any more. Connections that are open stay.

    Somebody else who listens there is left alone: only another manager does, and one of the two will end (`supervisor.rounds`).
    ``complain`` is told once when it can't be done. ``listens``: whether ``server`` does now; else ``complain`` has been told.
    """
    return asyncio.create_task(_keep(home, server, complain, _identity(home) if listens else None, told=not listens))


async def _keep(home: Path, server: uvicorn.Server, complain: Callable[[str], None], ours: _Identity, *, told: bool) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY)
        here = _identity(home)
        if (here == ours and ours is not None) or not server.started:
            continue
        try:
            if _answers(home):
                ours = here
                continue
            listener = listening(home)
            before = list(server.servers)
            await server.startup(sockets=[listener])
        except Exception as error:  # noqa: BLE001 - no descriptor, no memory, or a bug: the next look tries again
            if not told:
                complain(str(error) or type(error).__name__)
            told = True
            continue
        ours, told = _identity(home), False
        for one in before:
            one.close()


def _identity(home: Path) -> _Identity:
    """The time tells it from a later one that got its inode number."""
    with suppress(OSError):
        found = os.lstat(home / SOCKET_NAME)
        return found.st_dev, found.st_ino, found.st_ctime_ns
    return None


def _answers(home: Path) -> bool:
    """Whether somebody listens, as far as can be told without waiting."""
    try:
        connected(home, 0).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
