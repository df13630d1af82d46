"""The server itself: who logs in, who is turned away, and which stanza goes where (PROTOCOL.md §3 and §6)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from wasess.sandbox.answers import Answers
from wasess.sandbox.cdn import Cdn
from wasess.sandbox.connection import Connection
from wasess.sandbox.intake import Intake
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node
from wasess.sandbox.pairing import Pairing
from wasess.sandbox.post import PostOffice
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.versions import announced, parse_version, spell

if TYPE_CHECKING:
    from wasess.sandbox.faults import Fault, FaultBook
    from wasess.sandbox.gateway import Wire
    from wasess.sandbox.state import Device, State


class Service:
    """Speaks the wire; keeps the facts in ``state``."""

    def __init__(self, state: State, faults: FaultBook, claimed_pre_keys: int, keepalive: float) -> None:
        self.state = state
        self.faults = faults
        self.cdn = Cdn(faults)
        self.post = PostOffice(state, self.cdn, lambda device: self._live.get(id(device)))
        self.pairings: dict[str, Pairing] = {}
        self.connections: dict[str, Connection] = {}
        self._intake = Intake(state, faults, self.post)
        self._answers = Answers(state, self.cdn, self.remove, claimed_pre_keys)
        self._live: dict[int, Connection] = {}
        self._keepalive = keepalive

    async def on_wire(self, wire: Wire) -> None:
        """Serve one companion's connection from its handshake to its end."""
        connection = Connection(wire, self.faults)
        self.connections[wire.user] = connection
        self.state.note(wire.user, "connected")
        payload = waWa6.ClientPayload.FromString(wire.client_payload)
        keeping = asyncio.create_task(connection.keep_alive(self._keepalive))
        try:
            if payload.HasField("devicePairingData"):
                await self._serve_pairing(connection, payload)
            else:
                await self._serve_login(connection, payload)
        finally:
            keeping.cancel()
            await connection.ended()
            if self.connections.get(wire.user) is connection:
                del self.connections[wire.user]
            self.state.note(wire.user, "disconnected", wire.ended_by)

    def remove(self, device: Device) -> None:
        """Take a companion off its account; its credentials are worth nothing from now on."""
        device.removed = True
        device.account.devices.pop(device.number, None)
        connection = self._live.get(id(device))
        if connection is not None:
            conflict = Node("conflict", {"type": "device_removed"})
            connection.end(Node("stream:error", {"code": "401"}, [conflict]))

    async def _serve_pairing(self, connection: Connection, payload: waWa6.ClientPayload) -> None:
        if self._turned_away(connection, payload):
            await _until_gone(connection)
            return
        pairing = Pairing(connection, self.state, self.faults)
        self.pairings[connection.user] = pairing
        pairing.offer_codes()
        try:
            while (node := await connection.wire.recv()) is not None:
                if connection.answered(node) or pairing.handle(node):
                    continue
                if node.tag == "iq" and node.text("type") in ("get", "set"):
                    connection.result(node)
        finally:
            if self.pairings.get(connection.user) is pairing:
                del self.pairings[connection.user]

    async def _serve_login(self, connection: Connection, payload: waWa6.ClientPayload) -> None:
        account = self.state.find(str(payload.username))
        device = account.devices.get(payload.device) if account else None
        if self._turned_away(connection, payload):
            await _until_gone(connection)
        elif device is None or device.noise_static != connection.wire.client_static:
            self.state.note(connection.user, "refused", "401")
            connection.end(_failure("401"))
            await _until_gone(connection)
        else:
            await self._serve_device(connection, device)

    async def _serve_device(self, connection: Connection, device: Device) -> None:
        older = self._live.get(id(device))
        if older is not None:
            older.end(Node("stream:error", {}, [Node("conflict", {"type": "replaced"})]))
        self._live[id(device)] = connection
        connection.device = device
        device.logins += 1
        device.online, device.active = True, False
        if self.faults.take(connection.user, "login-hang") is None:
            self._welcome(connection, device)
        try:
            while (node := await connection.wire.recv()) is not None:
                self._dispatch(connection, device, node)
        finally:
            if self._live.get(id(device)) is connection:
                del self._live[id(device)]
                device.online = device.active = False

    def _welcome(self, connection: Connection, device: Device) -> None:
        now = str(int(time.time()))
        connection.push(
            Node("success", {"t": now, "lid": device.lid, "props": "0", "abprops": "0", "location": "sandbox", "creation": now})
        )
        self.post.delivery.deliver_waiting(device, connection)
        self.state.note(connection.user, "logged-in")

    def _turned_away(self, connection: Connection, payload: waWa6.ClientPayload) -> bool:
        """Answer the login with a ``<failure>`` if a fault says so."""
        version = self.state.versions[connection.user] = announced(payload)
        least = self.faults.value(connection.user, "outdated")
        if least and version < parse_version(least):
            self.faults.take(connection.user, "outdated")
            self.state.note(connection.user, "refused", f"405: version {spell(version)}")
            connection.end(_failure("405"))
            return True
        refused = self.faults.take(connection.user, "failure")
        if refused is not None:
            connection.end(_failure(refused.value))
            return True
        refused = self.faults.take(connection.user, "failure-open")
        if refused is not None:
            connection.push(_failure(refused.value))
        return refused is not None

    def _dispatch(self, connection: Connection, device: Device, node: Node) -> None:
        if node.tag == "iq":
            if not connection.answered(node):
                self._answers.answer(connection, device, node)
        elif node.tag == "message":
            self._intake.accept(device, node, connection)
        elif node.tag in ("receipt", "ack"):
            self.post.delivery.confirm(device, node)
        elif node.tag == "presence":
            device.available = node.text("type") == "available"
            self.state.note(connection.user, "presence", node.text("type"))
        elif node.tag == "chatstate":
            self.post.delivery.note_typing(device, node)
        elif node.tag not in ("ib", "stream:error", "notification"):
            self.state.unhandled.append(node.tag)


