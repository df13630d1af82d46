"""The running sandbox's unix socket: one JSON line in, one JSON line out, for ``wasess sandbox …``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.sandbox.adv import PairingRefused
from wasess.sandbox.orders import content_of

if TYPE_CHECKING:
    from wasess.sandbox.chat import Addressing
    from wasess.sandbox.state import Device
    from wasess.sandbox.usecases import Sandbox

MAX_LINE_BYTES = 1 << 16
LONGEST_SOCKET_PATH = 100
"""sockaddr_un holds 108 bytes."""


class ControlSocket:
    """Listens in the sandbox's folder, or in a short temporary one when that path is too long for a socket."""

    def __init__(self, box: Sandbox, directory: Path) -> None:
        self._box = box
        self._directory = directory
        self._short: Path | None = None
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> Path:
        """Listen; returns the socket's path."""
        path = self._directory.resolve() / "control.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            self._short = Path(tempfile.mkdtemp(prefix="wasess-"))
            path = self._short / "control.sock"
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE_BYTES)
        path.chmod(0o600)
        self._path = path
        return path

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            for writer in self._clients:
                writer.close()
            await self._server.wait_closed()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        self._clients.discard(writer)
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            return {"ok": True, "data": await self._carry_out(dict(request))}
        except (PairingRefused, ValueError, TypeError, KeyError) as error:
            return {"ok": False, "error": str(error)}

    async def _carry_out(self, request: dict[str, Any]) -> Any:
        box, verb = self._box, request.pop("verb", "")
        match verb:
            case "scan":
                return _linked(await box.scan(request["user"], request["qr"], phone=request.get("phone", "")))
            case "enter-code":
                return _linked(await box.enter_code(request["user"], request["code"], phone=request.get("phone", "")))
            case "say" | "receipt" | "phone":
                return _by_contact(box, verb, request)
            case "fault":
                return {"kind": box.fault(request["user"], *request["words"]).kind}
            case "clear" | "unlink" | "passkey":
                return {"clear": box.clear, "unlink": box.unlink, "passkey": box.ask_passkey}[verb](request["user"])
            case "state":
                return box.state.facts()
            case _:
                raise ValueError(f"no such verb: {verb!r}")


def _linked(device: Device) -> dict[str, Any]:
    return {"device": device.number, "number": device.account.number}


def _by_contact(box: Sandbox, verb: str, request: dict[str, Any]) -> Any:
    if verb == "say":
        return {"id": _say(box, **request)}
    if verb == "receipt":
        return box.receipt(request.pop("contact"), request.pop("user"), *request.pop("ids", ()), **request)
    return box.switch_phone(request["contact"], on=bool(request["on"]))


def _say(box: Sandbox, contact: str, user: str, text: str, *, group: str = "", via: Addressing = "pn", **wishes: Any) -> str:
    if group:
        box.group(group, contact, user)
    return box.post(contact, group or user, content_of(text, **wishes), via=via)
