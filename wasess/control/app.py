"""The HTTP API of a running manager.

Version 1::

    GET  /v1/sessions                    {"manager": ManagerInfo, "sessions": [Live, …]}
    POST /v1/reconnect                   {"users": [USER, …] (none: all), "timeout": seconds}   one Outcome a line, as they come
    POST /v1/sessions/USER/pause         {}
    POST /v1/sessions/USER/resume        {}
    POST /v1/sessions/USER/logout        {}   "kept": the folder that the credentials were set aside in
    POST /v1/sessions/USER/rename        {"name": USER}
    POST /v1/sessions/USER/remove        {}

The values are those of `core.live`. A command's answer is ``{"ok": true, …}``; a failure's, with a status other than 200, is
``{"ok": false, "error": {"code", "message", "retryable", "hint"}}``. Whoever may connect may do everything: see `control.server`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from wasess.control.client import Report
from wasess.errors import BadUserId, Locked, NotLinked, UsageError, WasessError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from wasess.control.door import Manager

    Handler = Callable[[Request], Awaitable[Response]]

Shape = TypeVar("Shape", bound=msgspec.Struct)

LONGEST_BODY = 64 * 1024
LONGEST_WAIT = 3600.0
STATUS = {UsageError: 400, BadUserId: 400, NotLinked: 404, Locked: 409}

logger = logging.getLogger(__name__)


class TooLong(UsageError):
    """The request has more bytes than any good one."""

    code = "REQUEST_TOO_LONG"


class Repair(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/reconnect`` takes."""

    users: list[str] = []
    timeout: float = 60.0


class NewName(msgspec.Struct, forbid_unknown_fields=True):
    """What ``…/rename`` takes."""

    name: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """What the other commands take."""


def application(manager: Manager) -> Starlette:
    """The ASGI application around a manager."""
    api = _Api(manager)
    routes = [
        Route("/v1/sessions", _guarded(api.sessions), methods=["GET"]),
        Route("/v1/reconnect", _guarded(api.reconnect), methods=["POST"]),
        Route("/v1/sessions/{user}/{verb}", _guarded(api.command), methods=["POST"]),
    ]
    return Starlette(routes=routes)


class _Api:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def sessions(self, _request: Request) -> Response:
        return _json(Report(self._manager.info(), self._manager.lives()))

    async def reconnect(self, request: Request) -> Response:
        """The first outcome, or the failure before it, decides on the status: nothing is sent until then."""
        wanted = await _body(request, Repair)
        if not 0 < wanted.timeout <= LONGEST_WAIT:
            raise UsageError(_("a timeout is a number of seconds up to {most:.0f}").format(most=LONGEST_WAIT))
        outcomes = aiter(self._manager.reconnect(wanted.users, wanted.timeout))
        first = await anext(outcomes, None)

        async def lines() -> AsyncIterator[bytes]:
            if first is not None:
                yield msgspec.json.encode(first) + b"\n"
                async for outcome in outcomes:
                    yield msgspec.json.encode(outcome) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def command(self, request: Request) -> Response:
        user, verb = request.path_params["user"], request.path_params["verb"]
        answer: dict[str, Any] = {"ok": True, "user": user}
        if verb == "rename":
            name = (await _body(request, NewName)).name
            await self._manager.rename(user, name)
            return _json(answer | {"user": name})
        await _body(request, Nothing)
        if verb == "logout":
            return _json(answer | {"kept": await self._manager.logout(user)})
        plain = {"pause": self._manager.pause, "resume": self._manager.resume, "remove": self._manager.remove}
        if verb not in plain:
            raise UsageError(_("the manager knows no command {verb}").format(verb=ascii(verb)))
        await plain[verb](user)
        return _json(answer)


def _guarded(handler: Handler) -> Handler:
    """Every failure becomes a document."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except WasessError as error:
            status = 413 if isinstance(error, TooLong) else STATUS.get(type(error), 500 if error.exit_code == 1 else 409)
            return _failure(status, error.code, str(error), error.hint, retryable=error.retryable)
        except Exception as error:
            logger.exception("a request to the control socket failed")
            return _failure(500, WasessError.code, f"{type(error).__name__}: {error}", "")

    return guarded


async def _body(request: Request, shape: type[Shape]) -> Shape:
    """The request's document. Raises `UsageError` when it is none, or too long."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LONGEST_BODY:
            raise TooLong(_("a request has at most {most} bytes").format(most=LONGEST_BODY))
    try:
        return msgspec.json.decode(bytes(content) or b"{}", type=shape)
    except msgspec.DecodeError as error:
        raise UsageError(_("the request can't be understood: {error}").format(error=error)) from error


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _failure(status: int, code: str, message: str, hint: str, *, retryable: bool = False) -> Response:
    error = {"code": code, "message": message, "retryable": retryable, "hint": hint}
    return _json({"ok": False, "error": error}, status)
