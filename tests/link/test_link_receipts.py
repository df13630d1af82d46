"""Receipts are held until their events are safe. The lines are those of neonize 0.5.2; tests/wire/test_wire_strangers.py pins them."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from wasess.link import protobuf
from wasess.link.logline import Entry, debugger, text_at, undelivered
from wasess.link.pulse import Pulse
from wasess.link.receipts import ALL_PASSED, FEW_BEGUN, FEW_LOOKS, MOST_BEGUN, MOST_HELD, MOST_LOOKS, Receipts
from wasess.link.stanza import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAT = "1@s.whatsapp.net"
LOOK_EVERY = 0.02  # instead of the true one, for haste
EMPTY_AFTER = FEW_LOOKS * LOOK_EVERY
SILENT_AFTER = MOST_LOOKS * LOOK_EVERY


class Room:
    """Receipts with everything that they have noted; ``out`` are those that may go out."""

    def __init__(self, *, durable: bool = False) -> None:
        self._sockets = socket.socketpair()
        self.pulse = Pulse(self._sockets[0])
        self.notes: list[tuple[bytes, ...]] = []
        self.receipts = Receipts(lambda *fields: self.notes.append(fields), self.pulse, durable=durable)
        threading.Thread(target=self.receipts.watch, daemon=True).start()
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
        found = entry(stanza, level, f"Client/{logger}" if logger else "Client")
        start, end = text_at(found[:6])
        assert debugger(found[end:])
        self.receipts.hear_debug(found[start:end], debugger(found[end:]))

    def warn(self, text: bytes) -> None:
        """The library writes a line of another level."""
        if missing := undelivered(Entry(text, b"WARN", b"Client")):
            self.receipts.hear_undelivered(missing)

    def send(self, message_id: str, kind: str = ' type="inactive"', chat: str = CHAT) -> threading.Thread:
        """The library sends a receipt, in a thread of its own."""

        def sending() -> None:
            self.say(f'<receipt id="{message_id}" to="{chat}"{kind}/>')
            self.out.append(message_id)

        thread = threading.Thread(target=sending)
        self.threads.append(thread)
        thread.start()
        return thread

    def hold(self, count: int) -> None:
        """The library sends receipts A0, A1, …, and each is held before the next one is sent."""
        for number in range(count):
            self.send(f"A{number}")
            until(lambda key=(b"A%d" % number, b"1"): key in self.receipts._waiting)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasess.link.receipts.LOOK_EVERY", LOOK_EVERY)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.close()


def entry(message: str, level: str = "DEBUG", logger: str = "Client") -> bytes:
    return bytes(protobuf.neonize().LogEntry(Message=message, Level=level, Name=logger).SerializeToString())


def event(message_id: str, sender: str = "1", **message: object) -> bytes:
    found = protobuf.neonize().Message()
    for jid in (found.Info.MessageSource.Chat, found.Info.MessageSource.Sender):
        jid.User, jid.RawAgent, jid.Device, jid.Integrator, jid.Server = sender, 0, 0, 0, "s.whatsapp.net"
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
    room.warn(b"Ignoring message A from 1@s.whatsapp.net in 2@g.us: failed: received message with old counter (index: 1, count: 0)")
    room.say('<receipt id="A" participant="1@s.whatsapp.net" to="2@g.us" type="inactive"/>')
    assert room.notes == [(b"ignored", b"A", b"1@s.whatsapp.net in 2@g.us")]


def test_what_is_ignored_in_part_comes_all_the_same(room):
    room.warn(b"Ignoring message A from 1@lid: failed: received message with old counter (index: 1, count: 0)")
    room.receipts.written(MESSAGE, event("A", conversation="hello"))
    room.say('<receipt id="A" to="1:2@lid"/>')
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
    room.warn(b"Error decrypting message A from 1@s.whatsapp.net: failed to unpad message: bad")
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


@pytest.mark.parametrize(("id_", "others"), [("B", "1"), ("A", "2")])
def test_an_event_of_another_id_or_sender_lets_nothing_out(room, id_, others):
    sending = room.send("A")
    room.receipts.written(MESSAGE, event(id_, others, conversation="not this one"))
    sending.join(3 * EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.written(MESSAGE, event("A", conversation="this one"))


@pytest.mark.parametrize("id_", ['"', 'A" to="1@lid', 'A" participant="2@lid', "\n", "x" * 100_000 + '"', '" type="retry"/>'])
def test_an_id_of_any_letters_is_known_by_its_value(room, id_):
    sending = room.send(id_)
    room.receipts.written(MESSAGE, event(id_ + "x", conversation="another"))
    sending.join(EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.written(MESSAGE, event(id_, conversation="this one"))
    sending.join(1)
    assert room.out == [id_]
    assert not room.notes


def test_nothing_is_told_of_an_id_of_any_letters(room):
    sending = room.send('A" participant="2@lid')
    sending.join(SILENT_AFTER + 2)
    assert room.out
    assert not room.notes


def test_two_receipts_of_one_message_wait_for_the_same_event(room):
    both = [room.send("A", ' type="peer_msg"'), room.send("A", ' type="hist_sync"')]
    both[0].join(EMPTY_AFTER)
    assert not room.out
    room.receipts.written(MESSAGE, event("A", conversation="a history"))
    for one in both:
        one.join(1)
    assert room.out == ["A", "A"]
    room.say(f'<receipt id="A" to="{CHAT}"/>')  # and a third one, later
    assert not room.notes


def test_on_a_session_that_is_never_quiet_a_receipt_goes_out_once_the_channel_has_passed(room):
    sending = room.send("A")
    for number in range(ALL_PASSED):
        sending.join(LOOK_EVERY / 10)
        assert sending.is_alive()
        room.receipts.written(MESSAGE, event(f"B{number}", conversation="on and on"))
    sending.join(1)
    assert room.notes == [(b"silent", b"A", CHAT.encode())]


def test_looks_that_find_nothing_are_counted_from_the_beginning_whatever_comes_between(room):
    sending = room.send("A")
    for number in range(ALL_PASSED - 1):
        sending.join(4.5 * LOOK_EVERY)  # never as long as it takes for a session that says nothing at all
        if not sending.is_alive():
            break
        room.receipts.written(MESSAGE, event(f"B{number}", conversation="now and then"))
    assert room.out == ["A"]
    assert number < 2 * MOST_LOOKS / 3


def test_with_durability_the_disk_must_have_what_has_passed():
    room = Room(durable=True)
    sending = room.send("A")
    for number in range(ALL_PASSED):
        room.receipts.written(MESSAGE, event(f"B{number}", conversation="on and on"))
    sending.join(3 * EMPTY_AFTER)
    assert sending.is_alive()
    room.receipts.synced(room.receipts.unsynced)
    sending.join(1)
    assert room.out == ["A"]
    room.close()


def test_looks_that_come_late_count_for_nothing_and_after_long_any_is_enough(room, monkeypatch):
    late = SimpleNamespace(monotonic=iter(range(10**6)).__next__, sleep=time.sleep)  # a second from each look to the next
    monkeypatch.setattr("wasess.link.receipts.time", late)
    monkeypatch.setattr("wasess.link.receipts.DEADLINE", 4.0 * MOST_LOOKS)
    room.warn(b"Ignoring message A from 1@s.whatsapp.net: failed: received message with old counter (index: 1, count: 0)")
    sending = room.send("A")
    sending.join(2 * EMPTY_AFTER)
    assert sending.is_alive()
    sending.join(10)
    assert room.notes == [(b"ignored", b"A", CHAT.encode())]


def test_too_many_let_the_oldest_out(room):
    room.pulse.handing_over_since = 1.0  # nothing can be known
    room.hold(MOST_HELD + 3)
    until(lambda: len(room.out) == 3)
    assert sorted(room.out) == ["A0", "A1", "A2"]
    assert sorted(note[:2] for note in room.notes) == [(b"silent", b"A0"), (b"silent", b"A1"), (b"silent", b"A2")]
    room.receipts.written(MESSAGE, event("A0", conversation="it came all the same"))
    room.pulse.handing_over_since = 0.0  # and the others follow


def decrypting(room: Room, count: int) -> threading.Thread:
    """The library decrypts so many messages; it is at the last one."""

    def decrypt() -> None:
        for _ in range(count):
            room.say("Decrypting message from 2@lid", "")

    thread = threading.Thread(target=decrypt)
    room.threads.append(thread)
    thread.start()
    thread.join(2 * EMPTY_AFTER)
    return thread


def test_the_library_decrypts_on_only_when_fewer_wait(room):
    room.pulse.handing_over_since = 1.0
    assert not decrypting(room, MOST_BEGUN).is_alive()
    room.hold(MOST_BEGUN)
    one_more = decrypting(room, 1)
    for number in range(MOST_BEGUN - FEW_BEGUN):
        one_more.join(LOOK_EVERY / 10)
        assert one_more.is_alive()
        room.receipts.written(MESSAGE, event(f"A{number}", conversation="it came"))
    assert one_more.is_alive()
    room.say(f'<ack class="message" error="495" id="X" to="{CHAT}"/>')  # one that could not be decrypted
    one_more.join(1)
    assert not one_more.is_alive()
    room.pulse.handing_over_since = 0.0
    room.close()
    assert len(room.notes) == FEW_BEGUN


def test_many_that_wait_are_not_let_out_while_the_disk_is_slow(room):
    """Whoever is the oldest, and however long it takes: what is under way may still come."""
    room.pulse.handing_over_since = 1.0
    decrypting(room, MOST_BEGUN)
    room.hold(MOST_BEGUN)
    one_more = decrypting(room, 1)
    one_more.join(2 * SILENT_AFTER)
    assert one_more.is_alive()
    assert not room.out
    for number in range(MOST_BEGUN):
        room.receipts.written(MESSAGE, event(f"A{number}", conversation="late"))
    room.close()
    assert not room.notes


def test_what_is_never_sent_stops_the_library_for_a_moment_only(room, monkeypatch):
    monkeypatch.setattr("wasess.link.receipts.NOT_SENT_AFTER", 2 * LOOK_EVERY)
    many = decrypting(room, 5 * MOST_BEGUN)
    many.join(20 * LOOK_EVERY)
    assert not many.is_alive()
