"""Holds WhatsApp's receipts back until what they acknowledge is in the spool. Imported by the worker: light.

By itself the library acknowledges a message when its event has entered a channel of 100 slots in memory: what is there when the process is
killed is lost for good (PROTOCOL.md §5). But it writes every stanza to its log before the stanza goes out, and waits until the line is taken.
So the line ``<receipt id="…">`` is taken when that id has been spooled; until then WhatsApp keeps the message, and brings it again.

The same lines say what else must be known after a crash, and it is spooled as *notes* (`link.notes` reads them) before the library goes on::

    sending   KEY ID            this message of ours is about to go out
    receipt   KIND FROM ID …    a receipt has come: KIND is "" (delivered), "read", "played", …
    ignored   ID FROM           acknowledged without an event: its key had been used before
    unread    ID FROM           it could not be decrypted; its sender is asked to send it again
    silent    ID FROM           acknowledged, and no event came

FROM is as the library writes it: ``ADDRESS`` or ``ADDRESS in CHAT``. Measured on neonize 0.5.2 at its level DEBUG.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.pulse import Pulse

NOTE = 250  # the event number of a note; neonize's own end at 50
MESSAGE = 17
# A channel that has handed nothing over for this long is empty: what the library has ignored, or half of what it had to say, was all.
EMPTY_AFTER = 0.05
# As long an event may be on its way into an empty channel.
SILENT_AFTER = 2.0
# Events whose receipt has not been seen: there is none for some kinds.
MOST_KNOWN = 2000
LONGEST_STANZA = 16 * 1024

_DEBUG = b"\x12\x05DEBUG\x1a"
_SEND, _RECEIVE = b"\x0bClient/Send", b"\x0bClient/Recv"
# What acknowledges that a message was taken (whatsmeow receipt.go); "retry" asks for it again, "read" is sent when the bot reads.
_TAKEN = frozenset({b"", b"inactive", b"sender", b"peer_msg", b"hist_sync"})
_ATTRIBUTE = re.compile(rb' (id|to|type|participant|from)="([^"]*)"')
_ITEM = re.compile(rb'<item id="([^"]*)"')
_IGNORED = re.compile(rb"Ignoring message (\S+) from (\S+@\S+?(?: in \S+?)?): .*old counter")
_UNREAD = re.compile(rb"Error decrypting message (\S+) from (\S+@\S+?(?: in \S+?)?): ")


class Receipts:
    """One for a worker. ``note`` spools a note; ``durable``: what is spooled counts only once it is on the disk (`synced`)."""

    def __init__(self, note: Callable[..., None], pulse: Pulse, *, durable: bool) -> None:
        self._note = note
        self._pulse = pulse
        self._durable = durable
        self._lock = threading.Lock()
        self._known: dict[bytes, bool] = {}  # ids that are safe, and whether that was all of the message
        self._held: dict[bytes, threading.Lock] = {}
        self._unsynced: deque[tuple[bytes, bool]] = deque()
        self._ignored: set[bytes] = set()
        self._keys: dict[int, bytes] = {}
        self._handed_over_at = 0.0

    # --- the event callback's and the disk's side -----------------------------------------------------------------------

    def written(self, code: int, payload: bytes) -> None:
        """An event has been appended to the spool."""
        self._handed_over_at = time.monotonic()
        if code != MESSAGE:
            return
        found = identify(payload)
        if self._durable:
            self._unsynced.append(found)
        else:
            self._release(*found)

    def synced(self, count: int) -> None:
        """The first ``count`` of the `unsynced` are on the disk."""
        for _ in range(count):
            self._release(*self._unsynced.popleft())

    @property
    def unsynced(self) -> int:
        """How many events were appended, and wait for the disk."""
        return len(self._unsynced)

    def _release(self, message_id: bytes, whole: bool) -> None:  # noqa: FBT001 - one of a pair
        with self._lock:
            if whole and (held := self._held.pop(message_id, None)):
                held.release()
                return
            self._known[message_id] = whole or self._known.get(message_id, False)
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]

    # --- the library's side ---------------------------------------------------------------------------------------------

    def sends(self, key: bytes) -> None:
        """This thread is about to send the message with this key; empty: it is done."""
        if key:
            self._keys[threading.get_ident()] = key
        else:
            self._keys.pop(threading.get_ident(), None)

    def hear_debug(self, entry: bytes, level: bytes) -> None:
        """Take a line at the level DEBUG: the beginning of its entry, and what stands in it from its level on."""
        logger = level[len(_DEBUG) :]
        at = entry.find(b"<", 0, 6)
        if logger == _SEND:
            if entry.startswith(b"<receipt ", at):
                self._let_out(_attributes(entry, at))
            elif entry.startswith(b"<message ", at) and (key := self._keys.get(threading.get_ident())):
                self._note(b"sending", key, _attributes(entry, at).get(b"id", b""))
        elif logger == _RECEIVE and entry.startswith(b"<receipt ", at):
            self._heard_receipt(entry[at:])

    def hear_warning(self, message: bytes) -> None:
        """Take a line of any other level (`link.logline`)."""
        if found := _IGNORED.search(message):
            with self._lock:
                self._ignored.add(found[1])
        elif found := _UNREAD.search(message):
            self._note(b"unread", found[1], found[2])

    def _heard_receipt(self, stanza: bytes) -> None:
        found = _attributes(stanza, 0)
        ids = [found.get(b"id", b""), *_ITEM.findall(stanza)]
        self._note(b"receipt", found.get(b"type", b""), _source(found, b"from"), *ids)

    def _let_out(self, found: dict[bytes, bytes]) -> None:
        """Return when the receipt may go out."""
        message_id = found.get(b"id", b"")
        if found.get(b"type", b"") not in _TAKEN:
            return
        with self._lock:
            ignored = message_id in self._ignored
            self._ignored.discard(message_id)
            known = self._known.get(message_id)
            if known:
                del self._known[message_id]
                return
            held = self._held[message_id] = threading.Lock()
            held.acquire()
        began = time.monotonic()
        while not held.acquire(timeout=EMPTY_AFTER):
            if self._empty_since(began) > (EMPTY_AFTER if ignored or message_id in self._known else SILENT_AFTER):
                break
        with self._lock:
            if self._held.pop(message_id, None) is None or self._known.pop(message_id, None) is not None:
                return  # it came, or half of it did and there was no more
        self._note(b"ignored" if ignored else b"silent", message_id, _source(found, b"to"))

    def _empty_since(self, began: float) -> float:
        """For how many seconds nothing was handed over; 0 while something is, or waits for the disk."""
        if self._pulse.handing_over_since or self._unsynced:
            return 0.0
        return time.monotonic() - max(began, self._handed_over_at)


def level_at(head: bytes) -> int:
    """Where the level begins in a serialized neonize.LogEntry (three texts: message, level, name) that begins like this; 0: not there."""
    if len(head) < 2 or head[0] != 0x0A:
        return 0
    size = shift = 0
    for at, byte in enumerate(head[1:6], 2):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return at + size
    return 0


def is_debug(level: bytes) -> bool:
    """Whether what stands where the level begins is DEBUG."""
    return level.startswith(_DEBUG)


def identify(payload: bytes) -> tuple[bytes, bool]:
    """Return the id in a serialized neonize.Message (Info.ID), and whether it is a message: False for a sender's key for a group alone.

    The key comes as an event of its own, with the id of the message behind it.
    """
    message_id, keys_only = b"", False
    for number, content in _fields(payload):
        if number == 1:
            message_id = next((text for inner, text in _fields(content) if inner == 2), b"")
        elif number == 2:
            parts = {inner for inner, _ in _fields(content)}
            keys_only = 2 in parts and parts <= {2, 35}  # senderKeyDistributionMessage, messageContextInfo
    return message_id, not keys_only


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The fields of a protobuf message that hold bytes, of all that can be read. Numbers are passed over."""
    found, at = [], 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == 2:
                size, at = _varint(data, at)
                found.append((tag >> 3, data[at : at + size]))
                at += size
            elif kind == 0:
                _, at = _varint(data, at)
            elif kind in {1, 5}:
                at += 8 if kind == 1 else 4
            else:
                break
    except IndexError:
        pass
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _attributes(stanza: bytes, at: int) -> dict[bytes, bytes]:
    """Some attributes of the stanza's own element."""
    end = stanza.find(b">", at)
    return dict(_ATTRIBUTE.findall(stanza[at : end if end >= 0 else len(stanza)]))


def _source(found: dict[bytes, bytes], chat: bytes) -> bytes:
    participant = found.get(b"participant", b"")
    return participant + b" in " + found.get(chat, b"") if participant else found.get(chat, b"")
