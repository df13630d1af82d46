"""Poll votes, encrypted under the poll's own secret so that the server can't read them (whatsmeow msgsecret.go).

The key and the additional data name the poll, who asked and who votes, by their addresses as the vote's sender sees them.
"""

from __future__ import annotations

import hashlib
import secrets
from itertools import product
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import Iterable

SECRET_BYTES: Final = 32
USE: Final = b"Poll Vote"
NONCE_BYTES: Final = 12


def option_hash(option: str) -> bytes:
    """How a vote names an option."""
    return hashlib.sha256(option.encode()).digest()


def seal(secret: bytes, poll_id: str, asker: str, voter: str, options: Iterable[str]) -> tuple[bytes, bytes]:
    """Encrypt a vote for some options of a poll; addresses without a device. Returns nonce and ciphertext."""
    vote = waE2E.PollVoteMessage(selectedOptions=[option_hash(option) for option in options])
    key, bound = _key(secret, poll_id, asker, voter)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce, AESGCM(key).encrypt(nonce, vote.SerializeToString(), bound)


def unseal(secret: bytes, poll_id: str, askers: Iterable[str], voters: Iterable[str], nonce: bytes, sealed: bytes) -> list[bytes]:
    """Decrypt a vote: the hashes of the chosen options. Each side may have been named by any of its addresses.

    Raises:
        ValueError: it is no vote in this poll by this voter.
    """
    for asker, voter in product(askers, voters):
        key, bound = _key(secret, poll_id, asker, voter)
        try:
            plaintext = AESGCM(key).decrypt(nonce, sealed, bound)
        except InvalidTag:
            continue
        return list(waE2E.PollVoteMessage.FromString(plaintext).selectedOptions)
    raise ValueError("the vote can't be decrypted")


def _key(secret: bytes, poll_id: str, asker: str, voter: str) -> tuple[bytes, bytes]:
    words = poll_id.encode() + asker.encode() + voter.encode() + USE
    return HKDF(hashes.SHA256(), 32, None, words).derive(secret), f"{poll_id}\0{voter}".encode()
