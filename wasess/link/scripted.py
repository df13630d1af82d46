"""A stand-in for `link.host` that runs no process: a script (a test, a drill) says what the sessions do.

It keeps the door's promises: signals in order, ``started`` first, ``ended`` last and once, events in the session's real spool. As a worker does,
it ends when that is not at its name any more, or was cut; what it has written since is not acknowledged, and `ScriptedHost` brings it again.

::

    host = ScriptedHost()
    link = await host.start(spec)
    host.links["alice"].frames(3, Connected(Status=True).SerializeToString())
    host.links["alice"].end("library-returned", "the pump died")
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, NamedTuple

from wasess.errors import WasessError, WorkerFailed
from wasess.link.attachment import attach
from wasess.link.outgoing import compose
from wasess.link.port import LinkSignal, Vitals
from wasess.link.requests import (
    address_request,
    copy_request,
    download_request,
    key_request,
    pair_phone_request,
    path_request,
    read_request,
    typing_request,
    vote_request,
)
from wasess.link.spool_file import SpoolFile
from wasess.store.frame import frame
from wasess.store.spool import SPOOL_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from wasess.core.message import Message, Reply
    from wasess.link.port import LinkSpec

FIRST_PID = 100_000
CODE = "ABCD-EFGH"


class Sent(NamedTuple):
    """What `ScriptedLink.send` was given; ``content``: of the copy of the reply's file."""

    to: str
    reply: Reply
    quoted: Message | None
    key: str
    content: bytes = b""


