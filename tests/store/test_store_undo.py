"""What died with a worker can be decrypted again: any story of messages, any end. Peers are the sandbox's Signal parties."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_rows import MIGRATE, OUR_ADDRESS, Companion

from wasess.sandbox.signal.errors import DecryptError, DuplicateMessage
from wasess.sandbox.signal.party import Party
from wasess.store import undo_log
from wasess.store.ratchet import MOST_POSITIONS
from wasess.store.undo import MOST_MESSAGES, RolledBack, roll_back

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUB = "club@g.us"
CONTACTS = ("carol_1:0", "dave_1:0", "erin_1:0")
ON_THEIR_WAY = 102
"""Messages that the library can have decrypted and not handed over: a channel of 100, one before it, one behind."""

MOST_TURNS = 4
"""So often a contact's chain may change: libsignal keeps five."""


@dataclass
class Contact:
    """A contact's phone: what it has sent (text, group, stanza) and got."""

    address: str
    party: Party = field(default_factory=Party.create)
    sent: list[tuple[bytes, list[tuple[str, bytes]]]] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    turns: int = 0
    knows_our_key: bool = False
    shared_its_key: bool = False


class World:
    """A companion with its undo log, and its contacts."""

    def __init__(self, pre_keys: int = 40) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.alice = Companion(self.database, pre_keys)
        self.contacts = {address: Contact(address) for address in CONTACTS}
        undo_log.install(self.database)

    def close(self) -> None:
        """Close it here: SQLite refuses the thread in which the garbage collector happens to run."""
        self.database.close()

    def hear(self, contact: Contact, *, club: bool = False) -> bytes:
        """A contact writes; returns the text."""
        stanza = self.write(contact, club=club)
        return self.take(contact, stanza)

    def write(self, contact: Contact, *, club: bool = False) -> list[tuple[str, bytes]]:
        text = f"{contact.address} {len(contact.sent)}".encode()
        encs: list[tuple[str, bytes]] = []
        if club and not contact.shared_its_key:
            contact.shared_its_key = True
            encs.append(self._seal(contact, b"KEY" + contact.party.distribution(CLUB)))
        encs.append(("skmsg", contact.party.group_encrypt(CLUB, text)) if club else self._seal(contact, text))
        contact.sent.append((text, encs))
        return encs

    def take(self, contact: Contact, stanza: list[tuple[str, bytes]]) -> bytes:
        """The companion decrypts a stanza."""
        text = b""
        for kind, data in stanza:
            if kind == "skmsg":
                text = self.alice.group_receive(CLUB, contact.address, data)
                continue
            text = self.alice.receive(contact.address, kind, data)  # type: ignore[arg-type]  # two of the three kinds
            if text.startswith(b"KEY"):
                self.alice.accept(CLUB, contact.address, text[3:])
        return text

    def answer(self, contact: Contact) -> None:
        """The companion writes, and the contact can read it, once."""
        text = f"answer {len(contact.got)}".encode()
        bundle = None if self.alice.session(contact.address) else contact.party.bundle()
        kind, data = self.alice.send(contact.address, text, bundle)
        contact.got.append(contact.party.decrypt(OUR_ADDRESS, kind, data))
        contact.turns += 1
        assert contact.got[-1] == text

    def answer_in_club(self) -> None:
        """The companion writes to the group; members that have its key read it, once."""
        self.alice.reload_own_key(CLUB)
        distribution, data = self.alice.group_send(CLUB, b"to all")
        for contact in self.contacts.values():
            if not contact.knows_our_key:
                contact.knows_our_key = True
                contact.party.accept_distribution(CLUB, OUR_ADDRESS, distribution)
            assert contact.party.group_decrypt(CLUB, OUR_ADDRESS, data) == b"to all"

    def reset(self, contact: Contact) -> None:
        """A contact's phone begins a new session, as it does after a retry."""
        contact.party.forget(OUR_ADDRESS)
        contact.turns += 1
        self.hear(contact)

    def act(self, what: str, contact: Contact) -> None:
        if what == "hear":
            self.hear(contact)
        elif what == "club":
            self.hear(contact, club=True)
        elif what == "answer club":
            self.answer_in_club()
        elif what == "lost":
            self.write(contact)  # WhatsApp brings it later, or never
        elif what == "swapped":
            first, second = self.write(contact), self.write(contact)
            self.take(contact, second)
            self.take(contact, first)
        elif contact.turns < MOST_TURNS:
            self.reset(contact) if what == "reset" else self.answer(contact)

    def everybody_understands(self) -> None:
        for contact in self.contacts.values():
            self.answer(contact)
            assert self.hear(contact) == contact.sent[-1][0]
            self.answer(contact)
            assert self.hear(contact, club=True) == contact.sent[-1][0]
        self.answer_in_club()

    def _seal(self, contact: Contact, text: bytes) -> tuple[str, bytes]:
        bundle = None if contact.party.has_session(OUR_ADDRESS) else self.alice.bundles.pop(0)
        return contact.party.encrypt(OUR_ADDRESS, text, bundle)


