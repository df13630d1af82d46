"""A talk recorded from Baileys 7.0.0-rc14 (libsignal-node 6.0.0), which wrote first to a device with these keys."""

from __future__ import annotations

import pytest

from wasess.sandbox.signal import KEY_TYPE, DuplicateMessage, KeyPair, Party

IDENTITY = "086ab06a7845e3bcdac2f49a626af007ee172468aa48ce73d52ea86294a70c70"
SIGNED_PREKEY = "20bf1f3d5d5ecd0481489512f4c05201e0bd2e1f8c3f6a55c9f633751f8a8455"
PREKEY = "20361c4aae8afc9333c71b6db060cfe8969c64e5bc234e55e866a7b4cef50274"

HEADER = (
    "330801122105faadd565010daa7724bd2e8ab453fc8aa76330fff359c3985033e2d3fb5ed6551a21"
    "057cf624686e76feee8c720be7d4c56a1856539cc69fffd4eb8c9c0d353590ba342242330a210583"
    "f64cf7ca8fc00c580514797f62587c8bba48369d4c1063648bdc611507612e10"
)
FIRST, SECOND, THIRD = (
    bytes.fromhex(HEADER + rest)
    for rest in (
        "001800221072be16f33c4c0bbfd418c48233f5bcdf6a5e1f52b827861328e7243001",
        "0118002210eb75eff960afab151c7d171e1126e4a0872255c47e1d5dd528e7243001",
        "0218002210871b4c5d1a3a8a706429b14adf8aff1b0710de7df7d4663c28e7243001",
    )
)

DISTRIBUTION = bytes.fromhex(
    "3308e8a4f5e80410001a2070052e91ec737b435c62abe6b93f9656dbbead32128aeee4d778c58a04"
    "971bcd22210506120bb74d97552f838b7b817d20942ce522f2d094782cfb5e20636af58b970b"
)
TO_ALL = bytes.fromhex(
    "3308e8a4f5e80410001a10b1a0894f4a1249f460f59bf0e4c7002abed7bc8af5534ff7a12810f1d0"
    "f3bbcc9643902c5936b55b9a0dcfd17f719036fab002cbf81affd1c1375e2514ced2e1da8153d11a"
    "2554a87b129140f8cabd80"
)
# Baileys' second message of a sender key has iteration 2, not 1.
AGAIN = bytes.fromhex(
    "3308e8a4f5e80410021a1010a6ed264d5c7406987e762a8243805e8f0f8c0df3bdd2e06004316cf2"
    "2461b3dc308040dad8989c7b87d3f82483934c86f8abbaa8195d183d210265f39ff651d24cc11215"
    "4f53911c76ef3106ee0183"
)


@pytest.fixture
def party():
    identity, signed, prekey = (KeyPair.from_private(bytes.fromhex(key)) for key in (IDENTITY, SIGNED_PREKEY, PREKEY))
    return Party(identity, 1234, signed, identity.sign(KEY_TYPE + signed.public), {1: prekey}, 1)


def test_its_first_messages_are_read_in_any_order(party):
    assert party.decrypt("baileys", "pkmsg", THIRD) == b"third"
    assert party.decrypt("baileys", "pkmsg", FIRST) == b"first"
    assert party.decrypt("baileys", "pkmsg", SECOND) == b"second"
    with pytest.raises(DuplicateMessage):
        party.decrypt("baileys", "pkmsg", FIRST)
    assert party.encrypt("baileys", b"answer")[0] == "msg"


def test_its_group_messages_are_read(party):
    party.accept_distribution("group", "baileys", DISTRIBUTION)
    assert party.group_decrypt("group", "baileys", TO_ALL) == b"to all"
    assert party.group_decrypt("group", "baileys", AGAIN) == b"again"
