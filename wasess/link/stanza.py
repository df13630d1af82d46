"""The stanzas in the library's log at its level DEBUG, and the events they belong to. Imported by the worker: light.

A stanza is written as XML in which nothing is escaped (whatsmeow binary/xml.go): its attributes in the order of their names, each value as
it came. The id of a message is chosen by its sender, so it may hold what looks like other attributes, in somebody else's name. All the
others that are read here are set by WhatsApp's server. So a line counts only if it can be read in one way:

* the server names a ``participant`` in a group and in a broadcast list, always, and nowhere else;
* ``recipient`` stands where the account itself has written, or in a broadcast list;
* no attribute comes twice, and none out of order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wasess.link.logline import PLAIN_ID

MESSAGE = 17
# What acknowledges that a message was taken (whatsmeow receipt.go); "retry" asks for it again, "read" is sent when the bot reads.
TAKEN = frozenset({b"", b"inactive", b"sender", b"peer_msg", b"hist_sync"})
OWN = frozenset({b"sender", b"peer_msg", b"hist_sync"})
LONGEST_TAIL = 1200  # four addresses of 256 letters, and more

_ADDRESS = rb'[^"<>\s]{1,256}'
_BEGIN = b'<receipt id="'
_END = re.compile(rb' to="%s"(?: type="(?P<type>[^"]*)")?/>\Z' % _ADDRESS)
_TAIL = re.compile(
    rb'"(?: participant="(?P<participant>%s)")?(?: recipient="(?P<recipient>%s)")? to="(?P<to>%s)"(?: type="(?P<type>[a-z_]+)")?/>\Z'
    % (_ADDRESS, _ADDRESS, _ADDRESS)
)
# With the messages that it is about, and with nothing else inside: a text there is its sender's, too.
_CAME = re.compile(rb'<receipt((?: [a-z_]+="[^"<>]*")+)(?:/>|><list>((?:<item id="[^"<>]*"/>)*)</list></receipt>)')
_ATTRIBUTE = re.compile(rb' ([a-z_]+)="([^"<>]*)"')
_ITEM = re.compile(rb'<item id="([0-9A-Za-z._-]{1,128})"/>')
_OWN_MESSAGE = re.compile(rb'<message (?:[a-z_]+="[^"<>]*" )*?id="([0-9A-Za-z._-]{1,128})"')
_USER = re.compile(rb"[^.:@]{0,256}")
_KIND = re.compile(rb"[0-9A-Za-z_-]{0,32}")

Key = tuple[bytes, bytes]
"""A message: its id, and the user part of its sender's address. Others may use the same id."""


class Outgoing(NamedTuple):
    """A receipt of ours. ``key`` is None where the line can be read in no way, or in more than one."""

    key: Key | None
    source: bytes

    @property
    def plain(self) -> bool:
        """Whether something may be told of its message."""
        return self.key is not None and PLAIN_ID.fullmatch(self.key[0]) is not None


def key_of(message_id: bytes, sender: bytes) -> Key:
    """The key of a message; ``sender`` is an address, or the user part of one. A long id is kept as a hash: its length is a stranger's choice."""
    short = message_id if len(message_id) <= 256 else b"%d %d" % (len(message_id), hash(message_id))
    user = _USER.match(sender)
    return short, user[0] if user else b""


def taken(line: bytes) -> Outgoing | None:
    """Read a receipt that the library is about to send; None unless it acknowledges that a message was taken."""
    at = line.find(b'"', max(len(_BEGIN), len(line) - LONGEST_TAIL))
    while at >= 0:
        if found := _TAIL.match(line, at):
            participant, recipient, to, kind = found.groups()
            if (kind or b"") not in TAKEN:
                return None
            shared = _is_shared(to)
            if (participant is not None) == shared and (recipient is None or shared or kind in OWN):
                sender = participant or to
                return Outgoing(key_of(line[len(_BEGIN) : at], sender), participant + b" in " + to if participant else to)
        at = line.find(b'"', at + 1)
    end = _END.search(line, max(0, len(line) - LONGEST_TAIL))
    return Outgoing(None, b"") if end and (end["type"] or b"") in TAKEN else None


def _is_shared(address: bytes) -> bool:
    return address.endswith((b"@g.us", b"@broadcast"))


def came(line: bytes) -> tuple[bytes, ...]:
    """Read a receipt of somebody else's: its kind, its source, and the ids; empty where it is not certain whose it is, or of another kind."""
    whole = _CAME.fullmatch(line)
    if not whole:
        return ()
    pairs = _ATTRIBUTE.findall(whole[1])
    names = [name + b"=" for name, _value in pairs]
    found = dict(pairs)
    source, participant, kind = found.get(b"from", b""), found.get(b"participant", b""), found.get(b"type", b"")
    if not source or names != sorted(set(names)) or (participant and not _is_shared(source)) or not _KIND.fullmatch(kind):
        return ()
    first = found.get(b"id", b"")
    ids = [first] if PLAIN_ID.fullmatch(first) else []
    ids += _ITEM.findall(whole[2] or b"")
    return (kind, participant + b" in " + source if participant else source, *ids) if ids else ()


def own_id(line: bytes) -> bytes:
    """The id of a message that is about to be sent; empty where there is none."""
    found = _OWN_MESSAGE.match(line)
    return found[1] if found else b""


def identify(payload: bytes) -> tuple[Key, bool]:
    """Return the key of a serialized neonize.Message (Info.ID, Info.MessageSource.Sender), and whether it is a message.

    Not a message is a sender's key for a group alone: it comes as an event of its own, with the id of the message behind it.
    """
    info = _field(payload, 1, 0, len(payload))
    source = _field(payload, 1, *info)
    message_id = _field(payload, 2, source[1], info[1])
    user = _field(payload, 1, *_field(payload, 2, *source))
    at, end = _field(payload, 2, info[1], len(payload))
    kinds = set()
    while at < end:
        kind, _, at = _next(payload, at, end)
        kinds.add(kind)
    kinds.discard(0)
    keys_only = 2 in kinds and kinds <= {2, 35}  # senderKeyDistributionMessage, messageContextInfo
    return key_of(payload[slice(*message_id)], payload[slice(*user)]), not keys_only


def _field(data: bytes, wanted: int, at: int, end: int) -> tuple[int, int]:
    """Where the first field of this number that holds bytes begins and ends; an empty place when there is none."""
    while at < end:
        number, start, at = _next(data, at, end)
        if number == wanted:
            return start, at
    return end, end


def _next(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The number of the next field that holds bytes, where what it holds begins, and where it ends; numbers are passed over.

    Number 0, at the end: there is no more that can be read.
    """
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at, end)  # nearly all are of one byte
        kind = tag & 7
        if kind == 2 and at < end:
            size, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at, end)
            return (tag >> 3, at, at + size) if at + size <= end else (0, end, end)
        if kind == 0:
            _, at = _varint(data, at, end)
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            break
    return 0, end, end


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number, and where it ends; behind the end when it is cut off."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        if byte < 0x80:
            return value | byte << shift, at
        value |= (byte & 0x7F) << shift
        shift += 7
    return 0, end + 1
