"""Requests and answers of the HTTP API, as documents: what comes is read strictly, and every failure is one of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from wasess.errors import BadUserId, Locked, NotLinked, UsageError, WasessError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    Handler = Callable[[Request], Awaitable[Response]]

Shape = TypeVar("Shape", bound=msgspec.Struct)

LONGEST_BODY = 64 * 1024
STATUS = {UsageError: 400, BadUserId: 400, NotLinked: 404, Locked: 409}

logger = logging.getLogger(__name__)


class TooLong(UsageError):
    """The request has more bytes than any good one."""

    code = "REQUEST_TOO_LONG"


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """What a command without arguments takes."""


def guarded(handler: Handler) -> Handler:
    """Every failure becomes a document."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody gets it
        except WasessError as error:
            status = 413 if isinstance(error, TooLong) else STATUS.get(type(error), 500 if error.exit_code == 1 else 409)
            return _failure(status, error.code, str(error), error.hint, retryable=error.retryable)
        except Exception as error:
            logger.exception("a request to the control socket failed")
            return _failure(500, WasessError.code, f"{type(error).__name__}: {error}", "")

    return answer


async def body(request: Request, shape: type[Shape], longest: int = LONGEST_BODY) -> Shape:
    """The request's document. Raises `UsageError` when it is none, or too long."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > longest:
            raise TooLong(_("a request has at most {most} bytes").format(most=longest))
    try:
        return msgspec.json.decode(bytes(content) or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(_("the request can't be understood: {error}").format(error=error)) from error


def document(value: object, status: int = 200) -> Response:
    """An answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def unknown(_request: Request, error: Exception) -> Response:
    """Answer a request for what there is not: an address, or a method of one."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return _failure(status, UsageError.code, _("the manager knows no such address or method"), "")


def failure_document(code: str, message: str, hint: str = "", *, retryable: bool = False) -> bytes:
    """What is said of a request that failed."""
    return msgspec.json.encode({"ok": False, "error": {"code": code, "message": message, "retryable": retryable, "hint": hint}})


def _failure(status: int, code: str, message: str, hint: str, *, retryable: bool = False) -> Response:
    return Response(failure_document(code, message, hint, retryable=retryable), status, media_type="application/json")
