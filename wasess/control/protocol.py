"""One connection to the control socket: uvicorn's HTTP, with deadlines that it lacks, and a place for whoever comes next.

uvicorn waits without end for the head and the body of a request, and for an answer to be taken; beyond its limit it refuses everybody. Here
each of these has a deadline of its own, counted from its begin, so that one byte a second does not help. When there are many connections,
the one that has been waited for longest makes room for a new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from wasess.control.address import peer_uid
from wasess.control.exchange import failure_document

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HEAD_WITHIN = 5.0  # seconds, from the connection's begin, or from the end of the answer before
BODY_WITHIN = 10.0  # from the end of the head
TAKEN_WITHIN = 30.0  # an answer, from when the peer takes no more of it
MOST_AT_ONCE = 64  # beyond, the one that was waited for longest goes
MOST_AT_ALL = 256
YOUNG = 0.5  # seconds in which a peer may say what it has come for


class ControlProtocol(H11Protocol):
    """Hangs up on every other user's process before it has said a word: the folder's mode keeps them out, and this does too.

    ``waited_for_since``: when the loop's time was, while a head or a body is awaited; None while the peer waits for us.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waited_for_since: float | None = None
        self._awaited: object = None
        self._deadline: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself overrides it
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if peer_uid(transport.get_extra_info("socket")) not in {os.geteuid(), 0}:
            transport.abort()
            return
        self._watch()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in filter(None, (self._deadline, self._untaken)):
            timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._careful(lambda: super(ControlProtocol, self).data_received(data))

    def on_response_complete(self) -> None:
        """See `H11Protocol`."""
        self._careful(super().on_response_complete)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._untaken = self.loop.call_later(TAKEN_WITHIN, self.transport.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._untaken:
            self._untaken.cancel()

    def send_400_response(self, msg: str) -> None:
        """See `H11Protocol`: as a document, like all failures."""
        self._refuse(400, msg)

    def hang_up(self) -> None:
        """End a connection that has taken too long; in the middle of a request it is told so."""
        if self._awaited is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._refuse(408, "The request took too long.")
        if self.transport.get_write_buffer_size() or not self.transport.is_closing():
            self.transport.abort()

    def _careful(self, step: Callable[[], None]) -> None:
        """After a peer's mistake uvicorn goes on as if there had been none, and h11 refuses: that is the end, and no error of ours."""
        try:
            step()
        except h11.ProtocolError:
            self._answer_no_more()
            self.transport.abort()
        self._watch()

    def _watch(self) -> None:
        """Set the deadline of what is awaited now. One that runs goes on."""
        awaited = None if self.transport.is_closing() else self.conn.their_state
        if awaited is self._awaited:
            return
        self._awaited = awaited
        if self._deadline:
            self._deadline.cancel()
        within = HEAD_WITHIN if awaited is h11.IDLE else BODY_WITHIN if awaited is h11.SEND_BODY else None
        self.waited_for_since = None if within is None else self.loop.time()
        self._deadline = None if within is None else self.loop.call_later(within, self.hang_up)

    def _make_room(self) -> None:
        connections = [found for found in self.connections if isinstance(found, ControlProtocol) and not found.transport.is_closing()]
        waited_for = [(found.waited_for_since, id(found), found) for found in connections if found.waited_for_since is not None]
        if len(connections) <= MOST_AT_ONCE or not waited_for:
            return
        since, _, longest = min(waited_for)
        if self.loop.time() - since > YOUNG or len(connections) > MOST_AT_ALL:
            longest.hang_up()

    def _answer_no_more(self) -> None:
        """A request that is being worked on learns that its peer has gone: h11 would raise at its answer."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _refuse(self, status: int, sentence: str) -> None:
        self._answer_no_more()
        document = failure_document("USAGE", sentence)
        fields = [("content-type", "application/json"), ("content-length", str(len(document))), ("connection", "close")]
        try:
            for event in (h11.Response(status_code=status, headers=fields), h11.Data(data=document), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.ProtocolError:  # an answer has begun already
            self.transport.abort()
        else:
            self.transport.close()
