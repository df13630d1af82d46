"""The manager of a home, asked over its control socket. Only a command needs an HTTP library: `verify` runs every minute on small machines."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from wasess import errors
from wasess.control.glance import got
from wasess.core import reasons
from wasess.core.live import Live, ManagerInfo, Outcome
from wasess.core.sending import Released, Sending  # noqa: TC001 - msgspec reads the annotations when it runs
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from http.client import HTTPConnection
    from pathlib import Path

    from wasess.core.message import Reply

ANSWERS_WITHIN = 5.0
COMMANDS_END_WITHIN = 120.0
LONGEST_ANSWER = 16 * 2**20
AT_A_TIME = 500  # positions in one request

Told = TypeVar("Told", Live, Outcome)


@dataclass(frozen=True, slots=True)
class Report:
    """``GET /v1/sessions``: the manager, and the sessions it keeps."""

    manager: ManagerInfo
    sessions: list[Live]


class _Told(msgspec.Struct):
    """What is said of a message that was sent."""

    letter: Sending


class _ToldOfRelease(msgspec.Struct):
    """What is said of chats that were released."""

    released: list[Released]


class Client:
    """Asks the manager of ``home``. Every call raises `errors.ManagerNotRunning` when nobody answers, and what the manager raises."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def report(self, timeout: float = ANSWERS_WITHIN) -> Report:
        """How the manager and all its sessions are."""
        try:
            status, body = got(self._home, "/v1/sessions", timeout, LONGEST_ANSWER)
            if status == 200:
                report = msgspec.json.decode(body, type=Report)
                return replace(report, sessions=[_known(live) for live in report.sessions])
        except (OSError, msgspec.DecodeError) as error:
            raise self._silent(error) from error
        raise _refusal(status, body)

    def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> Iterator[Outcome]:
        """As `control.door.Manager.reconnect`."""
        asked: dict[str, object] = {"users": sorted(users), "timeout": timeout}
        if wa_version:  # which a manager of an older wasess does not know
            asked["wa_version"] = wa_version
        from wasess.control.connection import Connection, HTTPException  # noqa: PLC0415 - 35 ms that only a command needs

        connection = Connection(self._home, timeout + ANSWERS_WITHIN)
        try:
            response = self._request(connection, "POST", "/v1/reconnect", asked)
            while line := response.readline(LONGEST_ANSWER):
                yield _known(msgspec.json.decode(line, type=Outcome))
        except (OSError, HTTPException, msgspec.DecodeError) as error:
            raise self._silent(error) from error
        finally:
            connection.close()

    def command(self, user: str, verb: str, **arguments: str) -> dict[str, Any]:
        """``pause``, ``resume``, ``logout``, ``rename`` (``name``) or ``remove`` a session; return what the manager says of it."""
        answer: dict[str, Any] = json.loads(self._ask("POST", f"/v1/sessions/{user}/{verb}", arguments, COMMANDS_END_WITHIN))
        return answer

    def send(self, user: str, to: str, reply: Reply, key: str) -> Sending:
        """As `control.door.PostOffice.send`."""
        letter = {"to": to, "reply": msgspec.to_builtins(reply), "key": key}
        return self._sending("POST", f"/v1/sessions/{user}/send", letter, COMMANDS_END_WITHIN)

    def letter(self, user: str, position: int, wait: str = "queued", timeout: float = 0.0) -> Sending:
        """As `control.door.PostOffice.letter`; ``timeout`` is at most a minute."""
        path = f"/v1/sessions/{user}/letters/{position}?wait={wait}&timeout={timeout}"
        return self._sending("GET", path, None, timeout + ANSWERS_WITHIN)

    def change_inbox(self, user: str, verb: str, positions: Sequence[int]) -> list[int]:
        """``retry`` or ``drop`` messages, ``resend`` or ``drop-replies`` of the outbox, as `control.door.PostOffice` does."""
        changed: list[int] = []
        for first in range(0, len(positions), AT_A_TIME):
            part = {"positions": list(positions[first : first + AT_A_TIME])}
            changed += json.loads(self._ask("POST", f"/v1/sessions/{user}/inbox/{verb}", part, COMMANDS_END_WITHIN))["changed"]
        return changed

    def release(self, user: str, chats: Sequence[str], *, drop: bool) -> list[Released]:
        """As `control.door.PostOffice.release`."""
        answer = self._ask("POST", f"/v1/sessions/{user}/inbox/release", {"chats": list(chats), "drop": drop}, COMMANDS_END_WITHIN)
        try:
            return msgspec.json.decode(answer, type=_ToldOfRelease).released
        except msgspec.DecodeError as error:
            raise self._silent(error) from error

    def _sending(self, method: str, path: str, body: object, timeout: float) -> Sending:
        answer = self._ask(method, path, body, timeout)
        try:
            return msgspec.json.decode(answer, type=_Told).letter
        except msgspec.DecodeError as error:
            raise self._silent(error) from error

    def _ask(self, method: str, path: str, body: object, timeout: float) -> bytes:
        from wasess.control.connection import Connection, HTTPException  # noqa: PLC0415 - as above

        connection = Connection(self._home, timeout)
        try:
            return bytes(self._request(connection, method, path, body).read(LONGEST_ANSWER))
        except (OSError, HTTPException) as error:
            raise self._silent(error) from error
        finally:
            connection.close()

    def _request(self, connection: HTTPConnection, method: str, path: str, body: object) -> Any:
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        response = connection.getresponse()
        if response.status != 200:
            raise _refusal(response.status, response.read(LONGEST_ANSWER))
        return response

    def _silent(self, error: Exception) -> errors.ManagerNotRunning:
        return errors.ManagerNotRunning(
            _("no manager answers in {home} ({error})").format(home=self._home, error=error), hint="wasess serve"
        )


def _known(told: Told) -> Told:
    """The same with a code of `core.reasons`: a manager that another version of wasess has started may have others."""
    if told.code in reasons.BY_CODE:
        return told
    return replace(told, code=reasons.OTHER_VERSION.code, detail=told.code)


def _refusal(status: int, body: bytes) -> errors.WasessError:
    """The error that the manager has raised, by its code; its sentence is in the manager's language."""
    try:
        told = json.loads(body)["error"]
        kinds = {kind.code: kind for kind in _kinds(errors.WasessError)}
        return kinds.get(told["code"], errors.WasessError)(told["message"], hint=told["hint"])
    except (ValueError, KeyError, TypeError):
        return errors.WasessError(_("the manager answered with HTTP status {status}").format(status=status))


def _kinds(kind: type[errors.WasessError]) -> list[type[errors.WasessError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _kinds(child))]
