"""The post office: encrypts what contacts write to companions, queues it, and opens what companions write to phones (PROTOCOL.md §4)."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wasess.sandbox import adv, envelope
from wasess.sandbox.connection import SERVER, Connection
from wasess.sandbox.jid import LID_SERVER, Jid
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.signal.errors import DecryptError
from wasess.sandbox.state import Account, Device, Group, Received, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.signal.session import PreKeyBundle

LOW_PRE_KEYS = 5
"""Below this many the server tells the companion to upload more."""

SENDS_AGAIN_AFTER = 0.1
"""Seconds a phone takes to answer a companion that could not read its message."""

Addressing = Literal["pn", "lid"]


@dataclass(frozen=True, slots=True)
class _Letter:
    """What a contact wrote, kept so that it can be sent again when a companion asks for it."""

    id: str
    sender: Account
    text: str
    via: Addressing
    group: Group | None = None
    distribution: bytes = b""
    shared: bytes = b""


class PostOffice:
    """Everything about chat messages. ``live`` finds a device's connection, if it has one."""

    def __init__(self, state: State, faults: FaultBook, live: Callable[[Device], Connection | None]) -> None:
        self._state = state
        self._faults = faults
        self._live = live
        self._letters: dict[tuple[str, str], _Letter] = {}

    # --- from contacts to companions --------------------------------------------------------------------------

    def write(self, sender: Account, to: Account, text: str, via: Addressing = "pn") -> str:
        """A contact writes to an account: to its phone and to each linked device. Returns the message id."""
        letter = _Letter(_message_id(), sender, text, via)
        to.received.append(Received(letter.id, sender.number, text, time.time()))
        for device in to.devices.values():
            self._send(letter, device)
        return letter.id

    def write_plaintext(self, sender: Account, to: Account, padded: bytes) -> str:
        """The same with any plaintext, for hostile input. It is sent once: whoever asks for it again gets nothing."""
        letter = _Letter(_message_id(), sender, "", "pn")
        for device in to.devices.values():
            self.deliver(device, Node("message", self._headers(letter), [self._encrypt(letter, device, padded)]))
        return letter.id

    def write_group(self, sender: Account, group: Group, text: str) -> str:
        """A contact writes to a group: to every member's phone and linked devices. Returns the message id."""
        via: Addressing = "lid" if group.lid_addressed else "pn"
        distribution = sender.party.distribution(str(group.jid))
        shared = sender.party.group_encrypt(str(group.jid), envelope.write_text(text))
        letter = _Letter(_message_id(), sender, text, via, group, distribution, shared)
        for member in group.members:
            if member is not sender:
                member.received.append(Received(letter.id, sender.number, text, time.time(), group=group.id))
                for device in member.devices.values():
                    self._send(letter, device)
        return letter.id

    def deliver(self, device: Device, node: Node) -> None:
        """Queue a stanza until the device has confirmed it, and send it now if the device is online."""
        device.pending[node.tag, node.text("id")] = node
        connection = self._live(device)
        if connection is not None:
            connection.push_message(node)

    def deliver_waiting(self, device: Device, connection: Connection) -> None:
        """After a login: the preview, everything that waits in its order, and the count."""
        waiting = list(device.pending.values())
        messages = sum(1 for node in waiting if node.tag == "message")
        preview = {"count": str(len(waiting)), "message": str(messages), "receipt": str(len(waiting) - messages)}
        connection.push(Node("ib", {"from": SERVER}, [Node("offline_preview", {**preview, "notification": "0", "appdata": "0"})]))
        for node in waiting:
            connection.push(Node(node.tag, {**node.attrs, "offline": "1"}, node.content))
        connection.push(Node("ib", {"from": SERVER}, [Node("offline", {"count": str(len(waiting))})]))

    def confirm(self, device: Device, node: Node) -> None:
        """A receipt or ack of the companion's: take what it confirms off the queue; send again what it could not decrypt."""
        if node.tag == "ack":
            self._confirm_ack(device, node)
            return
        ids = [node.text("id"), *(item.text("id") for part in node.children("list") for item in part.children("item"))]
        kind = node.text("type")
        if kind == "retry":
            self._state.note(device.user, "retry-asked", node.text("id"))
            self._send_again(device, node)
        elif kind in ("", "inactive", "sender", "peer_msg", "hist_sync"):
            for message_id in ids:
                device.pending.pop(("message", message_id), None)
                device.receipted.append(message_id)
        connection = self._live(device)
        if connection is not None:
            attrs: dict[str, Attr] = {"class": "receipt", "id": node.text("id"), "from": node.attrs.get("to", SERVER)}
            connection.answer(Node("ack", {**attrs, "type": kind} if kind else attrs), "receipt")

    def _confirm_ack(self, device: Device, node: Node) -> None:
        key = (node.text("class"), node.text("id"))
        device.pending.pop(key, None)
        if node.text("error"):
            device.nacked.append((node.text("id"), node.text("error")))

    def _send(self, letter: _Letter, device: Device) -> None:
        self._letters[device.user, letter.id] = letter
        content = [self._encrypt(letter, device)] if letter.group is None else self._encrypt_for_group(letter, letter.group, device)
        self.deliver(device, Node("message", self._headers(letter), content))
        connection = self._live(device)
        if len(device.prekeys) < LOW_PRE_KEYS and connection is not None:
            count = Node("count", {"value": str(len(device.prekeys))})
            attrs: dict[str, Attr] = {"from": SERVER, "type": "encrypt", "id": connection.next_id(), "t": str(int(time.time()))}
            connection.push(Node("notification", attrs, [count]))

    def _headers(self, letter: _Letter) -> dict[str, Attr]:
        sender = letter.sender
        by_lid = letter.via == "lid"
        address, other = (sender.lid_jid, sender.jid) if by_lid else (sender.jid, sender.lid_jid)
        headers: dict[str, Attr] = {"id": letter.id, "type": "text", "t": str(int(time.time())), "notify": sender.name}
        if letter.group is None:
            return {"from": address, "sender_pn" if by_lid else "sender_lid": other, **headers}
        other_key = "participant_pn" if by_lid else "participant_lid"
        return {"from": letter.group.jid, "participant": address, other_key: other, "addressing_mode": letter.via, **headers}

    def _encrypt(self, letter: _Letter, device: Device, plaintext: bytes | None = None) -> Node:
        party, address = letter.sender.party, _address(device)
        bundle = None if party.has_session(address) else device.take_bundle()
        kind, data = party.encrypt(address, envelope.write_text(letter.text) if plaintext is None else plaintext, bundle)
        return Node("enc", {"v": "2", "type": kind}, data)

    def _encrypt_for_group(self, letter: _Letter, group: Group, device: Device) -> list[Node]:
        content = []
        known = (letter.sender.number, _address(device))
        if known not in group.has_sender_key:
            group.has_sender_key.add(known)
            content.append(self._encrypt(letter, device, envelope.write_distribution(str(group.jid), letter.distribution)))
        return [*content, Node("enc", {"v": "2", "type": "skmsg"}, letter.shared)]

    def _send_again(self, device: Device, receipt: Node) -> None:
        """With a new session, as a sender does when its message could not be read.

        Not at once: the companion's ack of the first copy may still be on its way, and must not be taken for one of the second.
        """
        letter = self._letters.get((device.user, receipt.text("id")))
        if letter is not None:
            asyncio.get_running_loop().call_later(SENDS_AGAIN_AFTER, self._send_anew, letter, device)

    def _send_anew(self, letter: _Letter, device: Device) -> None:
        letter.sender.party.forget(_address(device))
        if letter.group is not None:
            letter.group.has_sender_key.discard((letter.sender.number, _address(device)))
        device.pending.pop(("message", letter.id), None)
        self._send(letter, device)

    # --- from companions to phones ------------------------------------------------------------------------------

    def accept(self, device: Device, node: Node, connection: Connection) -> None:
        """A companion sends a message: open each phone's part, forward other companions' parts, acknowledge.

        A resent frame (same id) is only acknowledged again.
        """
        message_id = node.text("id")
        device.sent_ids[message_id] = device.sent_ids.get(message_id, 0) + 1
        if device.sent_ids[message_id] == 1 or node.text("device_fanout") == "false":
            self._open_parts(device, node)
        attrs: dict[str, Attr] = {"class": "message", "id": message_id, "from": node.attrs.get("to", SERVER), "t": str(int(time.time()))}
        refused = self._faults.take(device.user, "ack-error")
        if refused is not None:
            attrs["error"] = refused.value or "479"
        connection.answer(Node("ack", attrs), "ack")

    def _open_parts(self, device: Device, node: Node) -> None:
        identity = node.child("device-identity")
        if identity is not None and not adv.check_device_identity(identity.bytes, device.account.party.identity, device.identity):
            self._state.note(device.user, "bad-device-identity", node.text("id"))
            return
        participants = node.child("participants")
        parts = [(part.attrs.get("jid"), part.child("enc")) for part in (participants.children("to") if participants else [])]
        direct = [enc for enc in node.children("enc") if enc.text("type") != "skmsg"]
        parts += [(node.attrs.get("to"), enc) for enc in direct]
        for jid, enc in parts:
            if isinstance(jid, Jid) and enc is not None:
                self._open_part(device, node, jid, enc)
        group = self._state.groups.get(node.text("to").partition("@")[0])
        shared = next((enc for enc in node.children("enc") if enc.text("type") == "skmsg"), None)
        if group is not None and shared is not None:
            self._open_group(device, node.text("id"), group, shared)

    def _open_part(self, device: Device, node: Node, to: Jid, enc: Node) -> None:
        account = self._state.by_jid(to)
        if account is None:
            return
        if to.device:
            self._forward(device, node, to, enc)
            return
        kind: Literal["pkmsg", "msg"] = "pkmsg" if enc.text("type") == "pkmsg" else "msg"
        try:
            content = envelope.read(account.party.decrypt(_address(device), kind, enc.bytes))
        except (DecryptError, ValueError) as error:
            account.undecryptable.append(node.text("id"))
            self._state.note(device.user, "phone-cannot-decrypt", str(error))
            return
        if content.distribution:
            account.party.accept_distribution(content.group, _address(device), content.distribution)
        if content.text:
            self._keep(device, account, node, content)

    def _keep(self, device: Device, account: Account, node: Node, content: envelope.Content) -> None:
        own = account is device.account
        received = Received(node.text("id"), device.account.number, content.text, time.time(), own=own, to=content.destination)
        account.received.append(received)
        if not own:
            self._confirm_delivery(device, account, received.id, node.attrs.get("to"))

    def _confirm_delivery(self, device: Device, reader: Account, message_id: str, chat: Attr | None) -> None:
        """The contact's phone says that it has the message."""
        by_lid = isinstance(chat, Jid) and chat.server == LID_SERVER
        reader.delivery_receipts.append(message_id)
        sender = reader.lid_jid if by_lid else reader.jid
        self.deliver(device, Node("receipt", {"from": sender, "id": message_id, "t": str(int(time.time()))}))

    def _open_group(self, device: Device, message_id: str, group: Group, enc: Node) -> None:
        for member in group.members:
            try:
                content = envelope.read(member.party.group_decrypt(str(group.jid), _address(device), enc.bytes))
            except (DecryptError, ValueError) as error:
                member.undecryptable.append(message_id)
                self._state.note(device.user, "phone-cannot-decrypt", str(error))
                continue
            own = member is device.account
            member.received.append(Received(message_id, device.account.number, content.text, time.time(), group=group.id, own=own))

    def _forward(self, device: Device, node: Node, to: Jid, enc: Node) -> None:
        """To another companion: the server can't read it and only passes it on."""
        receiver = self._state.device_at(to)
        if receiver is None or receiver is device:
            return
        by_lid = to.server == LID_SERVER
        attrs: dict[str, Attr] = {
            "from": device.lid if by_lid else device.jid,
            "id": node.text("id"),
            "type": node.text("type", "text"),
            "t": str(int(time.time())),
        }
        if receiver.account is device.account:
            attrs["recipient"] = node.attrs.get("to", receiver.jid)
        else:
            attrs |= {"sender_pn": device.jid} if by_lid else {"sender_lid": device.lid}
        identity = node.child("device-identity")
        self.deliver(receiver, Node("message", attrs, [enc, *([identity] if identity else [])]))


def bundle_node(jid: Jid, bundle: PreKeyBundle, signed_identity: bytes = b"") -> Node:
    """A pre-key bundle as the answer to ``<key><user jid/></key>`` (whatsmeow prekeys.go)."""
    signed = Node(
        "skey",
        {},
        [
            Node("id", {}, bundle.signed_prekey_id.to_bytes(3)),
            Node("value", {}, bundle.signed_prekey),
            Node("signature", {}, bundle.signature),
        ],
    )
    content = [
        Node("registration", {}, bundle.registration_id.to_bytes(4)),
        Node("type", {}, b"\x05"),
        Node("identity", {}, bundle.identity),
        signed,
    ]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        content.append(Node("key", {}, [Node("id", {}, bundle.prekey_id.to_bytes(3)), Node("value", {}, bundle.prekey)]))
    if signed_identity:
        content.append(Node("device-identity", {}, signed_identity))
    return Node("user", {"jid": jid}, content)


def _address(device: Device) -> str:
    """How a phone files a companion: one session, whichever address space a stanza uses."""
    return f"{device.account.number}:{device.number}"


def _message_id() -> str:
    return f"3EB0{secrets.token_hex(9).upper()}"