def _failure(value: str) -> Node:
    """``REASON[:CODE[:EXPIRE]]``: the ban's code and its seconds belong to reason 402; an empty reason leaves the attribute out."""
    reason, _, rest = value.partition(":")
    code, _, expire = rest.partition(":")
    attrs: dict[str, str] = {"location": "sandbox"}
    attrs |= {key: text for key, text in (("reason", reason), ("code", code), ("expire", expire)) if text}
    return Node("failure", dict(attrs))


async def _until_gone(connection: Connection) -> None:
    while await connection.wire.recv() is not None:
        pass


def strike(connection: Connection, fault: Fault) -> None:
    """Carry out a fault that hits a live connection now."""
    wire = connection.wire
    on_wire = {"rst": wire.reset, "fin": wire.fin, "freeze": wire.freeze, "thaw": wire.thaw}
    if fault.kind in on_wire:
        on_wire[fault.kind]()
    elif fault.kind == "close":
        connection.end(code=int(fault.value or "1000"))
    elif fault.kind == "stream-error":
        connection.end(stream_error(fault.value))
    elif fault.kind == "stream-error-open":
        connection.push(stream_error(fault.value))
    else:
        connection.push(poison(fault.value))


def stream_error(value: str) -> Node:
    """``replaced``, ``device_removed``, ``xml-not-well-formed``, nothing, or a code such as 500, 503, 515, 516."""
    if value in ("replaced", "device_removed"):
        code = {"code": "401"} if value == "device_removed" else {}
        return Node("stream:error", dict(code), [Node("conflict", {"type": value})])
    if value and not value.isdigit():
        return Node("stream:error", {}, [Node(value)])
    return Node("stream:error", {"code": value} if value else {})


STRANGER = Jid("4915100000000")


def _receipt(kind: str) -> Node:
    return Node("receipt", {"from": STRANGER, "id": "POISON", "type": kind, "t": str(int(time.time()))})


def _chatstate() -> Node:
    return Node("chatstate", {"from": STRANGER}, [Node("recording-a-song")])


def poison(name: str) -> Node:
    """One of `faults.POISONS`."""
    kind, _, value = name.partition("-")
    if kind == "receipt":
        return _receipt({"rekey": "enc_rekey_retry", "unknown": "no-such-type"}.get(value, value))
    if kind == "failure":
        return _failure("" if value == "none" else value)
    return _chatstate() if kind == "chatstate" else _failure("402:999:60")
