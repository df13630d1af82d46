"""Where chains stand in libsignal's records, and how they are put back: tables."""

from __future__ import annotations

import json
from base64 import b64encode
from copy import deepcopy

import pytest

from wasess.store import agreement, ratchet
from wasess.store.ratchet import MOST_POSITIONS, NotUnderstood, Stretch


def key(number: int) -> str:
    return b64encode(number.to_bytes(32)).decode()


def chain(ratchet_key: str, index: int, *skipped: int) -> dict:
    kept = [{"CipherKey": key(1), "MacKey": key(2), "IV": "AAAA", "Index": number} for number in skipped]
    link = {"Key": key(index), "Index": index}
    return {"SenderRatchetKeyPublic": ratchet_key, "SenderRatchetKeyPrivate": None, "ChainKey": link, "MessageKeys": kept}


def state(base: str, *chains: dict, sent: int = 0) -> dict:
    sending = {**chain("ours", sent), "SenderRatchetKeyPrivate": key(9)}
    return {"SenderBaseKey": base, "RootKey": key(8), "SenderChain": sending, "ReceiverChains": list(chains), "PendingPreKey": None}


def session(current: dict, *previous: dict) -> dict:
    return {"SessionState": current, "PreviousStates": list(previous)}


def sender_key(number: int, iteration: int, *skipped: int, private: str | None = None) -> dict:
    kept = [{"Iteration": one, "Seed": key(1)} for one in skipped]
    link = {"Iteration": iteration, "ChainKey": key(iteration)}
    return {"KeyID": number, "Keys": kept, "SenderChainKey": link, "SigningKeyPrivate": private, "SigningKeyPublic": "signing"}


def group(*states: dict) -> dict:
    return {"SenderKeyStates": list(states)}


ZEROS = b64encode(bytes(32)).decode()
ONE = ("base", "one")


@pytest.mark.parametrize(
    ("earlier", "later", "opens"),
    [
        (chain("one", 3), chain("one", 4), Stretch(3, 4, 1)),
        (chain("one", 3), chain("one", 7), Stretch(3, 7, 4)),
        (chain("one", 3), chain("one", 9, 3, 4, 5, 6, 7), Stretch(3, 9, 1)),  # one message came, that was five ahead
        (chain("one", 9, 3, 4), chain("one", 9, 4), Stretch(3, 9, 1)),  # and then the first of those that it had overtaken
        (chain("one", 9, 3, 4), chain("one", 11), Stretch(3, 11, 4)),
        (chain("one", 0), chain("one", MOST_POSITIONS), Stretch(0, MOST_POSITIONS, MOST_POSITIONS)),
        (chain("one", 0), chain("one", MOST_POSITIONS + 1), None),  # what is written next would be too far ahead for libsignal
        (chain("one", 4), chain("one", 3), None),
        (chain("one", 4), chain("one", 4), None),
        (chain("one", 4, 1), chain("one", 4, 1), None),
        (chain("other", 3), chain("one", 4), None),
    ],
)
def test_a_chain_is_put_back_where_that_opens_messages(earlier, later, opens):
    before, after = session(state("base", earlier)), session(state("base", later, sent=5))
    result, stretches = ratchet.rewound(after, ratchet.chains(before))
    assert stretches == ({ONE: opens} if opens else {})
    assert result == (session(state("base", earlier, sent=5)) if opens else after)


def test_only_the_chain_is_put_back():
    before = session(state("base", chain("one", 3), sent=2))
    after = session(state("new", chain("two", 1)), state("base", chain("zero", 8), chain("one", 5), sent=7))
    untouched = deepcopy(after)
    result, _ = ratchet.rewound(after, ratchet.chains(before))
    assert result == session(state("new", chain("two", 1)), state("base", chain("zero", 8), chain("one", 3), sent=7))
    assert after == untouched


def test_a_copy_that_libsignal_left_does_not_tell_where_a_chain_stands():
    record = session(state("base", chain("one", 50)), state("base", chain("one", 3)))
    assert ratchet.chains(record)[ONE].index == 50
    found = ratchet.state_of(record, "base")
    assert found is not None
    assert found["ReceiverChains"][0]["ChainKey"]["Index"] == 50
    assert ratchet.chains(group(sender_key(1, 0), sender_key(1, 7)))["1", "signing"].index == 0


@pytest.mark.parametrize("private", [None, ZEROS])
def test_a_members_sender_key_is_put_back(private):
    before, after = group(sender_key(1, 3, private=private)), group(sender_key(2, 0), sender_key(1, 6, 4, private=ZEROS))
    result, stretches = ratchet.rewound(after, ratchet.chains(before))
    assert result == group(sender_key(2, 0), sender_key(1, 3, private=ZEROS))
    assert stretches == {("1", "signing"): Stretch(3, 6, 2)}


def test_our_own_sender_key_is_never_put_back():
    before, after = group(sender_key(1, 3, private=key(5))), group(sender_key(1, 6, private=key(5)))
    assert ratchet.chains(before) == {}
    assert ratchet.rewound(after, ratchet.chains(group(sender_key(1, 3)))) == (after, {})


def test_lists_that_go_writes_as_null_are_empty():
    record = {"SessionState": {**state("base"), "ReceiverChains": None}, "PreviousStates": None}
    assert ratchet.read(json.dumps(record)).chains == {}
    record = session(state("base", {**chain("one", 3), "MessageKeys": None}))
    assert ratchet.read(ratchet.write(record)).chains[ONE].skipped == frozenset()


@pytest.mark.parametrize(
    "damage",
    [
        {"ChainKey": {"Key": key(1), "Index": -1}},
        {"ChainKey": {"Key": key(1), "Index": True}},
        {"ChainKey": {"Key": key(1), "Index": "3"}},
        {"ChainKey": {"Key": "AAAA", "Index": 3}},
        {"ChainKey": {"Key": "?", "Index": 3}},
        {"ChainKey": None},
        {"MessageKeys": [{}]},
        {"MessageKeys": 5},
    ],
)
def test_a_chain_that_is_none_makes_the_record_unreadable(damage):
    with pytest.raises(NotUnderstood):
        ratchet.read(json.dumps(session(state("base", {**chain("one", 3), **damage}))))


@pytest.mark.parametrize("blob", [None, 5, b"", b"\xff\xfe", b"{}", b"[]", b"null", b"[" * 100_000, b'{"SenderKeyStates": 3}'])
def test_what_is_no_record_is_not_understood(blob):
    with pytest.raises(NotUnderstood):
        ratchet.read(blob)


def test_keys_that_do_not_fit_lead_nowhere():
    own = agreement.OwnKeys(bytes([8]) * 32, bytes([9]) * 32)
    public = b64encode(b"\x05" + bytes([9]) + bytes(31)).decode()
    after = {**state(public, chain(public, 1)), "RemoteIdentityPublic": public}
    assert agreement.begun(after, public, own, [bytes([7]) * 32]) == ""
    assert agreement.turned(state(public), after, public) == ""


@pytest.mark.parametrize("public", ["", "?", "BQ==", b64encode(b"\x05" + bytes(32)).decode()])
def test_a_public_key_that_is_none_leads_nowhere(public):
    own = agreement.OwnKeys(bytes([8]) * 32, bytes([9]) * 32)
    assert agreement.begun({**state(public), "RemoteIdentityPublic": public}, public, own, []) == ""
    assert agreement.turned(state("base"), state("base"), public) == ""
