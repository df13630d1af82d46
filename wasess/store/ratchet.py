"""Signal records as libsignal's Go port writes them (JSON): where their receiving chains stand, and how to put one back.

A receiving chain goes forwards only, and is the same wherever it is seen: what it stood at once is good for the messages from
there on, whatever has happened since. So a record is never put back as a whole. What we *send* with stays as it is: a chain
key that encrypted two different texts would betray both, and the other side would drop the second as a duplicate.

Pure: no file, no database, no clock.
"""

from __future__ import annotations

import json
from base64 import b64decode
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_POSITIONS = 500
"""How far a chain is put back: libsignal refuses a message that is more than 2000 ahead of its chain."""

KEY_LENGTH = 32

Record = dict[str, Any]
Name = tuple[str, str]
"""What tells one receiving chain from all others: the session's base key and the peer's ratchet key; of a group's sender key its id
and the key that signs."""


class NotUnderstood(ValueError):
    """A record that is not as libsignal writes them."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a receiving chain stands: the number of the message it expects next, and the numbers it keeps a key for as they were skipped.

    ``fields`` is what the record says of it.
    """

    index: int
    skipped: frozenset[int]
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A record and the receiving chains in it."""

    record: Record
    chains: dict[Name, Chain]


class Stretch(NamedTuple):
    """Messages ``first`` to ``end`` (exclusive) of a chain can be decrypted again; ``keys`` is how many of them could not before."""

    first: int
    end: int
    keys: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a record calls the parts of a chain."""

    key: str
    index: str
    skipped: str


_SESSION = _Shape("ChainKey", "Index", "MessageKeys")
_SENDER_KEY = _Shape("SenderChainKey", "Iteration", "Keys")


def read(blob: object) -> Row:
    """Parse a record. Raises `NotUnderstood`, also when a chain in it is not one."""
    try:
        record = json.loads(blob) if isinstance(blob, bytes | str) else None
        if not isinstance(record, dict):
            raise NotUnderstood("no record")
        return Row(record, chains(record))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotUnderstood("no record of libsignal") from error


def write(record: Record) -> bytes:
    """Make the record's bytes."""
    return json.dumps(record, separators=(",", ":")).encode()


def chains(record: Record) -> dict[Name, Chain]:
    """Return the receiving chains. Our own sender keys are none, nor are sending chains."""
    return {name: _chain(holder, shape) for name, holder, shape in _holders(record)}


def state_of(record: Record, base_key: str) -> Record | None:
    """Return the session state with that base key; None when the record has none."""
    return next((state for state in reversed(_states(record)) if state["SenderBaseKey"] == base_key), None)


def is_sender_key(record: Record) -> bool:
    """Whether it is the record of a group member's sender key, not of a session."""
    return "SenderKeyStates" in record


def at_start(chain_key: str) -> Chain:
    """Return the chain of a session that has given no key yet. ``chain_key``: base64."""
    return Chain(0, frozenset(), {_SESSION.key: {"Key": chain_key, _SESSION.index: 0}, _SESSION.skipped: []})


def is_earlier(chain: Chain, current: Chain) -> bool:
    """Whether ``chain`` opens messages that the same chain at ``current`` does not, and is not too far back to be of use."""
    return chain.index <= current.index <= chain.index + MOST_POSITIONS and _keys_between(chain, current) > 0


def rewound(record: Record, places: Mapping[Name, Chain]) -> tuple[Record, dict[Name, Stretch]]:
    """Put the receiving chains back to ``places``, where those are earlier; return the new record and what that opens."""
    result, stretches = deepcopy(record), {}
    for name, holder, shape in _holders(result):
        current, place = _chain(holder, shape), places.get(name)
        if place is not None and is_earlier(place, current):
            holder.update(deepcopy(place.fields))
            first = min([place.index, *(place.skipped - current.skipped)])
            stretches[name] = Stretch(first, current.index, _keys_between(place, current))
    return result, stretches


def _keys_between(place: Chain, current: Chain) -> int:
    return current.index - place.index + len(place.skipped) - len(current.skipped)


def _holders(record: Record) -> Iterator[tuple[Name, dict[str, Any], _Shape]]:
    """Every part that has a receiving chain. One name can be there twice (libsignal leaves copies); the one it uses comes last."""
    if is_sender_key(record):
        for state in reversed(record["SenderKeyStates"]):
            if not _is_own(state):
                yield (str(state["KeyID"]), state["SigningKeyPublic"]), state, _SENDER_KEY
    else:
        for state in _states(record):
            for holder in state["ReceiverChains"] or ():
                yield (state["SenderBaseKey"], holder["SenderRatchetKeyPublic"]), holder, _SESSION


def _states(record: Record) -> list[Record]:
    """A session's states; the current one is the last."""
    return [] if is_sender_key(record) else [*reversed(record["PreviousStates"] or ()), record["SessionState"]]


def _is_own(state: Record) -> bool:
    """Whether we sign with it. libsignal writes others' keys with no private half, or with one of zeros."""
    private = state["SigningKeyPrivate"]
    return private is not None and any(b64decode(private))


def _chain(holder: dict[str, Any], shape: _Shape) -> Chain:
    link, skipped = holder[shape.key], holder[shape.skipped] or []
    index = link[shape.index]
    key = link["ChainKey" if shape is _SENDER_KEY else "Key"]
    if type(index) is not int or index < 0 or len(b64decode(key, validate=True)) != KEY_LENGTH:
        raise NotUnderstood("no chain")
    numbers = frozenset(one["Iteration" if shape is _SENDER_KEY else "Index"] for one in skipped)
    return Chain(index, numbers, {shape.key: link, shape.skipped: skipped})
