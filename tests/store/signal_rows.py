"""A companion that keeps its Signal sessions in whatsmeow's tables, in libsignal's JSON; its cryptography is the sandbox's.

What the real library does with these rows is tested in tests/wire/test_wire_undo.py; this one is fast enough for thousands of stories.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from wasess.sandbox.signal.chain import Chain
from wasess.sandbox.signal.curve import KEY_TYPE, KeyPair
from wasess.sandbox.signal.party import Party
from wasess.sandbox.signal.sender_keys import OwnSenderKey, PeerSenderKey
from wasess.sandbox.signal.session import Session, Unanswered

if TYPE_CHECKING:
    import sqlite3

    from wasess.sandbox.signal.party import Kind

OUR_JID = "491701234567:3@s.whatsapp.net"
OUR_ADDRESS = "1000_1:3"

# whatsmeow's own statements (version 15), and what matters of its device table.
SCHEMA = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, noise_key BLOB NOT NULL, identity_key BLOB NOT NULL, signed_pre_key BLOB NOT NULL,
    platform TEXT NOT NULL DEFAULT '', push_name TEXT NOT NULL DEFAULT ''
);
CREATE TABLE whatsmeow_pre_keys (
    jid TEXT, key_id INTEGER CHECK ( key_id >= 0 AND key_id < 16777216 ), key bytea NOT NULL CHECK ( length(key) = 32 ),
    uploaded BOOLEAN NOT NULL, PRIMARY KEY (jid, key_id),
    FOREIGN KEY (jid) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE whatsmeow_sessions (
    our_jid TEXT, their_id TEXT, session bytea, PRIMARY KEY (our_jid, their_id),
    FOREIGN KEY (our_jid) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE whatsmeow_sender_keys (
    our_jid TEXT, chat_id TEXT, sender_id TEXT, sender_key bytea NOT NULL, PRIMARY KEY (our_jid, chat_id, sender_id),
    FOREIGN KEY (our_jid) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE ON UPDATE CASCADE
);
"""
PUT_SESSION = """INSERT INTO whatsmeow_sessions (our_jid, their_id, session) VALUES (?, ?, ?)
    ON CONFLICT (our_jid, their_id) DO UPDATE SET session=excluded.session"""
PUT_SENDER_KEY = """INSERT INTO whatsmeow_sender_keys (our_jid, chat_id, sender_id, sender_key) VALUES (?, ?, ?, ?)
    ON CONFLICT (our_jid, chat_id, sender_id) DO UPDATE SET sender_key=excluded.sender_key"""
MIGRATE = (
    """INSERT INTO whatsmeow_sessions (our_jid, their_id, session)
    SELECT our_jid, replace(their_id, :pn, :lid), session FROM whatsmeow_sessions WHERE their_id LIKE :pn || ':%'
    ON CONFLICT (our_jid, their_id) DO UPDATE SET session=excluded.session""",
    "DELETE FROM whatsmeow_sessions WHERE their_id LIKE :pn || ':%'",
)


class Companion:
    """Receives and sends; every call reads the rows it needs and writes them, as the library does."""

    def __init__(self, database: sqlite3.Connection, pre_keys: int = 40) -> None:
        self.database = database
        self.party = Party.create()
        self.bundles = [self.party.bundle() for _ in range(pre_keys)]
        private = [self.party.identity.private, self.party.signed_prekey.private]
        database.executescript(SCHEMA)
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', ?, ?, ?, 'android', 'Alice')", (OUR_JID, bytes(32), *private))
        pairs = [(OUR_JID, number, pair.private) for number, pair in self.party._prekeys.items()]
        database.executemany("INSERT INTO whatsmeow_pre_keys VALUES (?, ?, ?, true)", pairs)

    def receive(self, address: str, kind: Kind, data: bytes) -> bytes:
        self._load(address)
        unused = set(self.party._prekeys)
        text = self.party.decrypt(address, kind, data)
        self._store(address)
        for number in unused - set(self.party._prekeys):
            self.database.execute("DELETE FROM whatsmeow_pre_keys WHERE jid = ? AND key_id = ?", (OUR_JID, number))
        return text

    def send(self, address: str, text: bytes, bundle: Any = None) -> tuple[Kind, bytes]:
        self._load(address)
        sealed = self.party.encrypt(address, text, bundle)
        self._store(address)
        return sealed

    def accept(self, group: str, address: str, distribution: bytes) -> None:
        """As libsignal's Go port does: a key that is known is taken once more, before the first."""
        self._load_keys(group, address)
        key = PeerSenderKey.from_distribution(distribution)
        self.party._peer_sender_keys[group, address] = (key, *self.party._peer_sender_keys[group, address])[:5]
        self._store_keys(group, address)

    def group_receive(self, group: str, address: str, data: bytes) -> bytes:
        self._load_keys(group, address)
        text = self.party.group_decrypt(group, address, data)
        self._store_keys(group, address)
        return text

    def group_send(self, group: str, text: bytes) -> tuple[bytes, bytes]:
        """A distribution and a message."""
        distribution = self.party.distribution(group)
        sealed = self.party.group_encrypt(group, text)
        own = {"SenderKeyStates": [_own_key_state(self.party._own_sender_keys[group])]}
        self.database.execute(PUT_SENDER_KEY, (OUR_JID, group, OUR_ADDRESS, _bytes(own)))
        return distribution, sealed

    def reload_own_key(self, group: str) -> None:
        """Go on with what is in the row, as a new process does."""
        row = self._one("SELECT sender_key FROM whatsmeow_sender_keys WHERE chat_id = ? AND sender_id = ?", group, OUR_ADDRESS)
        if row is not None:
            state = json.loads(row)["SenderKeyStates"][0]
            signing = KeyPair.from_private(b64decode(state["SigningKeyPrivate"]))
            self.party._own_sender_keys[group] = OwnSenderKey(
                state["KeyID"], _chain_of(state, "SenderChainKey", "ChainKey", "Iteration"), signing
            )

    def session(self, address: str) -> dict[str, Any] | None:
        row = self._one("SELECT session FROM whatsmeow_sessions WHERE their_id = ?", address)
        return None if row is None else json.loads(row)

    def _load(self, address: str) -> None:
        record = self.session(address)
        self.party._sessions.pop(address, None)
        if record is not None:
            self.party._sessions[address] = tuple(_session_of(state) for state in (record["SessionState"], *record["PreviousStates"]))
        rows = self.database.execute("SELECT key_id, key FROM whatsmeow_pre_keys")
        self.party._prekeys = {number: KeyPair.from_private(key) for number, key in rows}

    def _store(self, address: str) -> None:
        current, *previous = [_state(session) for session in self.party._sessions[address]]
        record = {"SessionState": current, "PreviousStates": previous}
        self.database.execute(PUT_SESSION, (OUR_JID, address, _bytes(record)))

    def _load_keys(self, group: str, address: str) -> None:
        row = self._one("SELECT sender_key FROM whatsmeow_sender_keys WHERE chat_id = ? AND sender_id = ?", group, address)
        states = [] if row is None else json.loads(row)["SenderKeyStates"]
        self.party._peer_sender_keys[group, address] = tuple(
            PeerSenderKey(
                state["KeyID"], _chain_of(state, "SenderChainKey", "ChainKey", "Iteration"), _public_of(state["SigningKeyPublic"])
            )
            for state in states
        )

    def _store_keys(self, group: str, address: str) -> None:
        states = [
            _key_state(key.id, key.chain, _public(key.signing), None if index else _text(bytes(32)))
            for index, key in enumerate(self.party._peer_sender_keys[group, address])
        ]
        self.database.execute(PUT_SENDER_KEY, (OUR_JID, group, address, _bytes({"SenderKeyStates": states})))

    def _one(self, query: str, *values: str) -> Any:
        row = self.database.execute(query, values).fetchone()
        return row and row[0]


