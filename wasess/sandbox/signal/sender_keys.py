"""Sender keys: every member of a group encrypts once for all, with a chain it handed to the others beforehand.

Both classes are values: what fails changes nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from wasess.sandbox.signal.chain import Chain, decrypt, derive, encrypt
from wasess.sandbox.signal.curve import KeyPair, verify
from wasess.sandbox.signal.errors import DecryptError
from wasess.sandbox.signal.wire import SenderKeyDistributionMessage, SenderKeyMessage

_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class OwnSenderKey:
    """The key a device encrypts a group's messages with."""

    id: int
    chain: Chain
    signing: KeyPair

    @classmethod
    def create(cls) -> OwnSenderKey:
        """A fresh random key."""
        return cls(secrets.randbelow(2**31), Chain(secrets.token_bytes(32)), KeyPair.generate())

    def distribution(self) -> bytes:
        """A serialized SenderKeyDistributionMessage: opens every message from now on, none before."""
        return SenderKeyDistributionMessage(self.id, self.chain.index, self.chain.key, self.signing.public).to_bytes()

    def encrypt(self, plaintext: bytes) -> tuple[bytes, OwnSenderKey]:
        """A signed SenderKeyMessage, and the key after it."""
        seed, chain = self.chain.advance()
        cipher_key, iv = _message_keys(seed)
        data = SenderKeyMessage(self.id, self.chain.index, encrypt(cipher_key, iv, plaintext)).to_bytes()
        return data + self.signing.sign(data), replace(self, chain=chain)


@dataclass(frozen=True, slots=True)
class PeerSenderKey:
    """Another member's key; ``signing`` is the 32-byte public key its messages are signed for."""

    id: int
    chain: Chain
    signing: bytes

    @classmethod
    def from_distribution(cls, data: bytes) -> PeerSenderKey:
        """The key in a serialized SenderKeyDistributionMessage; raises DecryptError."""
        message = SenderKeyDistributionMessage.from_bytes(data)
        if len(message.chain_key) != 32:
            raise DecryptError("the chain key of a sender key has 32 bytes")
        return cls(message.id, Chain(message.chain_key, message.iteration), message.signing_key)

    def decrypt(self, signed: bytes) -> tuple[bytes, PeerSenderKey]:
        """The plaintext of a signed SenderKeyMessage of this key, and the key after it; raises DecryptError."""
        data, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        message = SenderKeyMessage.from_bytes(data)
        if not verify(self.signing, data, signature):
            raise DecryptError("the sender key message is not signed by its sender")
        seed, chain = self.chain.reach(message.iteration)
        cipher_key, iv = _message_keys(seed)
        return decrypt(cipher_key, iv, message.ciphertext), replace(self, chain=chain)


def key_id(signed: bytes) -> int:
    """Which sender key a signed SenderKeyMessage names; raises DecryptError."""
    return SenderKeyMessage.from_bytes(signed[:-_SIGNATURE_BYTES]).id


def _message_keys(seed: bytes) -> tuple[bytes, bytes]:
    derived = derive(seed, b"WhisperGroup", 48)
    return derived[16:], derived[:16]
