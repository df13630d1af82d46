"""The queue of each companion: what waits until it is confirmed, receipts in both directions, and what companions say beside messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from wasess.sandbox.answers import bundle_node
from wasess.sandbox.connection import SERVER
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.observed import Seen, Typing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasess.sandbox.connection import Connection
    from wasess.sandbox.jid import Jid
    from wasess.sandbox.state import Account, Device, State

RECEIVED: Final = ("", "inactive", "sender", "peer_msg", "hist_sync")
"""Types of a companion's receipt that say: I have it."""

MOST_ASKS: Final = 5
"""So often a client asks for the same message (whatsmeow retry.go)."""

SEEN: Final = ("read", "read-self", "played", "played-self")


class Delivery:
    """``live`` finds a device's connection, if it has one; ``send_again`` is told when a companion can't read a message."""

    def __init__(self, state: State, live: Callable[[Device], Connection | None], send_again: Callable[[Device, Node], None]) -> None:
        self._state = state
        self._live = live
        self._send_again = send_again

    def deliver(self, device: Device, node: Node) -> None:
        """Queue a stanza until the device has confirmed it, and send it now if the device is online."""
        device.pending[_queue_key(node.tag, node)] = node
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

    def receipt(self, device: Device, sender: Jid, ids: Iterable[str], *, kind: str = "", group: Jid | None = None) -> None:
        """A contact's phone says that it has messages (no ``kind``), or that they were ``read`` or ``played``."""
        first, *rest = ids
        where: dict[str, Attr] = {"from": sender} if group is None else {"from": group, "participant": sender}
        attrs: dict[str, Attr] = {**where, "id": first, "t": str(int(time.time()))}
        more = [Node("list", {}, [Node("item", {"id": message_id}) for message_id in rest])] if rest else None
        self.deliver(device, Node("receipt", {**attrs, "type": kind} if kind else attrs, more))

    def ask_again(self, device: Device, sender: Jid, message_id: str, reader: Account, *, group: Jid | None = None) -> None:
        """A contact's device could not decrypt a message: it asks for it, from the second time on with keys for a new session.

        After `MOST_ASKS` times it gives up (whatsmeow retry.go, sendRetryReceipt).
        """
        count = reader.asked_again.get(message_id, 0) + 1
        if count > MOST_ASKS:
            return
        reader.asked_again[message_id] = count
        where: dict[str, Attr] = {"from": sender} if group is None else {"from": group, "participant": sender}
        now, party = str(int(time.time())), reader.party
        content = [
            Node("retry", {"v": "1", "count": str(count), "id": message_id, "t": now}),
            Node("registration", {}, party.registration_id.to_bytes(4)),
        ]
        if count > 1:
            keys = [node for node in bundle_node(sender, party.bundle()).children() if node.tag != "registration"]
            content.append(Node("keys", {}, keys))
        self.deliver(device, Node("receipt", {**where, "id": message_id, "type": "retry", "t": now}, content))

    def confirm(self, device: Device, node: Node) -> None:
        """A receipt or ack of the companion's: take what it confirms off the queue; send again what it could not decrypt."""
        if node.tag == "ack":
            self._confirm_ack(device, node)
            return
        kind = node.text("type")
        if kind == "retry":
            self._state.note(device.user, "retry-asked", node.text("id"))
            self._send_again(device, node)
        elif kind in RECEIVED:
            for message_id in _ids(node):
                device.pending.pop(("message", message_id), None)
                device.receipted.append(message_id)
        elif kind in SEEN:
            where = (node.text("to"), node.text("participant"), kind, time.time())
            device.seen += [Seen(message_id, *where) for message_id in _ids(node)]
        self._acknowledge(device, node, kind)

    def note_typing(self, device: Device, node: Node) -> None:
        """A companion's ``<chatstate>``."""
        for state in node.children():
            device.typing.append(Typing(node.text("to"), state.tag, state.text("media"), time.time()))

    def _acknowledge(self, device: Device, node: Node, kind: str) -> None:
        connection = self._live(device)
        if connection is not None:
            attrs: dict[str, Attr] = {"class": "receipt", "id": node.text("id"), "from": node.attrs.get("to", SERVER)}
            connection.answer(Node("ack", {**attrs, "type": kind} if kind else attrs), "receipt")

    def _confirm_ack(self, device: Device, node: Node) -> None:
        device.pending.pop(_queue_key(node.text("class"), node), None)
        if node.text("error"):
            device.nacked.append((node.text("id"), node.text("error")))


def _ids(node: Node) -> list[str]:
    return [node.text("id"), *(item.text("id") for part in node.children("list") for item in part.children("item"))]


def _queue_key(tag: str, node: Node) -> tuple[str, str]:
    """What confirms a stanza names it by this: a message by its id, a receipt also by its type and who gave it."""
    if tag == "message":
        return tag, node.text("id")
    return tag, " ".join(name for name in (node.text("id"), node.text("type"), node.text("participant")) if name)
