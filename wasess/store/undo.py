"""Makes messages that died with a worker decryptable again: puts the receiving chains of the last ones back to where they stood.

The library decrypts a message, stores the Signal session that comes after it, and only then hands the message on. A worker that is
killed in between has used the message's key up: WhatsApp brings the message again, as nobody acknowledged it, and the library drops it
("old counter"). So triggers note what is written over (`undo_log`), and before the next worker starts, `roll_back` goes through that.

Nothing else is put back, see `ratchet`: not what we send with, nor rows as a whole. So it does no harm to go back too far: messages
that come again are decrypted again (and told apart by their ids), those that don't leave their keys in the session, as any message
that WhatsApp never delivers does. No key of a chain that the library has given up since (it keeps five a session) comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.store import agreement, ratchet, undo_log
from wasess.store.undo_log import PRE_KEY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from wasess.store.undo_log import Change, Place

MOST_MESSAGES = 128
"""No more than that are made readable again: 102 can be on their way in the library."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """Messages ``first`` to ``end`` (exclusive) of one chain of a sender's can be decrypted again; ``keys`` of them could not before.

    ``sender``: the library's Signal address (``user_1:device`` for a hidden user). ``chat``: the group; empty for a session between two.
    """

    sender: str
    chat: str
    first: int
    end: int
    keys: int


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What `roll_back` has done. ``changes``: how many were in the log."""

    reopened: tuple[Reopened, ...] = ()
    changes: int = 0

    @property
    def keys(self) -> int:
        """How many messages can be decrypted again. A group message that brought its sender key counts twice."""
        return sum(one.keys for one in self.reopened)


def roll_back(connection: sqlite3.Connection, since: float = 0.0) -> RolledBack:
    """Make the last messages (since a Unix time) decryptable again and empty the log, in one transaction; a second call does nothing.

    For the holder of the session's lock, while no worker runs, after one that did not end cleanly. ``connection`` is one that may
    write and begins no transaction by itself. Raises sqlite3's errors, and then nothing was changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = _rolled_back(connection, since)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself ends it when the disk is full
            connection.execute("ROLLBACK")
        raise
    return done


def _rolled_back(connection: sqlite3.Connection, since: float) -> RolledBack:
    walk = _Walk(connection, undo_log.changes(connection, since))
    for change in walk.changes:
        if walk.messages >= MOST_MESSAGES:
            break
        walk.past(change)
    reopened = tuple(one for place in walk.after for one in _put_back(connection, place, walk.chains))
    undo_log.forget(connection)
    return RolledBack(reopened, len(walk.changes))


def _put_back(connection: sqlite3.Connection, place: Place, chains: dict[ratchet.Name, ratchet.Chain]) -> list[Reopened]:
    row = _row(place.read(connection))
    if row is None:
        return []
    new, stretches = ratchet.rewound(row.record, chains)
    if stretches:
        place.write(connection, ratchet.write(new))
    return [Reopened(place.name, place.chat, *stretch) for stretch in stretches.values()]


class _Walk:
    """Goes through the log, newest change first, and notes where each chain stood.

    ``chains``: the earliest place of each so far. ``after``: what each row held after the change that comes next; None: nothing usable.
    """

    def __init__(self, connection: sqlite3.Connection, changes: list[Change]) -> None:
        self.changes = changes
        self.after: dict[Place, ratchet.Row | None] = {}
        self.chains: dict[ratchet.Name, ratchet.Chain] = {}
        self.messages = 0
        self._current: dict[ratchet.Name, ratchet.Chain] = {}
        self._connection = connection

    def past(self, change: Change) -> None:
        """Go back over a change."""
        if change.place.kind == PRE_KEY:
            return
        if change.place not in self.after:
            self._arrive(change.place)
        before, after = _row(change.old), self.after[change.place]
        for name, chain in before.chains.items() if before else ():
            self._note(name, chain)
        if after and (before or change.old is None):
            self._past_first_keys(change, before, after)
        self.after[change.place] = before

    def _arrive(self, place: Place) -> None:
        """At a row that the log has not named so far: what is in it now."""
        self.after[place] = now = _row(place.read(self._connection))
        self._current |= now.chains if now else {}

    def _note(self, name: ratchet.Name, chain: ratchet.Chain) -> None:
        """A chain has stood here; is that a message further back?"""
        current = self._current.setdefault(name, chain)
        if ratchet.is_earlier(chain, self.chains.get(name, current)) and ratchet.is_earlier(chain, current):
            self.chains[name] = chain
            self.messages += 1

    def _past_first_keys(self, change: Change, before: ratchet.Row | None, after: ratchet.Row) -> None:
        """Where did the chains begin that this change has added?"""
        added = {name: chain for name, chain in after.chains.items() if not before or name not in before.chains}
        if ratchet.is_sender_key(after.record):
            self.messages -= len(added)  # came inside a message that is counted already, and will be again with the key's first use
        elif len(added) == 1:  # more: the row was moved here
            ((name, chain),) = added.items()
            if chain.index and (key := self._first_key(change, name, before, after)):  # 0: a session that we have begun
                self._note(name, ratchet.at_start(key))

    def _first_key(self, change: Change, name: ratchet.Name, before: ratchet.Row | None, after: ratchet.Row) -> str:
        base_key, ratchet_key = name
        old, new = before and ratchet.state_of(before.record, base_key), ratchet.state_of(after.record, base_key)
        if new and old:
            return agreement.turned(old, new, ratchet_key)
        own = _own_keys(self._connection, change.place.our)
        return agreement.begun(new, ratchet_key, own, self._pre_keys(change)) if new and own else ""

    def _pre_keys(self, change: Change) -> Iterator[bytes]:
        """The one-time key that a first message has used is deleted right after it: unless the worker died first."""
        yield from _keys(other.old for other in reversed(self.changes) if other.place.kind == PRE_KEY and other.n > change.n)
        yield from _keys(key for (key,) in self._connection.execute("SELECT key FROM whatsmeow_pre_keys ORDER BY key_id"))


def _keys(found: Iterator[object]) -> Iterator[bytes]:
    return (key for key in found if isinstance(key, bytes) and len(key) == ratchet.KEY_LENGTH)


def _own_keys(connection: sqlite3.Connection, our: str) -> agreement.OwnKeys | None:
    row = connection.execute("SELECT identity_key, signed_pre_key FROM whatsmeow_device WHERE jid = ?", (our,)).fetchone()
    return agreement.OwnKeys(*row) if row and all(isinstance(key, bytes) for key in row) else None


def _row(blob: object) -> ratchet.Row | None:
    try:
        return ratchet.read(blob)
    except ratchet.NotUnderstood:
        return None
