from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wasess.sandbox import ballot

SECRET = bytes(range(32))
POLL, ASKER, VOTER = "3EB0AA", "1@lid", "2@lid"


def test_the_key_names_poll_asker_voter_and_use():
    nonce, sealed = ballot.seal(SECRET, POLL, ASKER, VOTER, ["yes"])
    key = hmac.digest(hmac.digest(bytes(32), SECRET, "sha256"), b"3EB0AA1@lid2@lidPoll Vote\x01", "sha256")
    assert AESGCM(key).decrypt(nonce, sealed, b"3EB0AA\x002@lid") == b"\x0a\x20" + ballot.option_hash("yes")


@pytest.mark.parametrize("options", [[], ["yes"], ["yes", "no"]])
def test_a_vote_is_read_by_any_of_the_addresses(options):
    nonce, sealed = ballot.seal(SECRET, POLL, ASKER, VOTER, options)
    found = ballot.unseal(SECRET, POLL, ["1@s.whatsapp.net", ASKER], ["2@s.whatsapp.net", VOTER], nonce, sealed)
    assert found == [ballot.option_hash(option) for option in options]


@pytest.mark.parametrize(
    ("secret", "poll", "asker", "voter"),
    [(bytes(32), POLL, ASKER, VOTER), (SECRET, "3EB0AB", ASKER, VOTER), (SECRET, POLL, "3@lid", VOTER), (SECRET, POLL, ASKER, "3@lid")],
)
def test_a_vote_in_another_poll_or_of_another_person_is_none(secret, poll, asker, voter):
    nonce, sealed = ballot.seal(SECRET, POLL, ASKER, VOTER, ["yes"])
    with pytest.raises(ValueError, match="can't be decrypted"):
        ballot.unseal(secret, poll, [asker], [voter], nonce, sealed)
