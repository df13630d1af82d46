"""The part of the HTTP API that is about messages: see `control.app`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.routing import Route

from wasess.control.exchange import body, document, guarded
from wasess.core.message import Reply  # noqa: TC001 - msgspec reads the annotations when it runs
from wasess.core.sending import WAITS
from wasess.errors import UsageError
from wasess.words import _

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from wasess.control.door import Manager

LONGEST_LETTER = 2**20  # bytes: 65,536 characters, written as carefully as JSON can
LONGEST_WAIT = 60.0
LARGEST_POSITION = 2**63 - 1

Position = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_POSITION)]


class Letter(msgspec.Struct, forbid_unknown_fields=True):
    """What ``…/send`` takes."""

    to: str
    reply: Reply
    key: str


class Positions(msgspec.Struct, forbid_unknown_fields=True):
    """What ``…/inbox/VERB`` takes."""

    positions: Annotated[list[Position], msgspec.Meta(max_length=1000)]


class Chats(msgspec.Struct, forbid_unknown_fields=True):
    """What ``…/inbox/release`` takes; no chats: all that are braked."""

    chats: Annotated[list[str], msgspec.Meta(max_length=1000)]
    drop: bool


# msgspec 0.22 learns a class when it is first converted to, and two threads that are first at once end the process (SIGSEGV).
msgspec.json.Decoder(Letter)


def routes(manager: Manager) -> list[Route]:
    """The addresses of this part."""
    api = _PostApi(manager)
    return [
        Route("/v1/sessions/{user}/send", guarded(api.send), methods=["POST"]),
        Route("/v1/sessions/{user}/letters/{position}", guarded(api.letter), methods=["GET"]),
        Route("/v1/sessions/{user}/inbox/{verb}", guarded(api.inbox), methods=["POST"]),
    ]


class _PostApi:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def send(self, request: Request) -> Response:
        user, letter = request.path_params["user"], await body(request, Letter, LONGEST_LETTER)
        return document({"ok": True, "letter": await self._manager.post_office.send(user, letter.to, letter.reply, letter.key)})

    async def letter(self, request: Request) -> Response:
        user, wish = request.path_params["user"], request.query_params
        wait, timeout, position = wish.get("wait", "queued"), _seconds(wish.get("timeout", "0")), _position(request.path_params["position"])
        if wait not in WAITS or not 0 <= timeout <= LONGEST_WAIT or not 1 <= position <= LARGEST_POSITION:
            raise UsageError(_("the request can't be understood: {error}").format(error=ascii(str(request.url.query))))
        return document({"ok": True, "letter": await self._manager.post_office.letter(user, position, wait, timeout)})

    async def inbox(self, request: Request) -> Response:
        user, verb = request.path_params["user"], request.path_params["verb"]
        office = self._manager.post_office
        if verb == "release":
            chosen = await body(request, Chats)
            return document({"ok": True, "user": user, "released": await office.release(user, chosen.chats, drop=chosen.drop)})
        verbs: dict[str, Any] = {"retry": office.retry, "drop": office.drop, "resend": office.resend, "drop-replies": office.drop_replies}
        if verb not in verbs:
            raise UsageError(_("the manager knows no command {verb}").format(verb=ascii(verb)))
        changed = await verbs[verb](user, (await body(request, Positions)).positions)
        return document({"ok": True, "user": user, "changed": changed})


def _position(text: str) -> int:
    """Raises `UsageError`. Not as the route's own converter: Python refuses to read a number of thousands of digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_POSITION))):
        raise UsageError(_("the request can't be understood: {error}").format(error=ascii(text[:40])))
    return int(text)


def _seconds(text: str) -> float:
    """Raises `UsageError`."""
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(_("the request can't be understood: {error}").format(error=ascii(text))) from error