class ScriptedLink:
    """A `link.port.Link`. ``sent`` (address and text), ``replies``, ``read``, ``typed``, ``phones``, ``probes``, ``presences`` and ``fetched`` (names of files) record what was asked.

    ``file`` is what `download` writes, or raises; ``chosen`` what `votes` returns. ``refusal`` makes every call fail with that text, ``silent_probe`` makes `probe` wait for ever; ``vital`` is what `vitals` returns.
    """

    def __init__(self, spec: LinkSpec, pid: int) -> None:
        self.spec = spec
        self.pid = pid
        self.sent: list[tuple[str, str]] = []
        self.replies: list[Sent] = []
        self.read: list[tuple[str, str, tuple[str, ...]]] = []
        self.typed: list[tuple[str, bool]] = []
        self.file: bytes | WasessError = b"a file"
        self.fetched: list[str] = []
        self.chosen: tuple[str, ...] = ()
        self.phones: list[str] = []
        self.probes = 0
        self.presences: list[bool] = []
        self.vital = Vitals()
        self.silent_probe = False
        self.logged_out = False
        self.refusal = ""
        self.unacknowledged: list[tuple[int, bytes]] = []
        self.spool = SpoolFile(str(spec.folder / SPOOL_NAME))
        self.ended = asyncio.Event()
        self._signals: asyncio.Queue[LinkSignal] = asyncio.Queue()

    # --- link.port.Link -----------------------------------------------------------------------------------------------

    async def signals(self) -> AsyncIterator[LinkSignal]:
        """Everything that happens, in order; ends after ``ended``."""
        while True:
            found = await self._signals.get()
            yield found
            if found.kind == "ended":
                return

    async def send(self, to: str, reply: Reply, quoted: Message | None = None, key: str = "", kept: str = "") -> str:
        """Record it. Raises as the real one does for what can't be sent."""
        address_request(to)
        key_request(key)
        copy = copy_request(self.spec.folder, reply, kept)
        compose(to, reply, quoted, attach(reply, copy) if copy else None)
        self._agree()
        self.sent.append((to, reply.text))
        self.replies.append(Sent(to, reply, quoted, key, copy.read_bytes() if copy else b""))
        return f"3EB0{len(self.sent):018X}"

    async def download(self, raw: bytes, path: Path, most: int) -> int:
        """Write ``file`` there, or raise ``file`` when it is an error. Raises as the real one does for a message without a file and a path elsewhere."""
        download_request(raw, most)
        path_request(path, self.spec.folder)
        self._agree()
        self.fetched.append(path.name)
        if isinstance(self.file, WasessError):
            raise self.file
        return await asyncio.to_thread(path.write_bytes, self.file)

    async def votes(self, raw: bytes) -> tuple[str, ...]:
        """Return ``chosen``. Raises as the real one does for what is no vote."""
        vote_request(raw)
        self._agree()
        return self.chosen

    async def mark_read(self, chat: str, sender: str, ids: Sequence[str]) -> None:
        """Record it. Raises as the real one does for bad addresses and ids."""
        read_request(chat, sender, ids)
        self._agree()
        self.read.append((chat, sender, tuple(ids)))

    async def typing(self, chat: str, *, on: bool) -> None:
        """Record it."""
        typing_request(chat, on=on)
        self._agree()
        self.typed.append((chat, on))

    async def probe(self) -> None:
        """Record it; answer at once, or never."""
        self._agree()
        self.probes += 1
        if self.silent_probe:
            await self.ended.wait()
            raise WorkerFailed("The session ended before it could answer.")

    async def presence(self, *, available: bool) -> None:
        """Record it."""
        self._agree()
        self.presences.append(available)

    def vitals(self) -> Vitals:
        """Return ``vital``; all unknown after the end."""
        return Vitals() if self.ended.is_set() else self.vital

    async def pairing_code(self, phone: str) -> str:
        """Record it. Raises as the real one does for a bad number."""
        pair_phone_request(phone)
        self._agree()
        self.phones.append(phone)
        return CODE

    async def logout(self) -> None:
        """Record it and end."""
        self._agree()
        self.logged_out = True
        await self.stop()

    async def stop(self) -> None:
        """End."""
        self.end("stopped")

    def kill(self) -> None:
        """End."""
        self.end("stopped")

    # --- the script ------------------------------------------------------------------------------------------------------

    def say(self, signal: LinkSignal) -> None:
        """Let the session say something; nothing after its end."""
        if not self.ended.is_set():
            self._signals.put_nowait(signal)

    def frames(self, code: int, *payloads: bytes) -> None:
        """Append events to the session's spool, as a worker does, and wake the reader; nothing after its end."""
        if self.ended.is_set():
            return
        for payload in payloads:
            self.spool.append(frame(code, payload))
            if self.spool.fault(1):
                self.unacknowledged.append((code, payload))
        self.say(LinkSignal("spooled"))
        if fault := self.spool.fault():
            self.end("files-replaced", f"{SPOOL_NAME} {fault}")

    def end(self, cause: str, detail: str = "") -> None:
        """End the process for this cause (`core.events.WorkerEnded`)."""
        if self.ended.is_set():
            return
        self.spool.sign_off()
        self.spool.close()
        self.say(LinkSignal("spooled"))
        self.say(LinkSignal("ended", cause, detail))
        self.ended.set()

    def _agree(self) -> None:
        if self.ended.is_set():
            raise WorkerFailed("The session is not running.")
        if self.refusal:
            raise WorkerFailed(self.refusal)


class ScriptedHost:
    """A `link.port.LinkHost`. ``links`` holds the newest link of every user, ``started`` all specs in order.

    ``refusal`` makes `start` fail with that text, as when no process can be had.
    """

    def __init__(self) -> None:
        self.links: dict[str, ScriptedLink] = {}
        self.started: list[LinkSpec] = []
        self.refusal = ""
        self._pids = itertools.count(FIRST_PID)

    async def start(self, spec: LinkSpec) -> ScriptedLink:
        """Start a scripted session; it has said ``started``."""
        self.started.append(spec)
        if self.refusal:
            raise WorkerFailed(self.refusal)
        before = self.links.get(spec.user)
        link = self.links[spec.user] = ScriptedLink(spec, next(self._pids))
        link.say(LinkSignal("started", str(link.pid), str(link.spool.end)))
        for code, payload in before.unacknowledged if before else ():
            link.frames(code, payload)
        return link

    async def close(self) -> None:
        """End every link."""
        for link in self.links.values():
            await link.stop()
