"""One session between two devices: X3DH to begin it, then the double ratchet.

A `Session` is a value: encrypting and decrypting return the session that comes after, so whatever fails changes nothing.

    ours begins it:    initiate(bundle)  --encrypt--> pkmsg, pkmsg, ... until the first answer is read, then msg
    theirs begins it:  respond(header)   --decrypt the message inside--> msg from then on
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wasess.sandbox.signal.chain import Chain, decrypt, derive, encrypt
from wasess.sandbox.signal.curve import KEY_TYPE, KeyPair, verify
from wasess.sandbox.signal.errors import BadBundle, DecryptError
from wasess.sandbox.signal.wire import SignalMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasess.sandbox.signal.wire import PreKeySignalMessage

MAX_RECEIVING_CHAINS = 5
"""How many of the peer's ratchet keys stay readable (libsignal's figure): older messages are lost."""

_DISCONTINUITY = b"\xff" * 32
_MAC_BYTES = 8


@dataclass(frozen=True, slots=True)
class PreKeyBundle:
    """What a device publishes so that others can write to it first.

    Public keys are 32 bytes. ``signature`` is the identity's over 0x05 and the signed pre-key. Without a one-time
    pre-key both ``prekey_id`` and ``prekey`` are None.
    """

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None = None
    prekey: bytes | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The pre-keys a session was begun with: named in every message until the peer has answered."""

    prekey_id: int | None
    signed_prekey_id: int


@dataclass(frozen=True, slots=True)
class Session:
    """The double ratchet's state; ``base_key`` is the initiator's and names the session. Public keys are 32 bytes."""

    local_identity: bytes
    remote_identity: bytes
    base_key: bytes
    root_key: bytes = field(repr=False)
    ratchet: KeyPair
    sending: Chain
    previous_counter: int = 0
    receiving: Mapping[bytes, Chain] = field(default_factory=dict)
    unanswered: Unanswered | None = None

    def encrypt(self, plaintext: bytes) -> tuple[bytes, Session]:
        """A serialized SignalMessage with its MAC, and the session after it."""
        seed, sending = self.sending.advance()
        cipher_key, mac_key, iv = _message_keys(seed)
        message = SignalMessage(self.ratchet.public, self.sending.index, self.previous_counter, encrypt(cipher_key, iv, plaintext))
        data = message.to_bytes()
        return data + _mac(mac_key, self.local_identity, self.remote_identity, data), replace(self, sending=sending)

    def decrypt(self, sealed: bytes) -> tuple[bytes, Session]:
        """The plaintext of a SignalMessage with its MAC, and the session after it; raises DecryptError."""
        data, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
        message = SignalMessage.from_bytes(data)
        known = self.receiving.get(message.ratchet_key)
        root_key, chain = (self.root_key, known) if known else self._receiving_chain(message.ratchet_key)
        seed, chain = chain.reach(message.counter)
        cipher_key, mac_key, iv = _message_keys(seed)
        if not hmac.compare_digest(mac, _mac(mac_key, self.remote_identity, self.local_identity, data)):
            raise DecryptError("the MAC is wrong")
        plaintext = decrypt(cipher_key, iv, message.ciphertext)
        session = self if known else self._turn(root_key, message.ratchet_key)
        return plaintext, replace(session, receiving=_newest({**self.receiving, message.ratchet_key: chain}), unanswered=None)

    def _receiving_chain(self, ratchet_key: bytes) -> tuple[bytes, Chain]:
        return _ratchet_step(self.root_key, _agree(self.ratchet, ratchet_key))

    def _turn(self, root_key: bytes, ratchet_key: bytes) -> Session:
        """The peer has a new ratchet key, so we take one too."""
        ratchet = KeyPair.generate()
        root_key, sending = _ratchet_step(root_key, _agree(ratchet, ratchet_key))
        return replace(self, root_key=root_key, ratchet=ratchet, sending=sending, previous_counter=max(self.sending.index - 1, 0))


def initiate(identity: KeyPair, bundle: PreKeyBundle) -> Session:
    """The session our side begins with the device that published the bundle; raises BadBundle."""
    if not verify(bundle.identity, KEY_TYPE + bundle.signed_prekey, bundle.signature):
        raise BadBundle("the signed pre-key does not carry the signature of its identity")
    base, ratchet = KeyPair.generate(), KeyPair.generate()
    secrets = [_agree(identity, bundle.signed_prekey), _agree(base, bundle.identity), _agree(base, bundle.signed_prekey)]
    if bundle.prekey is not None:
        secrets.append(_agree(base, bundle.prekey))
    root_key, sending = _ratchet_step(_first_keys(secrets)[0], _agree(ratchet, bundle.signed_prekey))
    unanswered = Unanswered(bundle.prekey_id, bundle.signed_prekey_id)
    return Session(identity.public, bundle.identity, base.public, root_key, ratchet, sending, unanswered=unanswered)


def respond(identity: KeyPair, signed_prekey: KeyPair, prekey: KeyPair | None, header: PreKeySignalMessage) -> Session:
    """The session a peer begins with us; the message in the header is still to be decrypted with it."""
    base = header.base_key
    secrets = [_agree(signed_prekey, header.identity_key), _agree(identity, base), _agree(signed_prekey, base)]
    if prekey is not None:
        secrets.append(_agree(prekey, base))
    root_key, chain_key = _first_keys(secrets)
    return Session(identity.public, header.identity_key, base, root_key, signed_prekey, Chain(chain_key))


def _first_keys(secrets: list[bytes]) -> tuple[bytes, bytes]:
    derived = derive(_DISCONTINUITY + b"".join(secrets), b"WhisperText", 64)
    return derived[:32], derived[32:]


def _ratchet_step(root_key: bytes, secret: bytes) -> tuple[bytes, Chain]:
    derived = derive(secret, b"WhisperRatchet", 64, salt=root_key)
    return derived[:32], Chain(derived[32:])


def _message_keys(seed: bytes) -> tuple[bytes, bytes, bytes]:
    derived = derive(seed, b"WhisperMessageKeys", 80)
    return derived[:32], derived[32:64], derived[64:]


def _mac(key: bytes, sender: bytes, receiver: bytes, data: bytes) -> bytes:
    return hmac.digest(key, KEY_TYPE + sender + KEY_TYPE + receiver + data, "sha256")[:_MAC_BYTES]


def _agree(own: KeyPair, public: bytes) -> bytes:
    try:
        return own.agree(public)
    except ValueError as error:
        raise DecryptError(str(error)) from error


def _newest(chains: dict[bytes, Chain]) -> dict[bytes, Chain]:
    return dict(list(chains.items())[-MAX_RECEIVING_CHAINS:])
