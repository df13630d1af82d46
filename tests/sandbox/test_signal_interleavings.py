"""Random walks of two devices on a network that delays, reorders, loses, repeats and damages: each message is read exactly once."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from wasess.sandbox.signal import DecryptError, DuplicateMessage, Party
from wasess.sandbox.signal.session import MAX_RECEIVING_CHAINS
from wasess.sandbox.signal.wire import PreKeySignalMessage, SignalMessage

sides = st.sampled_from(["alice", "bob"])
positions = st.integers(0, 10**6)


@dataclass(frozen=True)
class Sent:
    """A message on its way, with what the model needs to know of the chain it belongs to."""

    sender: str
    receiver: str
    kind: str
    data: bytes
    plaintext: bytes
    session: bytes
    ratchet_key: bytes
    mac: bytes


class Conversation(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.parties = {"alice": Party.create(), "bob": Party.create()}
        self.in_flight: list[Sent] = []
        self.read: list[Sent] = []
        self.chains: dict[tuple[str, bytes], list[bytes]] = {}  # (receiver, session): ratchet keys in the order they were met

    @rule(sender=sides, plaintext=st.binary(max_size=40), anew=st.integers(0, 5), one_time=st.booleans())
    def send(self, sender, plaintext, anew, one_time):
        receiver = other(sender)
        party = self.parties[sender]
        bundle = self.parties[receiver].bundle(one_time) if anew == 0 or not party.has_session(receiver) else None
        kind, data = party.encrypt(receiver, plaintext, bundle)
        sealed = PreKeySignalMessage.from_bytes(data).message if kind == "pkmsg" else data
        session, ratchet_key = party._sessions[receiver][0].base_key, SignalMessage.from_bytes(sealed[:-8]).ratchet_key
        self.in_flight.append(Sent(sender, receiver, kind, data, plaintext, session, ratchet_key, sealed[-8:]))

    @precondition(lambda self: self.in_flight)
    @rule(position=positions, newest=st.booleans())
    def deliver(self, position, newest):
        sent = self.in_flight.pop(-1 if newest else position % len(self.in_flight))
        if self.too_old(sent):
            assert self.refusal(sent, sent.data) is not None
        else:
            assert self.decrypt(sent, sent.data) == sent.plaintext
            self.note_read(sent)

    @precondition(lambda self: self.in_flight)
    @rule(position=positions)
    def lose(self, position):
        self.in_flight.pop(position % len(self.in_flight))

    @precondition(lambda self: self.read)
    @rule(position=positions)
    def repeat(self, position):
        sent = self.read[position % len(self.read)]
        refusal = self.refusal(sent, sent.data)
        assert type(refusal) is (DecryptError if self.too_old(sent) else DuplicateMessage)

    @precondition(lambda self: self.in_flight)
    @rule(position=positions, bit=positions)
    def deliver_damaged_first(self, position, bit):
        sent = self.in_flight[position % len(self.in_flight)]
        damaged = bytearray(sent.data)
        damaged[sent.data.index(sent.mac) + bit % 64 // 8] ^= 1 << bit % 8
        assert self.refusal(sent, bytes(damaged)) is not None

    def decrypt(self, sent, data):
        return self.parties[sent.receiver].decrypt(sent.sender, sent.kind, data)

    def refusal(self, sent, data):
        try:
            self.decrypt(sent, data)
        except DecryptError as error:
            return error
        return None

    def too_old(self, sent):
        met = self.chains.get((sent.receiver, sent.session), [])
        return sent.ratchet_key in met[:-MAX_RECEIVING_CHAINS]

    def note_read(self, sent):
        self.read.append(sent)
        met = self.chains.setdefault((sent.receiver, sent.session), [])
        if sent.ratchet_key not in met:
            met.append(sent.ratchet_key)


def other(side):
    return "bob" if side == "alice" else "alice"


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=40)
