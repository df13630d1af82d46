"""A bot that is a web address: each message is posted to it, signed; its answer may carry the reply.

What is sent, and stays as it is (new fields may come)::

    POST /whatsapp HTTP/1.1
    content-type: application/json
    webhook-id: msg_0d9ed1ccb1a2d9f4a4f25e0a6d2b8a35     the same at every try of one message
    webhook-timestamp: 1779984000                        of this try
    webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=

    {"type": "message", "timestamp": "2026-05-28T16:00:00Z", "data": {the fields of core.message.Message}}

``timestamp`` in the body is when the message was sent, in UTC. A file's ``path`` is on this machine. The signature is that of Standard Webhooks
(`delivery.signature`). A message is sent at least once: one whose answer was lost comes again under its ``webhook-id``.

What the answers mean is in `delivery.webhook_answer`, which addresses are allowed in `delivery.webhook_address`. Without an answer:

- no connection (no address, refused, no TLS), and no whole answer within the deadline, 15 s from asking: AWAY. That a message is itself the
  reason for the latter shows when others are answered meanwhile, and the dispatcher watches for that;
- the connection ended first: DIED, for the message may have been the reason.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from wasess import __version__
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.signature import Signer, webhook_id
from wasess.delivery.webhook_address import resolve as ask_system
from wasess.delivery.webhook_answer import confined, outcome_of
from wasess.delivery.webhook_connection import NOT_ALLOWED, NOT_PROVEN, Connections, Crowded, HungUp, NotHttp, Unreachable
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.message import Message
    from wasess.delivery.bot import Tell
    from wasess.delivery.webhook_address import Resolve
    from wasess.delivery.webhook_spec import WebhookSpec

DEADLINE = 15.0  # from asking to the end of the answer
CONNECT_DEADLINE = 5.0  # of it: name, connection and TLS
TOLD_AGAIN_AFTER = 600.0
LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999, beyond which no date can be written


class WebhookBot:
    """The address behind the `delivery.bot.Bot` door."""

    at_once = 32
    # 5 s to 10 h, 27.6 h in all: over a night, a deployment gone wrong and the day it takes to notice.
    pauses = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)

    def __init__(
        self,
        spec: WebhookSpec,
        tell: Tell,
        *,
        deadline: float = DEADLINE,
        connect_deadline: float = CONNECT_DEADLINE,
        resolve: Resolve = ask_system,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``tls``: whom to trust, by default whom this machine trusts. ``clock`` gives Unix time."""
        self._spec = spec
        self._tell = tell
        self._deadline = deadline
        self._clock = clock
        self._signer = Signer(spec.secrets)
        context = (tls or ssl.create_default_context()) if spec.scheme == "https" else None
        self._connections = Connections(spec, resolve, context, connect_deadline)
        self._asked: set[asyncio.Task[Outcome]] = set()
        self._told: dict[str, float] = {}

    async def ask(self, message: Message) -> Outcome:
        """See `delivery.bot.Bot`."""
        asking = asyncio.create_task(self._ask(message))
        self._asked.add(asking)
        asking.add_done_callback(self._asked.discard)
        try:
            await asyncio.wait({asking})
        finally:
            asking.cancel()
        return Outcome(Verdict.RESTARTED) if asking.cancelled() else asking.result()

    async def close(self) -> None:
        """See `delivery.bot.Bot`."""
        doomed = list(self._asked)
        for asking in doomed:
            asking.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        await self._connections.close()

    async def _ask(self, message: Message) -> Outcome:
        body = encode(message)
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._connections.post(self._headers(message, body), body)
        except TimeoutError:
            return Outcome(Verdict.AWAY, detail=_("no answer within {seconds:.0f} s").format(seconds=self._deadline))
        except Unreachable as problem:
            if problem.code:
                self._warn(problem.code, str(problem))
            return Outcome(Verdict.AWAY, detail=str(problem))
        except HungUp:
            return Outcome(Verdict.DIED, detail=_("the connection ended before the answer"))
        except Crowded:
            return Outcome(Verdict.AWAY, detail=_("other large answers are being read"))
        except NotHttp:
            return Outcome(Verdict.RAISED, detail=_("what it answered is no HTTP"))
        return confined(outcome_of(answer, self._clock()), message, self._spec)

    def _headers(self, message: Message, body: bytes) -> list[tuple[str, str]]:
        return [
            ("host", self._spec.authority),
            ("user-agent", f"wasess/{__version__}"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            *self._signer.headers(webhook_id(message), self._clock(), body),
        ]

    def _warn(self, code: str, problem: str) -> None:
        """Tell where the name leads, or who listens there, whatever else is wrong: it is a mistake, or an attack. The same every ten minutes at most."""
        now = self._clock()
        if now - self._told.get(problem, -TOLD_AGAIN_AFTER) < TOLD_AGAIN_AFTER:
            return
        self._told[problem] = now
        sentence = {
            NOT_ALLOWED: _(
                "the webhook {webhook} gets no messages: {problem}; if it is meant to lead there, allow it with --webhook-allow"
            ),
            NOT_PROVEN: _(
                "the webhook {webhook} gets no messages: {problem}; run the receiver as this user, or on a unix socket (http+unix:),"
                " or let it answer the challenge: docs/bots.md"
            ),
        }[code]
        self._tell(Trouble(code, sentence.format(webhook=self._spec, problem=problem), level="error"))


def encode(message: Message) -> bytes:
    """Return the body: the same at every try of one message."""
    moment = datetime.fromtimestamp(min(max(message.timestamp, 0.0), LAST_MOMENT), UTC)
    return msgspec.json.encode({"type": "message", "timestamp": moment, "data": message})
