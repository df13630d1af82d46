"""Group messages: one sender, many readers, an unreliable network between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasess.sandbox.signal import DecryptError, DuplicateMessage, NoSession, Party
from wasess.sandbox.signal.chain import MAX_SKIPPED
from wasess.sandbox.signal.party import MAX_SENDER_KEYS
from wasess.sandbox.signal.wire import SenderKeyDistributionMessage


@pytest.fixture
def alice():
    return Party.create()


@pytest.fixture
def bob(alice):
    return member(alice)


def member(alice):
    """Somebody who has Alice's sender key of the group as it is now."""
    party = Party.create()
    party.accept_distribution("group", "alice", alice.distribution("group"))
    return party


@pytest.mark.parametrize("plaintext", [b"", b"to all", bytes(5000)])
def test_every_member_reads_the_same_message(alice, plaintext):
    members = [member(alice) for _ in range(3)]
    message = alice.group_encrypt("group", plaintext)
    assert [party.group_decrypt("group", "alice", message) for party in members] == [plaintext] * 3


def test_who_joins_later_reads_from_then_on(alice, bob):
    before = alice.group_encrypt("group", b"before")
    late = member(alice)
    after = alice.group_encrypt("group", b"after")
    with pytest.raises(DuplicateMessage):
        late.group_decrypt("group", "alice", before)
    assert late.group_decrypt("group", "alice", after) == b"after"
    assert bob.group_decrypt("group", "alice", after) == b"after"
    assert bob.group_decrypt("group", "alice", before) == b"before"


def test_all_members_can_speak(alice, bob):
    alice.accept_distribution("group", "bob", bob.distribution("group"))
    assert alice.group_decrypt("group", "bob", bob.group_encrypt("group", b"from bob")) == b"from bob"
    assert bob.group_decrypt("group", "alice", alice.group_encrypt("group", b"from alice")) == b"from alice"


def test_groups_are_apart(alice, bob):
    other = Party.create()
    other.accept_distribution("other group", "alice", alice.distribution("other group"))
    with pytest.raises(DecryptError):
        bob.group_decrypt("group", "alice", alice.group_encrypt("other group", b"not for this one"))


def test_nobody_can_read_before_the_key_is_handed_out(alice):
    with pytest.raises(NoSession):
        alice.group_encrypt("group", b"to nobody")


def test_a_message_of_an_unknown_sender_is_refused(alice, bob):
    with pytest.raises(DecryptError, match="no sender key"):
        bob.group_decrypt("group", "mallory", alice.group_encrypt("group", b"hello"))


@given(
    events=st.lists(st.tuples(st.sampled_from(["send", "deliver", "lose", "repeat", "hand out again"]), st.integers(0, 99)), max_size=60)
)
@settings(max_examples=60)
def test_each_message_is_read_exactly_once(events):
    alice = Party.create()
    bob = member(alice)
    in_flight, read = [], []
    for event, number in events:
        if event == "send":
            in_flight.append((alice.group_encrypt("group", b"%d" % number), b"%d" % number))
        elif event == "hand out again":
            bob.accept_distribution("group", "alice", alice.distribution("group"))
        elif event == "repeat" and read:
            with pytest.raises(DuplicateMessage):
                bob.group_decrypt("group", "alice", read[number % len(read)])
        elif event in {"deliver", "lose"} and in_flight:
            message, plaintext = in_flight.pop(number % len(in_flight))
            if event == "deliver":
                assert bob.group_decrypt("group", "alice", message) == plaintext
                read.append(message)


def test_every_flipped_bit_is_noticed_and_harmless(alice, bob):
    message = alice.group_encrypt("group", b"hello")
    for bit in range(8 * len(message)):
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptError):
            bob.group_decrypt("group", "alice", bytes(damaged))
    assert bob.group_decrypt("group", "alice", message) == b"hello"


@pytest.mark.parametrize("data", [b"", b"\x33", bytes(64), bytes(200)])
def test_scraps_are_refused(bob, data):
    with pytest.raises(DecryptError):
        bob.group_decrypt("group", "alice", data)
    with pytest.raises(DecryptError):
        bob.accept_distribution("group", "alice", data)


def test_a_distribution_with_a_short_chain_key_is_refused(bob):
    data = SenderKeyDistributionMessage(id=1, iteration=0, chain_key=bytes(31), signing_key=bytes(32)).to_bytes()
    with pytest.raises(DecryptError, match="32 bytes"):
        bob.accept_distribution("group", "alice", data)


def test_the_newest_keys_of_a_member_stay_readable(bob):
    lives = [Party.create() for _ in range(MAX_SENDER_KEYS)]
    old = Party.create()
    for life in [old, *lives]:
        bob.accept_distribution("group", "carol", life.distribution("group"))
    assert [bob.group_decrypt("group", "carol", life.group_encrypt("group", b"hello")) for life in lives] == [b"hello"] * MAX_SENDER_KEYS
    with pytest.raises(DecryptError):
        bob.group_decrypt("group", "carol", old.group_encrypt("group", b"too old"))


def test_a_gap_is_bridged_up_to_the_limit(alice, bob):
    messages = [alice.group_encrypt("group", b"%d" % number) for number in range(2 * MAX_SKIPPED + 3)]
    assert bob.group_decrypt("group", "alice", messages[MAX_SKIPPED]) == b"%d" % MAX_SKIPPED
    assert bob.group_decrypt("group", "alice", messages[0]) == b"0"
    with pytest.raises(DecryptError, match="ahead"):
        bob.group_decrypt("group", "alice", messages[-1])
