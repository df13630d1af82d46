"""The HTTP API of a running manager.

Version 1::

    GET  /v1/sessions                    {"manager": ManagerInfo, "sessions": [Live, …]}
    POST /v1/reconnect                   {"users": [USER, …] (none: all), "timeout": seconds, "wa_version": 2.3000.N or "auto" or ""}
                                         one Outcome a line, as they come
    POST /v1/sessions/USER/pause         {}
    POST /v1/sessions/USER/resume        {}
    POST /v1/sessions/USER/logout        {}   "kept": the folder that the credentials were set aside in
    POST /v1/sessions/USER/rename        {"name": USER}
    POST /v1/sessions/USER/remove        {}
    POST /v1/sessions/USER/send          {"to": ADDRESS, "reply": Reply, "key": KEY}            "letter": Sending; one message a key
    GET  /v1/sessions/USER/letters/POSITION?wait=sent|delivered&timeout=SECONDS                 "letter": Sending, by then at the latest
    POST /v1/sessions/USER/inbox/retry   {"positions": [POSITION, …]}                           "changed": [POSITION, …]
    POST /v1/sessions/USER/inbox/drop    {"positions": [POSITION, …]}                           "changed": [POSITION, …]
    POST /v1/sessions/USER/inbox/release {"chats": [ADDRESS, …] (none: all), "drop": false}     "released": [Released, …]
    POST /v1/sessions/USER/inbox/resend  {"positions": [POSITION, …]} of failed replies         "changed": [POSITION, …]
    POST …/inbox/drop-replies            the same                                               "changed": [POSITION, …]

The values are those of `core.live`, `core.sending` and `core.message`. A command's answer is ``{"ok": true, …}``; a failure's, with a status
other than 200, is ``{"ok": false, "error": {"code", "message", "retryable", "hint"}}``. Whoever may connect may do everything: see `control.server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from wasess.control import post
from wasess.control.client import Report
from wasess.control.exchange import Nothing, body, document, guarded, unknown
from wasess.core import client_version
from wasess.errors import Locked, UsageError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from wasess.control.door import Manager
    from wasess.core.live import Outcome

LONGEST_WAIT = 3600.0
MOST_RECONNECTS = 8  # at once: each has a connection for as long as it takes


class Repair(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/reconnect`` takes."""

    users: list[str] = []
    timeout: float = 60.0
    wa_version: str = ""


class NewName(msgspec.Struct, forbid_unknown_fields=True):
    """What ``…/rename`` takes."""

    name: str


def application(manager: Manager) -> Starlette:
    """The ASGI application around a manager."""
    api = _Api(manager)
    routes = [
        Route("/v1/sessions", guarded(api.sessions), methods=["GET"]),
        Route("/v1/reconnect", guarded(api.reconnect), methods=["POST"]),
        *post.routes(manager),
        Route("/v1/sessions/{user}/{verb}", guarded(api.command), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: unknown})


class _Api:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._reconnects = 0

    async def sessions(self, _request: Request) -> Response:
        return document(Report(self._manager.info(), self._manager.lives()))

    async def reconnect(self, request: Request) -> Response:
        """The first outcome, or the failure before it, decides on the status: nothing is sent until then."""
        wanted = await body(request, Repair)
        if not 0 < wanted.timeout <= LONGEST_WAIT:
            raise UsageError(_("a timeout is a number of seconds up to {most:.0f}").format(most=LONGEST_WAIT))
        if not client_version.is_wish(wanted.wa_version):
            raise UsageError(_("{text!r} is no client version that can be announced").format(text=wanted.wa_version))
        if self._reconnects >= MOST_RECONNECTS:
            raise Locked(_("the manager reconnects for others already"), hint=_("try again"))
        outcomes = aiter(self._reconnected(wanted))
        first = await anext(outcomes, None)

        async def lines() -> AsyncIterator[bytes]:
            if first is not None:
                yield msgspec.json.encode(first) + b"\n"
                async for outcome in outcomes:
                    yield msgspec.json.encode(outcome) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _reconnected(self, wanted: Repair) -> AsyncIterator[Outcome]:
        self._reconnects += 1
        try:
            async for outcome in self._manager.reconnect(wanted.users, wanted.timeout, wanted.wa_version):
                yield outcome
        finally:
            self._reconnects -= 1

    async def command(self, request: Request) -> Response:
        user, verb = request.path_params["user"], request.path_params["verb"]
        answer: dict[str, Any] = {"ok": True, "user": user}
        if verb == "rename":
            name = (await body(request, NewName)).name
            await self._manager.rename(user, name)
            return document(answer | {"user": name})
        await body(request, Nothing)
        if verb == "logout":
            return document(answer | {"kept": await self._manager.logout(user)})
        plain = {"pause": self._manager.pause, "resume": self._manager.resume, "remove": self._manager.remove}
        if verb not in plain:
            raise UsageError(_("the manager knows no command {verb}").format(verb=ascii(verb)))
        await plain[verb](user)
        return document(answer)