def _state(session: Session) -> dict[str, Any]:
    pending = session.unanswered and {"PreKeyID": session.unanswered.prekey_id, "SignedPreKeyID": session.unanswered.signed_prekey_id}
    own = {"SenderRatchetKeyPublic": _public(session.ratchet.public), "SenderRatchetKeyPrivate": _text(session.ratchet.private)}
    return {
        "LocalIdentityPublic": _public(session.local_identity),
        "PendingPreKey": pending,
        "PreviousCounter": session.previous_counter or 4294967295,  # libsignal counts down from 0
        "ReceiverChains": [
            {
                "SenderRatchetKeyPublic": _public(key),
                "SenderRatchetKeyPrivate": None,
                **_chain(chain, "ChainKey", "Key", "Index", "MessageKeys"),
            }
            for key, chain in session.receiving.items()
        ],
        "RemoteIdentityPublic": _public(session.remote_identity),
        "RootKey": _text(session.root_key),
        "SenderBaseKey": _public(session.base_key),
        "SenderChain": {**own, **_chain(session.sending, "ChainKey", "Key", "Index", "MessageKeys")},
        "SessionVersion": 3,
    }


def _session_of(state: dict[str, Any]) -> Session:
    pending = state["PendingPreKey"]
    previous = state["PreviousCounter"]
    return Session(
        local_identity=_public_of(state["LocalIdentityPublic"]),
        remote_identity=_public_of(state["RemoteIdentityPublic"]),
        base_key=_public_of(state["SenderBaseKey"]),
        root_key=b64decode(state["RootKey"]),
        ratchet=KeyPair.from_private(b64decode(state["SenderChain"]["SenderRatchetKeyPrivate"])),
        sending=_chain_of(state["SenderChain"], "ChainKey", "Key", "Index"),
        previous_counter=0 if previous == 4294967295 else previous,
        receiving={
            _public_of(one["SenderRatchetKeyPublic"]): _chain_of(one, "ChainKey", "Key", "Index") for one in state["ReceiverChains"]
        },
        unanswered=pending and Unanswered(pending["PreKeyID"], pending["SignedPreKeyID"]),
    )


def _own_key_state(key: OwnSenderKey) -> dict[str, Any]:
    return _key_state(key.id, key.chain, _public(key.signing.public), _text(key.signing.private))


def _key_state(number: int, chain: Chain, public: str, private: str | None) -> dict[str, Any]:
    fields = _chain(chain, "SenderChainKey", "ChainKey", "Iteration", "Keys")
    return {"KeyID": number, **fields, "SigningKeyPrivate": private, "SigningKeyPublic": public}


def _chain(chain: Chain, link: str, key: str, index: str, skipped: str) -> dict[str, Any]:
    # libsignal keeps the three keys that come from a seed, we the seed; nobody but the library looks at them.
    kept = [{index: number, "Seed": _text(seed)} for number, seed in chain.skipped.items()]
    return {link: {key: _text(chain.key), index: chain.index}, skipped: kept}


def _chain_of(holder: dict[str, Any], link: str, key: str, index: str) -> Chain:
    kept = holder["Keys" if link == "SenderChainKey" else "MessageKeys"] or []
    return Chain(b64decode(holder[link][key]), holder[link][index], {one[index]: b64decode(one["Seed"]) for one in kept})


def _bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _public(key: bytes) -> str:
    return _text(KEY_TYPE + key)


def _public_of(text: str) -> bytes:
    return b64decode(text)[1:]