@pytest.fixture
def world() -> Iterator[World]:
    with closing(World()) as made:
        yield made


ACTIONS = st.tuples(
    st.sampled_from(["hear", "hear", "hear", "club", "club", "answer", "answer", "answer club", "reset", "lost", "swapped"]),
    st.sampled_from(CONTACTS),
)


def some_of(sent: list[Any], dice: Any, *, in_a_row: bool) -> list[Any]:
    """What WhatsApp brings again: any messages, or the last ones (what comes late after a reset would make the old session the current one)."""
    return sent[dice.randint(0, len(sent)) :] if in_a_row else [one for one in sent if dice.random() < 0.7]


@settings(deadline=None, max_examples=30)
@given(st.lists(ACTIONS, max_size=25), st.lists(ACTIONS, min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_whatever_happened_what_comes_again_is_read_and_nothing_sent_suffers(before: list[Any], last: list[Any], dice: Any) -> None:
    with closing(World()) as world:
        for what, address in before:
            world.act(what, world.contacts[address])
        undo_log.forget(world.database)
        marks = {address: len(contact.sent) for address, contact in world.contacts.items()}
        for what, address in last:
            world.act(what, world.contacts[address])
        roll_back(world.database)
        for address, contact in world.contacts.items():
            for text, stanza in some_of(contact.sent[marks[address] :], dice, in_a_row=("reset", address) in last):
                assert world.take(contact, stanza) == text
        world.everybody_understands()


def test_without_the_log_nothing_comes_again(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    undo_log.forget(world.database)
    assert roll_back(world.database) == RolledBack()
    with pytest.raises(DuplicateMessage):
        world.take(carol, carol.sent[0][1])


def test_what_was_done_is_told(world: World) -> None:
    carol, dave = world.contacts["carol_1:0"], world.contacts["dave_1:0"]
    world.hear(carol)
    world.hear(carol)
    world.answer(carol)
    world.hear(carol)
    world.hear(dave, club=True)
    world.hear(dave, club=True)
    done = roll_back(world.database)
    told = {(one.sender, one.chat, one.first, one.end, one.keys) for one in done.reopened}
    assert told == {
        ("carol_1:0", "", 0, 2, 2),
        ("carol_1:0", "", 0, 1, 1),
        ("dave_1:0", "", 0, 1, 1),
        ("dave_1:0", CLUB, 0, 2, 2),
    }
    assert (done.keys, done.changes) == (6, 10)


def test_a_second_call_does_nothing(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    assert roll_back(world.database).keys == 1
    assert world.take(carol, carol.sent[0][1]) == carol.sent[0][0]
    undo_log.forget(world.database)
    assert roll_back(world.database).keys == 0


def test_a_database_without_a_log_is_left_alone() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        assert roll_back(database) == RolledBack()
        undo_log.forget(database)


def test_only_what_is_new_enough(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    world.database.execute("UPDATE wasess_undo SET at = 1000.0")
    world.hear(carol)
    assert roll_back(world.database, since=1001.0).keys == 1
    assert world.take(carol, carol.sent[1][1]) == carol.sent[1][0]
    with pytest.raises(DuplicateMessage):
        world.take(carol, carol.sent[0][1])


def test_only_as_many_as_can_be_on_their_way(world: World) -> None:
    carol, dave = world.contacts["carol_1:0"], world.contacts["dave_1:0"]
    world.hear(dave)
    for _ in range(MOST_MESSAGES + 20):
        world.hear(carol)
    assert roll_back(world.database).keys == MOST_MESSAGES
    assert [world.take(carol, stanza) for _, stanza in carol.sent[-MOST_MESSAGES:]] == [text for text, _ in carol.sent[-MOST_MESSAGES:]]
    with pytest.raises(DuplicateMessage):
        world.take(dave, dave.sent[0][1])


def test_as_many_as_can_be_on_their_way_are_opened_whatever_each_has_changed() -> None:
    """The dearest message: a new member's first one to a group changes four rows and uses two chains."""
    members = [Contact(f"member{number}_1:0") for number in range(ON_THEIR_WAY)]
    with closing(World(pre_keys=ON_THEIR_WAY)) as world:
        for member in members:
            world.hear(member, club=True)
        roll_back(world.database)
        assert [world.take(member, member.sent[0][1]) for member in members] == [member.sent[0][0] for member in members]


def test_a_chain_is_put_back_as_far_as_libsignal_will_go(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    for _ in range(3):
        world.hear(carol)
        for _ in range(MOST_POSITIONS // 2 + 1):
            world.write(carol)
    world.hear(carol)
    assert roll_back(world.database).keys == 1
    assert world.take(carol, carol.sent[-1][1]) == carol.sent[-1][0]


def test_a_first_message_that_used_no_one_time_key(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.alice.bundles = [replace(world.alice.bundles[0], prekey_id=None, prekey=None)]
    world.hear(carol)
    assert roll_back(world.database).keys == 1
    assert world.take(carol, carol.sent[0][1]) == carol.sent[0][0]


def test_what_was_moved_to_another_address_meanwhile(world: World) -> None:
    """As the library does once it knows a contact's hidden number."""
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    undo_log.forget(world.database)
    world.hear(carol)
    for statement in MIGRATE:
        world.database.execute(statement, {"pn": "carol_1", "lid": "777_1"})
    carol.address = "777_1:0"
    world.hear(carol)
    assert roll_back(world.database).keys == 2
    assert [world.take(carol, stanza) for _, stanza in carol.sent[1:]] == [text for text, _ in carol.sent[1:]]
    world.everybody_understands()


def test_a_worker_that_died_before_it_deleted_the_one_time_key(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    key = world.database.execute("SELECT jid, key_id, key, uploaded FROM whatsmeow_pre_keys ORDER BY key_id").fetchone()
    world.hear(carol)
    world.database.execute("DELETE FROM wasess_undo WHERE kind = 'prekey'")
    world.database.execute("INSERT INTO whatsmeow_pre_keys VALUES (?, ?, ?, ?)", key)
    assert roll_back(world.database).keys == 1
    assert world.take(carol, carol.sent[0][1]) == carol.sent[0][0]


def test_a_first_message_whose_one_time_key_is_gone_stays_as_it_is(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    world.database.execute("DELETE FROM wasess_undo WHERE kind = 'prekey'")
    before = world.alice.session(carol.address)
    assert roll_back(world.database).keys == 0
    assert world.alice.session(carol.address) == before


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b"{}", b'{"SessionState": 5}', "text", 7, None, b'{"SenderKeyStates": [{}]}'])
def test_a_line_of_the_log_that_makes_no_sense_is_passed_over(world: World, garbage: Any) -> None:
    carol = world.contacts["carol_1:0"]
    for _ in range(3):
        world.hear(carol)
    lines = world.database.execute("SELECT n FROM wasess_undo WHERE kind = 'session' ORDER BY n").fetchall()
    world.database.execute("UPDATE wasess_undo SET old = ? WHERE n = ?", (garbage, *lines[-1]))
    roll_back(world.database)
    assert world.take(carol, carol.sent[1][1]) == carol.sent[1][0]
    world.everybody_understands()


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"{}", b'{"SessionState": null, "PreviousStates": null}'])
def test_a_session_that_makes_no_sense_is_left_as_it_is(world: World, garbage: bytes) -> None:
    carol, dave = world.contacts["carol_1:0"], world.contacts["dave_1:0"]
    world.hear(dave)
    world.hear(carol)
    world.database.execute("UPDATE whatsmeow_sessions SET session = ? WHERE their_id = ?", (garbage, carol.address))
    assert roll_back(world.database).keys == 1
    assert world.database.execute("SELECT session FROM whatsmeow_sessions WHERE their_id = ?", (carol.address,)).fetchone() == (garbage,)
    assert world.take(dave, dave.sent[0][1]) == dave.sent[0][0]


def test_a_deleted_session_is_not_brought_back(world: World) -> None:
    carol = world.contacts["carol_1:0"]
    world.hear(carol)
    world.database.execute("DELETE FROM whatsmeow_sessions")
    assert roll_back(world.database).keys == 0
    with pytest.raises(DecryptError):
        world.take(carol, carol.sent[0][1])
