"""Receipts are held until their events are safe. The lines are those of neonize 0.5.2; tests/wire/test_wire_receipts.py pins them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from wasess.link import protobuf
from wasess.link.pulse import Pulse
from wasess.link.receipts import EMPTY_AFTER, MESSAGE, SILENT_AFTER, Receipts, identify, is_debug, level_at

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = "1@s.whatsapp.net"


class Room:
    """Receipts with everything that they have noted; ``out`` are those that may go out."""

    def __init__(self, *, durable: bool = False) -> None:
        self._sockets = socket.socketpair()
        self.pulse = Pulse(self._sockets[0])
        self.notes: list[tuple[bytes, ...]] = []
        self.receipts = Receipts(lambda *fields: self.notes.append(fields), self.pulse, durable=durable)
        self.out: list[str] = []
        self.threads: list[threading.Thread] = []

    def close(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        for one in self._sockets:
            one.close()

    def say(self, stanza: str, logger: str = "Send", level: str = "DEBUG") -> None:
        """The library writes a line; it waits until this returns."""
        found = entry(stanza, level, f"Client/{logger}")
        at = level_at(found[:6])
        assert is_debug(found[at:])
        self.receipts.hear_debug(found[:at], found[at:])

    def send(self, message_id: str, kind: str = ' type="inactive"') -> threading.Thread:
        """The library sends a receipt, in a thread of its own."""

        def sending() -> None:
            self.say(f'<receipt id="{message_id}" to="{CHAT}"{kind}/>')
            self.out.append(message_id)

        thread = threading.Thread(target=sending)
        self.threads.append(thread)
        thread.start()
        return thread


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.close()


def entry(message: str, level: str = "DEBUG", logger: str = "Client") -> bytes:
    return bytes(protobuf.neonize().LogEntry(Message=message, Level=level, Name=logger).SerializeToString())


def event(message_id: str, **message: object) -> bytes:
    found = protobuf.neonize().Message()
    found.Info.MessageSource.Chat.User = "1"
    for jid in (found.Info.MessageSource.Chat, found.Info.MessageSource.Sender):
        jid.User, jid.RawAgent, jid.Device, jid.Integrator, jid.Server = "1", 0, 0, 0, "s.whatsapp.net"
    found.Info.ID = message_id
    found.Message.MergeFrom(protobuf.e2e().Message(**message))
    return bytes(found.SerializePartialToString())


def key_for_a_group(message_id: str) -> bytes:
    return event(message_id, senderKeyDistributionMessage={"groupID": "g"}, messageContextInfo={"messageSecret": b"x"})


def test_a_receipt_goes_out_once_its_event_is_spooled(room):
    sending = room.send("A")
    sending.join(3 * EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.written(MESSAGE, event("B", conversation="another"))
    sending.join(3 * EMPTY_AFTER)
    assert not room.out
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    sending.join(1)
    assert room.out == ["A"]
    assert not room.notes


def test_an_event_that_came_first_holds_nothing_up(room):
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    room.say(f'<receipt id="A" to="{CHAT}"/>')
    assert not room.notes


def test_with_durability_the_disk_must_have_it():
    room = Room(durable=True)
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    sending = room.send("A")
    sending.join(3 * EMPTY_AFTER)
    assert sending.is_alive()
    written = room.receipts.unsynced
    room.receipts.written(MESSAGE, event("B", conversation="during the sync"))
    room.receipts.synced(written)
    sending.join(1)
    assert room.out == ["A"]
    assert room.receipts.unsynced == 1
    room.close()


@pytest.mark.parametrize("kind", ["retry", "read", "played", "read-self"])
def test_other_receipts_acknowledge_nothing(room, kind):
    room.say(f'<receipt id="A" to="{CHAT}" type="{kind}"/>')
    assert not room.notes


def test_the_key_for_a_group_is_not_the_message(room):
    room.receipts.written(MESSAGE, key_for_a_group("A"))
    room.pulse.handing_over_since = 1.0  # the message is on its way
    sending = room.send("A")
    sending.join(3 * EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    room.pulse.handing_over_since = 0.0
    sending.join(1)
    assert room.out == ["A"]
    assert not room.notes


def test_a_key_alone_is_acknowledged_once_the_channel_is_empty(room):
    room.receipts.written(MESSAGE, key_for_a_group("A"))
    room.say(f'<receipt id="A" to="{CHAT}"/>')
    assert not room.notes


def test_what_the_library_ignores_is_noted(room):
    room.receipts.hear_warning(
        b"WARN Client: Ignoring message A from 1@s.whatsapp.net in 2@g.us: failed: received message with old counter (index: 1, count: 0)"
    )
    room.say('<receipt id="A" participant="1@s.whatsapp.net" to="2@g.us" type="inactive"/>')
    assert room.notes == [(b"ignored", b"A", b"1@s.whatsapp.net in 2@g.us")]


def test_what_is_ignored_in_part_comes_all_the_same(room):
    room.receipts.hear_warning(
        b"WARN Client: Ignoring message A from 1@lid: failed: received message with old counter (index: 1, count: 0)"
    )
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    room.say('<receipt id="A" to="1@lid"/>')
    assert not room.notes


def test_what_never_comes_is_noted(room):
    sending = room.send("A")
    sending.join(SILENT_AFTER + 1)
    assert room.out == ["A"]
    assert room.notes == [(b"silent", b"A", CHAT.encode())]


def test_a_callback_that_hangs_lets_nothing_out(room):
    room.pulse.handing_over_since = 1.0
    sending = room.send("A")
    sending.join(SILENT_AFTER + 3 * EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.written(MESSAGE, event("A", conversation="hello"))


def test_what_cannot_be_read_is_noted_before_anything_is_sent(room):
    room.receipts.hear_warning(b"WARN Client: Error decrypting message A from 1@s.whatsapp.net: failed to unpad message: bad")
    assert room.notes == [(b"unread", b"A", b"1@s.whatsapp.net")]


def test_a_message_of_ours_is_noted_with_the_tag_of_its_thread(room):
    line = '<message id="X" peer_recipient_pn="1@s.whatsapp.net" to="2@lid" type="text"><participants/></message>'
    room.say(line)
    assert not room.notes
    room.receipts.sends(b"7")
    room.say(line)
    room.receipts.sends(b"")
    room.say(line)
    assert room.notes == [(b"sending", b"7", b"X")]


@pytest.mark.parametrize(
    ("stanza", "note"),
    [
        ('<receipt from="2@lid" id="X" t="1"/>', (b"", b"2@lid", b"X")),
        (
            '<receipt from="2@lid" id="X" t="1" type="read"><list><item id="Y"/><item id="Z"/></list></receipt>',
            (b"read", b"2@lid", b"X", b"Y", b"Z"),
        ),
        ('<receipt from="3@g.us" id="X" participant="2@lid" t="1"/>', (b"", b"2@lid in 3@g.us", b"X")),
    ],
)
def test_receipts_of_others_are_noted(room, stanza, note):
    room.say(stanza, "Recv")
    assert room.notes == [(b"receipt", *note)]


def test_nothing_else_is(room):
    for line in ('<message id="X" from="1@lid"/>', '<ack class="receipt" id="X"/>', "Decrypting message from <receipt id="):
        room.say(line, "Recv")
        room.say(line, "Send")
    assert not room.notes


@given(some.text(max_size=40), some.sampled_from(["DEBUG", "WARN", "ERROR", "INFO"]), some.integers(0, 70000))
def test_the_level_is_found_behind_a_text_of_any_length(text, level, length):
    found = entry((text + "x" * length)[: max(1, length)], level)
    at = level_at(found[:6])
    assert is_debug(found[at:]) == (level == "DEBUG")


@given(some.binary(max_size=60))
def test_any_bytes_are_looked_at(data):
    level_at(data)
    identify(data)


def test_a_message_is_identified():
    assert identify(event("ABC", conversation="x" * 5000)) == (b"ABC", True)
    assert identify(event("ABC", senderKeyDistributionMessage={"groupID": "g"}, conversation="both")) == (b"ABC", True)
    assert identify(key_for_a_group("ABC")) == (b"ABC", False)
