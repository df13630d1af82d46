"""What companions send: opened on the phones it is for, passed on to other companions, acknowledged (PROTOCOL.md §4)."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

from wasess.sandbox import adv, envelope
from wasess.sandbox.archive import Kept
from wasess.sandbox.connection import SERVER
from wasess.sandbox.faults import LOST
from wasess.sandbox.jid import LID_SERVER, Jid
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.reading import received
from wasess.sandbox.signal.errors import DecryptError, DuplicateMessage

if TYPE_CHECKING:
    from wasess.sandbox.connection import Connection
    from wasess.sandbox.faults import FaultBook
    from wasess.sandbox.post import PostOffice
    from wasess.sandbox.state import Account, Device, Group, State


class Intake:
    """Takes what companions send; what the phones understand goes into their accounts and into the post office's archive."""

    def __init__(self, state: State, faults: FaultBook, post: PostOffice) -> None:
        self._state = state
        self._faults = faults
        self._archive = post.archive
        self._reader = post.reader
        self._delivery = post.delivery

    def accept(self, device: Device, node: Node, connection: Connection) -> None:
        """A companion sends a message: open each phone's part, forward other companions' parts, acknowledge.

        A resent frame (same id) is only acknowledged again.
        """
        silent = self._faults.take(device.user, "no-ack")
        if silent is not None and silent.value == LOST:
            return
        message_id = node.text("id")
        device.sent_ids[message_id] = device.sent_ids.get(message_id, 0) + 1
        if device.sent_ids[message_id] == 1 or node.text("device_fanout") == "false" or "participant" in node.attrs:
            self._open_parts(device, node)
        if silent is None:
            self._acknowledge(device, node, connection)

    def _acknowledge(self, device: Device, node: Node, connection: Connection) -> None:
        attrs: dict[str, Attr] = {
            "class": "message",
            "id": node.text("id"),
            "from": node.attrs.get("to", SERVER),
            "t": str(int(time.time())),
        }
        refused = self._faults.take(device.user, "ack-error")
        if refused is not None:
            attrs["error"] = refused.value or "479"
        late = self._faults.take(device.user, "late-ack")
        if late is None:
            connection.answer(Node("ack", attrs), "ack")
        else:
            asyncio.get_running_loop().call_later(float(late.value), connection.answer, Node("ack", attrs), "ack")

    def _open_parts(self, device: Device, node: Node) -> None:
        identity = node.child("device-identity")
        if identity is not None and not adv.check_device_identity(identity.bytes, device.account.party.identity, device.identity):
            self._state.note(device.user, "bad-device-identity", node.text("id"))
            return
        participants = node.child("participants")
        parts = [(part.attrs.get("jid"), part.child("enc")) for part in (participants.children("to") if participants else [])]
        direct = [enc for enc in node.children("enc") if enc.text("type") != "skmsg"]
        parts += [(node.attrs.get("participant") or node.attrs.get("to"), enc) for enc in direct]
        found = {jid: enc for jid, enc in parts if isinstance(jid, Jid) and enc is not None}
        group = self._state.groups.get(node.text("to").partition("@")[0])
        for jid, enc in found.items():
            account = self._state.by_jid(jid)
            if account is not None and not jid.device:
                account.when_on(partial(self._open_part, device, account, node, enc, group))
            elif account is not None and group is None:
                self._forward(device, node, jid, enc)
        shared = next((enc for enc in node.children("enc") if enc.text("type") == "skmsg"), None)
        if group is not None and shared is not None:
            self._share(device, node, group, shared, found)

    def _share(self, device: Device, node: Node, group: Group, shared: Node, keys: dict[Jid, Node]) -> None:
        """A group message: opened by each member's phone, passed on to each member's companions with the sender key that is for them."""
        for member in group.members:
            member.when_on(partial(self._open_shared, device, member, node, group, shared))
            for receiver in member.devices.values():
                if receiver is not device:
                    key = keys.get(receiver.jid) or keys.get(receiver.lid)
                    self._forward_shared(device, node, group, receiver, [*([key] if key else []), shared])

    def _open_part(self, device: Device, account: Account, node: Node, enc: Node, group: Group | None) -> None:
        """In a group it is the sender key, or the message itself for a member that has asked for it."""
        kind: Literal["pkmsg", "msg"] = "pkmsg" if enc.text("type") == "pkmsg" else "msg"
        own = account is device.account
        reader = account.lid_jid if _by_lid(node, group) else account.jid
        asks = not own and not (group is not None and "participant" not in node.attrs)
        try:
            self._fail_on_purpose(device, asks=asks)
            content = envelope.read(padded := account.party.decrypt(device.address, kind, enc.bytes))
        except (DecryptError, ValueError) as error:
            self._note_undecryptable(device, account, node, error)
            if asks:
                self._ask_again(device, account, node, error, reader, group)
            return
        if content.distribution:
            account.party.accept_distribution(content.group, device.address, content.distribution)
        where = {"group": group.id} if group is not None else {}
        if self._keep(device, account, node, (padded, content), own=own, to=content.destination, **where) and not own:
            self._confirm_delivery(device, account, node, reader, group)

    def _open_shared(self, device: Device, member: Account, node: Node, group: Group, enc: Node) -> None:
        own = member is device.account
        reader = member.lid_jid if _by_lid(node, group) else member.jid
        try:
            self._fail_on_purpose(device, asks=not own)
            content = envelope.read(padded := member.party.group_decrypt(str(group.jid), device.address, enc.bytes))
        except (DecryptError, ValueError) as error:
            self._note_undecryptable(device, member, node, error)
            if not own:
                self._ask_again(device, member, node, error, reader, group)
            return
        if self._keep(device, member, node, (padded, content), own=own, group=group.id) and not own:
            self._confirm_delivery(device, member, node, reader, group)

    def _keep(self, device: Device, account: Account, node: Node, opened: tuple[bytes, envelope.Content], **where: object) -> bool:
        """Whether it is a message that a person sees."""
        padded, content = opened
        details = self._reader.details(content.message, device.account)
        if details is None:
            return False
        message_id, chat = node.text("id"), node.attrs.get("to")
        self._archive.keep(Kept(message_id, device.account, padded, chat if isinstance(chat, Jid) else None))
        account.received.append(received(details, message_id, device.account.number, time.time(), **where))
        return True

    def _confirm_delivery(self, device: Device, reader: Account, node: Node, sender: Jid, group: Group | None) -> None:
        """The contact's phone says that it has the message."""
        reader.delivery_receipts.append(node.text("id"))
        self._delivery.receipt(device, sender, [node.text("id")], group=group.jid if group is not None else None)

    def _note_undecryptable(self, device: Device, account: Account, node: Node, error: Exception) -> None:
        account.undecryptable.append(node.text("id"))
        self._state.note(device.user, "phone-cannot-decrypt", str(error))

    def _fail_on_purpose(self, device: Device, *, asks: bool) -> None:
        if asks and self._faults.take(device.user, "unreadable") is not None:
            raise DecryptError("a fault of the sandbox")

    def _ask_again(self, device: Device, reader: Account, node: Node, error: Exception, address: Jid, group: Group | None) -> None:
        """A message that was decrypted before is not asked for: the phone has it."""
        if not isinstance(error, DuplicateMessage):
            where = group.jid if group is not None else None
            self._delivery.ask_again(device, address, node.text("id"), reader, group=where)

    def _forward(self, device: Device, node: Node, to: Jid, enc: Node) -> None:
        """To another companion: the server can't read it and only passes it on."""
        receiver = self._state.device_at(to)
        if receiver is None or receiver is device:
            return
        by_lid = to.server == LID_SERVER
        attrs = {"from": device.lid if by_lid else device.jid, **_outside(node)}
        if receiver.account is device.account:
            attrs["recipient"] = node.attrs.get("to", receiver.jid)
        else:
            attrs |= {"sender_pn": device.jid} if by_lid else {"sender_lid": device.lid}
        identity = node.child("device-identity")
        self._delivery.deliver(receiver, Node("message", attrs, [enc, *([identity] if identity else [])]))

    def _forward_shared(self, device: Device, node: Node, group: Group, receiver: Device, content: list[Node]) -> None:
        by_lid = group.lid_addressed
        sender, other = (device.lid, device.jid) if by_lid else (device.jid, device.lid)
        addresses: dict[str, Attr] = {"participant": sender, "participant_pn" if by_lid else "participant_lid": other}
        attrs = {"from": group.jid, **addresses, "addressing_mode": "lid" if by_lid else "pn", **_outside(node)}
        identity = node.child("device-identity")
        self._delivery.deliver(receiver, Node("message", attrs, [*content, *([identity] if identity else [])]))


def _by_lid(node: Node, group: Group | None) -> bool:
    """Whether its readers are addressed by their hidden ids."""
    chat = node.attrs.get("to")
    return group.lid_addressed if group is not None else isinstance(chat, Jid) and chat.server == LID_SERVER


def _outside(node: Node) -> dict[str, Attr]:
    """What the server tells of a message that it passes on."""
    attrs: dict[str, Attr] = {"id": node.text("id"), "type": node.text("type", "text"), "t": str(int(time.time()))}
    return {**attrs, "edit": node.text("edit")} if node.text("edit") else attrs
