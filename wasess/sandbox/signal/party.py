"""One Signal device: a contact's phone, or the user's own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wasess.sandbox.signal.curve import KEY_TYPE, KeyPair
from wasess.sandbox.signal.errors import DecryptError, DuplicateMessage, NoSession
from wasess.sandbox.signal.sender_keys import OwnSenderKey, PeerSenderKey, key_id
from wasess.sandbox.signal.session import PreKeyBundle, Session, initiate, respond
from wasess.sandbox.signal.wire import PreKeySignalMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["pkmsg", "msg"]
"""The ``type`` of an ``<enc>`` of a session; a group's is "skmsg"."""

MAX_OLD_SESSIONS = 40
"""How many former sessions with one address stay readable (libsignal's figure)."""

MAX_SENDER_KEYS = 5
"""How many sender keys of one member stay readable (libsignal's figure)."""

_SIGNED_PREKEY_ID = 1
_MAX_REGISTRATION_ID = 16380


@dataclass(slots=True)
class Party:
    """A device's keys and everything it has agreed on with others.

    Addresses, groups and senders are texts of the caller's choosing ("user:device"); only their equality counts.
    Make one with `create`. Whatever raises leaves the party as it was.
    """

    identity: KeyPair
    registration_id: int
    signed_prekey: KeyPair
    signed_prekey_signature: bytes
    _prekeys: dict[int, KeyPair] = field(default_factory=dict, repr=False)
    _prekeys_made: int = 0
    _sessions: dict[str, tuple[Session, ...]] = field(default_factory=dict, repr=False)  # the one to encrypt with first
    _own_sender_keys: dict[str, OwnSenderKey] = field(default_factory=dict, repr=False)
    _peer_sender_keys: dict[tuple[str, str], tuple[PeerSenderKey, ...]] = field(default_factory=dict, repr=False)  # newest first

    @classmethod
    def create(cls) -> Party:
        """A device with fresh random keys and no one-time pre-keys yet: `bundle` makes one when it gives one out."""
        identity, signed_prekey = KeyPair.generate(), KeyPair.generate()
        signature = identity.sign(KEY_TYPE + signed_prekey.public)
        return cls(identity, 1 + secrets.randbelow(_MAX_REGISTRATION_ID), signed_prekey, signature)

    def bundle(self, one_time: bool = True) -> PreKeyBundle:  # noqa: FBT001, FBT002 # the contract of the sandbox's design
        """What another device needs to write to this one first; each bundle has a one-time pre-key of its own, or none."""
        prekey_id, prekey = self._new_prekey() if one_time else (None, None)
        return PreKeyBundle(
            registration_id=self.registration_id,
            identity=self.identity.public,
            signed_prekey_id=_SIGNED_PREKEY_ID,
            signed_prekey=self.signed_prekey.public,
            signature=self.signed_prekey_signature,
            prekey_id=prekey_id,
            prekey=prekey,
        )

    def has_session(self, address: str) -> bool:
        """Whether `encrypt` can do without a bundle."""
        return address in self._sessions

    def forget(self, address: str) -> None:
        """Drops every session with the address, as a device does that was set up anew; sender keys stay."""
        self._sessions.pop(address, None)

    def encrypt(self, address: str, plaintext: bytes, bundle: PreKeyBundle | None = None) -> tuple[Kind, bytes]:
        """A message for the address: "pkmsg" as long as it has not answered a session begun here, else "msg".

        A bundle begins a new session even where there is one (after a retry receipt, say); the old one stays readable.
        Raises NoSession without session and bundle, BadBundle for a forged one.
        """
        sessions = self._sessions.get(address, ())
        if bundle is not None:
            sessions = _first(initiate(self.identity, bundle), sessions)
        if not sessions:
            raise NoSession(f"no session with {address}: a pre-key bundle is needed")
        sealed, session = sessions[0].encrypt(plaintext)
        self._sessions[address] = (session, *sessions[1:])
        if session.unanswered is None:
            return "msg", sealed
        header = PreKeySignalMessage(
            pre_key_id=session.unanswered.prekey_id,
            base_key=session.base_key,
            identity_key=self.identity.public,
            message=sealed,
            registration_id=self.registration_id,
            signed_pre_key_id=session.unanswered.signed_prekey_id,
        )
        return "pkmsg", header.to_bytes()

    def decrypt(self, address: str, kind: Kind, ciphertext: bytes) -> bytes:
        """The plaintext of a message from the address.

        Raises DuplicateMessage for one that was decrypted before, DecryptError for anything else that can't be read.
        """
        if kind == "msg":
            return self._decrypt_known(address, ciphertext)
        header = PreKeySignalMessage.from_bytes(ciphertext)
        begun = (header.base_key, header.identity_key)
        if any((session.base_key, session.remote_identity) == begun for session in self._sessions.get(address, ())):
            return self._decrypt_known(address, header.message)
        return self._decrypt_first(address, header)

    def distribution(self, group: str) -> bytes:
        """A serialized SenderKeyDistributionMessage for a member of the group.

        It opens what `group_encrypt` returns from now on, so hand it out before encrypting.
        """
        if group not in self._own_sender_keys:
            self._own_sender_keys[group] = OwnSenderKey.create()
        return self._own_sender_keys[group].distribution()

    def accept_distribution(self, group: str, sender: str, data: bytes) -> None:
        """Takes the sender key of a member; one that is known already goes on from where it is. Raises DecryptError."""
        key = PeerSenderKey.from_distribution(data)
        known = self._peer_sender_keys.get((group, sender), ())
        if all((key.id, key.signing) != (other.id, other.signing) for other in known):
            self._peer_sender_keys[group, sender] = (key, *known)[:MAX_SENDER_KEYS]

    def group_encrypt(self, group: str, plaintext: bytes) -> bytes:
        """A message ("skmsg") for all who have this device's `distribution`; raises NoSession when nobody can."""
        if group not in self._own_sender_keys:
            raise NoSession(f"no sender key for {group}: nobody was given one")
        message, self._own_sender_keys[group] = self._own_sender_keys[group].encrypt(plaintext)
        return message

    def group_decrypt(self, group: str, sender: str, data: bytes) -> bytes:
        """The plaintext of a member's message; raises DuplicateMessage and DecryptError as `decrypt` does."""
        named = key_id(data)
        keys = self._peer_sender_keys.get((group, sender), ())
        for position, key in enumerate(keys):
            if key.id == named:
                plaintext, after = key.decrypt(data)
                self._peer_sender_keys[group, sender] = (*keys[:position], after, *keys[position + 1 :])
                return plaintext
        raise DecryptError(f"no sender key {named} of {sender} in {group}")

    def _new_prekey(self) -> tuple[int, bytes]:
        self._prekeys_made += 1
        pair = self._prekeys[self._prekeys_made] = KeyPair.generate()
        return self._prekeys_made, pair.public

    def _decrypt_known(self, address: str, sealed: bytes) -> bytes:
        """Tries every session with the address; the one that fits is the one to encrypt with from now on."""
        sessions = self._sessions.get(address, ())
        refusals: list[DecryptError] = []
        for session in sessions:
            try:
                plaintext, after = session.decrypt(sealed)
            except DuplicateMessage:
                raise
            except DecryptError as error:
                refusals.append(error)
            else:
                self._sessions[address] = _first(after, [other for other in sessions if other is not session])
                return plaintext
        if not refusals:
            raise DecryptError(f"no session with {address}")
        raise refusals[0]

    def _decrypt_first(self, address: str, header: PreKeySignalMessage) -> bytes:
        if header.signed_pre_key_id != _SIGNED_PREKEY_ID:
            raise DecryptError(f"no signed pre-key {header.signed_pre_key_id}")
        if header.pre_key_id is not None and header.pre_key_id not in self._prekeys:
            raise DecryptError(f"no one-time pre-key {header.pre_key_id}: used already, or never ours")
        prekey = None if header.pre_key_id is None else self._prekeys[header.pre_key_id]
        plaintext, session = respond(self.identity, self.signed_prekey, prekey, header).decrypt(header.message)
        self._sessions[address] = _first(session, self._sessions.get(address, ()))
        if header.pre_key_id is not None:
            del self._prekeys[header.pre_key_id]
        return plaintext


def _first(session: Session, others: Sequence[Session]) -> tuple[Session, ...]:
    return (session, *others)[: 1 + MAX_OLD_SESSIONS]
