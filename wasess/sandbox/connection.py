"""One companion's live connection: stanzas out in order, questions with answers, and the faults that bend answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING

from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node

if TYPE_CHECKING:
    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.gateway import Wire
    from wasess.sandbox.state import Device

SERVER = Jid("")
"""``from=s.whatsapp.net``: an address with an empty user (PROTOCOL.md §3)."""

LINGER = 0.1
"""Seconds between a last stanza and the close. The client's handler races with its socket's end: after 0 ms 2 of 25 stanzas
were lost, after 5 ms none (PROTOCOL.md §6, STANZA LOSS)."""


class Connection:
    """Wraps a `Wire`. Everything that goes out passes `push`, so its order is the order of the calls."""

    def __init__(self, wire: Wire, faults: FaultBook) -> None:
        self.wire = wire
        self.user = wire.user
        self.device: Device | None = None
        self._faults = faults
        self._outbox: asyncio.Queue[Node | None] = asyncio.Queue()
        self._asked: dict[str, asyncio.Future[Node]] = {}
        self._ids = itertools.count(1)
        self._held: Node | None = None
        self._writer = asyncio.create_task(self._write())
        self._closing: asyncio.Task[None] | None = None

    def next_id(self) -> str:
        """A stanza id of the server's."""
        return f"{self.wire.id}-{next(self._ids)}"

    def push(self, node: Node) -> None:
        """Send a stanza after all that were pushed before."""
        self._outbox.put_nowait(node)

    def push_message(self, node: Node) -> None:
        """Send a chat message, bent by the ``duplicate`` and ``reorder`` faults."""
        if self._held is None and self._faults.take(self.user, "reorder"):
            self._held = node
            return
        self.push(node)
        if self._faults.take(self.user, "duplicate"):
            self.push(node)
        if self._held is not None:
            held, self._held = self._held, None
            self.push(held)

    def answer(self, node: Node, kind: str) -> None:
        """Send an answer of a kind (``ping``, ``iq``, ``ack``), unless it is muted; later, when answers are slow."""
        for fault in self._faults.active(self.user):
            if fault.kind == "mute" and fault.value in ("", "all", kind) and self._faults.take(self.user, "mute"):
                return
        slow = self._faults.take(self.user, "slow")
        if slow is None:
            self.push(node)
        else:
            asyncio.get_running_loop().call_later(float(slow.value or "1"), self.push, node)

    def result(self, question: Node, *content: Node) -> None:
        """Answer an iq with a result."""
        kind = "ping" if question.text("xmlns") == "w:p" else "iq"
        self.answer(Node("iq", {"from": SERVER, "type": "result", "id": question.text("id")}, list(content) or None), kind)

    def error(self, question: Node, code: int, text: str) -> None:
        """Answer an iq with an error."""
        reason = Node("error", {"code": str(code), "text": text})
        self.answer(Node("iq", {"from": SERVER, "type": "error", "id": question.text("id")}, [reason]), "iq")

    async def ask(self, xmlns: str, *content: Node, seconds: float = 20) -> Node:
        """Send an iq of the server's and wait for the client's answer.

        Raises:
            TimeoutError: none came.
            ConnectionError: the connection ended first.
        """
        question_id = self.next_id()
        self._asked[question_id] = asyncio.get_running_loop().create_future()
        self.push(Node("iq", {"from": SERVER, "type": "set", "id": question_id, "xmlns": xmlns, "t": str(int(time.time()))}, list(content)))
        try:
            async with asyncio.timeout(seconds):
                return await self._asked[question_id]
        finally:
            self._asked.pop(question_id, None)

    def answered(self, node: Node) -> bool:
        """Take an iq result or error as the answer to a question of ours; whether it was one."""
        waiting = self._asked.get(node.text("id"))
        if waiting is None or waiting.done() or node.text("type") not in ("result", "error"):
            return False
        waiting.set_result(node)
        return True

    def end(self, *last_words: Node, code: int = 1000) -> None:
        """Say the last words, let the client read them, then close."""
        for node in last_words:
            self.push(node)
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(code))

    async def keep_alive(self, every: float) -> None:
        """The server's half of the keepalive: ping, and cut off a companion that does not answer before the next ping is due.

        In a black hole nobody learns of anything, so nothing is asked and nothing is cut.
        """
        while True:
            answered = self.wire.pongs
            self.wire.ping()
            await asyncio.sleep(every)
            if self.wire.pongs == answered and not self.wire.frozen:
                self.wire.reset()
                return

    async def ended(self) -> None:
        """Clean up after the wire has ended."""
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the companion hung up"))
        self._outbox.put_nowait(None)
        await self._writer
        if self._closing is not None:
            self._closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._closing

    async def _close(self, code: int) -> None:
        await asyncio.sleep(LINGER)
        await self.wire.close(code)

    async def _write(self) -> None:
        while (node := await self._outbox.get()) is not None:
            with contextlib.suppress(ConnectionError):
                await self.wire.send(node)
