"""Starts workers: the real `link.port.LinkHost`. No thread per worker; all on the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.core.client_version import BUILT_IN, build_hash
from wasess.link import protobuf
from wasess.link.fetcher import Fetcher
from wasess.link.nursery import Nursery
from wasess.link.versions import Versions
from wasess.link.worker_link import WorkerLink

if TYPE_CHECKING:
    from wasess.link.contract import Contract
    from wasess.link.port import LinkSpec


class WorkerHost:
    """Runs each session in a process of its own, which may have ``files`` descriptors open.

    With a ``contract`` all of them talk to that stand-in. ``durable``: what they acknowledge is on the disk, not only in the kernel's hands.
    ``versions``: which client version they announce.
    """

    def __init__(
        self, contract: Contract | None = None, files: int = 256, *, durable: bool = False, versions: Versions | None = None
    ) -> None:
        self._contract = contract
        self._versions = versions or Versions(contract)
        self._durable = durable
        self._files = files
        self._nursery: Nursery | None = None
        self._fetcher = Fetcher(contract)
        self._starting = asyncio.Lock()
        self._workers: set[WorkerLink] = set()
        self._loading: asyncio.Task[object] | None = None

    async def start(self, spec: LinkSpec) -> WorkerLink:
        """Start a session's process. Raises `errors.WorkerFailed` or `errors.UnsupportedPlatform` when no process can be had."""
        nursery = await self._living_nursery()
        number = await self._versions.number(spec)
        order = {
            "user": spec.user,
            "folder": str(spec.folder.absolute()),
            "mode": spec.mode,
            "obstacle": spec.obstacle[0],
            "problem": spec.obstacle[1],
            "files": self._files,
            "durable": self._durable,
            "library": str(nursery.library),
            "proxy": self._contract.proxy_for(spec.user) if self._contract else "",
            "root_key": self._contract.root_key.hex() if self._contract else "",
            "announce": [number, build_hash(number).hex()] if number > BUILT_IN else [],
        }
        worker = await _start(nursery, order, self._fetcher)
        self._workers.add(worker)
        worker.over.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    async def close(self) -> None:
        """End every link, what is being fetched, and the fork server."""
        await asyncio.gather(self._fetcher.close(), *(worker.stop() for worker in tuple(self._workers)))
        if self._nursery:
            await self._nursery.close()
            self._nursery = None
        if self._loading:
            await self._loading

    async def _living_nursery(self) -> Nursery:
        async with self._starting:
            if self._nursery and not self._nursery.alive:
                await self._nursery.close()
                self._nursery = None
            if not self._nursery:
                # Meanwhile, and while the first workers dial, a thread loads what their first event will need.
                self._loading = self._loading or asyncio.create_task(asyncio.to_thread(protobuf.neonize))
                self._nursery = await Nursery.start(self._contract)
            return self._nursery


async def _start(nursery: Nursery, order: dict[str, Any], fetcher: Fetcher) -> WorkerLink:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    output, their_output = os.pipe()
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        child = await nursery.fork(order, [theirs.fileno(), wake, their_output])
    except BaseException:
        control.close()
        os.close(output)
        os.close(wake)
        raise
    finally:
        theirs.close()
        os.close(their_output)
    control.setblocking(False)  # noqa: FBT003 - the socket's own signature
    os.set_blocking(output, False)
    return WorkerLink(child, order["user"], Path(order["folder"]), fetcher, control, wake, output)
