"""The post office: encrypts what contacts write to companions, and sends it again when they can't read it (PROTOCOL.md §4)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from wasess.sandbox import envelope
from wasess.sandbox.archive import Archive
from wasess.sandbox.connection import SERVER
from wasess.sandbox.delivery import Delivery
from wasess.sandbox.letter import Letter, new_id, stamp_of
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.observed import Received
from wasess.sandbox.reading import Reader, received

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.sandbox.cdn import Cdn
    from wasess.sandbox.chat import Addressing, Chat
    from wasess.sandbox.connection import Connection
    from wasess.sandbox.content import Content
    from wasess.sandbox.state import Account, Device, Group, State

LOW_PRE_KEYS = 5
"""Below this many the server tells the companion to upload more."""

SENDS_AGAIN_AFTER = 0.1
"""Seconds a phone takes to answer a companion that could not read its message."""


class PostOffice:
    """From contacts to companions. ``live`` finds a device's connection, if it has one."""

    def __init__(self, state: State, cdn: Cdn, live: Callable[[Device], Connection | None]) -> None:
        self.archive = Archive()
        self.reader = Reader(cdn.get, self.archive.votes)
        self.delivery = Delivery(state, live, self._send_again)
        self._live = live

    def write(self, sender: Account, to: Account, text: str, via: Addressing = "pn", message_id: str = "") -> str:
        """A contact writes a text to an account: to its phone and to each linked device. Returns the message id."""
        letter = Letter(message_id or new_id(), sender, envelope.write_text(text), via)
        self.archive.keep(letter)
        to.received.append(Received(letter.id, sender.number, text, time.time()))
        for device in to.devices.values():
            self._send(letter, device)
        return letter.id

    def write_plaintext(self, sender: Account, to: Account, padded: bytes) -> str:
        """The same with any plaintext, for hostile input. It is sent once: whoever asks for it again gets nothing."""
        letter = Letter(new_id(), sender, padded, "pn")
        for device in to.devices.values():
            self.delivery.deliver(device, Node("message", letter.headers(), [self._encrypt(letter, device, padded)]))
        return letter.id

    def post(self, chat: Chat, content: Content) -> str:
        """A contact writes anything in a chat: to every reader's phone and linked devices. Returns the message id."""
        message = content(chat)
        padded = envelope.write(message)
        shared = self._shared(chat.writer, chat.group, padded) if chat.group is not None else (b"", b"")
        letter = Letter(new_id(), chat.writer, padded, chat.via, stamp_of(message), chat.group, *shared)
        self.archive.keep(letter)
        details = self.reader.details(envelope.unwrap(message), chat.writer)
        for reader in chat.readers:
            if details is not None:
                where = "" if chat.group is None else chat.group.id
                reader.received.append(received({**details}, letter.id, chat.writer.number, time.time(), group=where))
            for device in reader.devices.values():
                self._send(letter, device)
        return letter.id

    def _shared(self, sender: Account, group: Group, padded: bytes) -> tuple[bytes, bytes]:
        """The sender key that opens a group message, and the message under it."""
        distribution = sender.party.distribution(str(group.jid))
        return distribution, sender.party.group_encrypt(str(group.jid), padded)

    def _send(self, letter: Letter, device: Device) -> None:
        content = (
            [self._encrypt(letter, device, letter.padded)] if letter.group is None else self._encrypt_shared(letter, letter.group, device)
        )
        if letter.stamp.poll:
            content.append(Node("meta", {"polltype": letter.stamp.poll}))
        self.delivery.deliver(device, Node("message", letter.headers(), content))
        connection = self._live(device)
        if len(device.prekeys) < LOW_PRE_KEYS and connection is not None:
            count = Node("count", {"value": str(len(device.prekeys))})
            attrs: dict[str, Attr] = {"from": SERVER, "type": "encrypt", "id": connection.next_id(), "t": str(int(time.time()))}
            connection.push(Node("notification", attrs, [count]))

    def _encrypt(self, letter: Letter, device: Device, padded: bytes) -> Node:
        party, address = letter.author.party, device.address
        bundle = None if party.has_session(address) else device.take_bundle()
        kind, data = party.encrypt(address, padded, bundle)
        return Node("enc", {"v": "2", "type": kind, **letter.stamp.inside()}, data)

    def _encrypt_shared(self, letter: Letter, group: Group, device: Device) -> list[Node]:
        content = []
        known = (letter.author.number, device.address)
        if known not in group.has_sender_key:
            group.has_sender_key.add(known)
            content.append(self._encrypt(letter, device, envelope.write_distribution(str(group.jid), letter.distribution)))
        return [*content, Node("enc", {"v": "2", "type": "skmsg", **letter.stamp.inside()}, letter.shared)]

    def _send_again(self, device: Device, receipt: Node) -> None:
        """With a new session, as a sender does when its message could not be read.

        Not at once: the companion's ack of the first copy may still be on its way, and must not be taken for one of the second.
        """
        letter = self.archive.get(receipt.text("id"))
        if isinstance(letter, Letter):
            asyncio.get_running_loop().call_later(SENDS_AGAIN_AFTER, self._send_anew, letter, device)

    def _send_anew(self, letter: Letter, device: Device) -> None:
        letter.author.party.forget(device.address)
        if letter.group is not None:
            letter.group.has_sender_key.discard((letter.author.number, device.address))
        device.pending.pop(("message", letter.id), None)
        self._send(letter, device)
