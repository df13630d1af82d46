"""Holds WhatsApp's receipts back until what they acknowledge is in the spool. Imported by the worker: light.

By itself the library acknowledges a message when its event has entered a channel of 100 slots in memory: what is there when the process is
killed is lost for good (PROTOCOL.md §5). But it writes every stanza to its log before the stanza goes out, and waits until the line is taken.
So the line ``<receipt id="…">`` is taken when the message of that id and sender has been spooled (`stanza.Key`: as the event itself has it);
until then WhatsApp keeps the message, and brings it again.

A held receipt is an operating system's thread that waits. It goes out, counted from its own beginning, once its event can't come any more:
as many events were handed over as the channel has slots, or the channel was seen empty for a while. While many are held, the library is
kept from decrypting the next message, in the same way: so there are never many more than `MOST_BEGUN`.

The same lines say what else must be known after a crash, and it is spooled as *notes* (`link.notes` reads them) before the library goes on::

    sending   KEY ID            this message of ours is about to go out
    receipt   KIND FROM ID …    a receipt has come: KIND is "" (delivered), "read", "played", …
    ignored   ID FROM           acknowledged without an event: its key had been used before
    unread    ID FROM           it could not be decrypted; its sender is asked to send it again
    silent    ID FROM           acknowledged, and no event came

FROM is as the library writes it: ``ADDRESS`` or ``ADDRESS in CHAT``. Measured on neonize 0.5.2 at its level DEBUG.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from wasess.link.stanza import MESSAGE, Outgoing, came, identify, key_of, own_id, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.logline import Undelivered
    from wasess.link.pulse import Pulse
    from wasess.link.stanza import Key

NOTE = 250  # the event number of a note; neonize's own end at 50
# How long a held receipt waits between two looks at the channel. A look finds it empty when nothing was handed over since the last one. One
# that comes late counts for nothing: a process that was stopped, or gets no processor, has handed nothing over for that reason.
LOOK_EVERY = 0.05
# So many such looks in a row are enough where all that the library had to say may have come already, and where many wait...
FEW_LOOKS = 4
# ...and so many, whatever comes between them, where nothing has come yet.
MOST_LOOKS = 40
# After so long any of them is enough.
DEADLINE = 30.0
# Once so many events more were handed over, whatever was in the channel has come: its slots, one under way, and one in the callback.
ALL_PASSED = 102
# Under way at once, before the library is kept from decrypting the next message, and down to which it is: each stop costs the threads a turn,
# so there is one for many messages. Where so many are held that nothing moves, and beyond which the oldest one goes out.
MOST_BEGUN, FEW_BEGUN = 32, 8
MOST_AT_ONCE = 16
MOST_HELD = 40
# Events whose receipt has not been seen: there is none for some kinds.
MOST_KNOWN = 2000

_SEND, _RECEIVE, _CLIENT = b"Client/Send", b"Client/Recv", b"Client"
_DECRYPTS = b"Decrypting message from "
_ACKNOWLEDGES = b'<ack class="message" '
HEARD = (b"<receipt ", b"<message ", _ACKNOWLEDGES, _DECRYPTS)
"""How the lines at the level DEBUG begin that are taken; most do not, and need not be copied."""


class _Held:
    """A receipt that waits. Its thread does so at ``gate``; whoever opens it has said why."""

    __slots__ = ("gate", "spooled")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.spooled = False

    def open(self) -> None:
        """Let it go on; more than once is no harm. One thread at a time."""
        if self.gate.locked():
            self.gate.release()


class Receipts:
    """One for a worker. ``note`` spools a note; ``durable``: what is spooled counts only once it is on the disk (`synced`)."""

    def __init__(self, note: Callable[..., None], pulse: Pulse, *, durable: bool) -> None:
        self._note = note
        self._pulse = pulse
        self._durable = durable
        self._lock = threading.Lock()
        self._fewer = threading.Condition(self._lock)
        self._known: dict[Key, bool] = {}  # messages that are safe, and whether that was all of it
        self._waiting: dict[Key, list[_Held]] = {}
        self._held: dict[_Held, None] = {}  # all of them, the oldest first
        self._unsynced: deque[tuple[Key, bool] | None] = deque()
        self._ignored: dict[Key, bool] = {}
        self._keys: dict[int, bytes] = {}
        self._handed_over = 0
        self._safe = 0
        self._begun = 0

    # --- the event callback's and the disk's side -----------------------------------------------------------------------

    def written(self, code: int, payload: bytes) -> None:
        """An event has been appended to the spool."""
        self._handed_over += 1
        found = identify(payload) if code == MESSAGE else None
        if self._durable:
            self._unsynced.append(found)
        else:
            self._release(found)

    def synced(self, count: int) -> None:
        """The first ``count`` of the `unsynced` are on the disk."""
        for _ in range(count):
            self._release(self._unsynced.popleft())

    @property
    def unsynced(self) -> int:
        """How many events were appended, and wait for the disk."""
        return len(self._unsynced)

    def _release(self, found: tuple[Key, bool] | None) -> None:
        self._safe += 1
        if found is None:
            return
        key, whole = found
        with self._lock:
            _remember(self._known, key, whole or self._known.get(key, False))
            for held in self._waiting.pop(key, ()) if whole else ():
                held.spooled = True
                held.open()

    # --- the library's side ---------------------------------------------------------------------------------------------

    def sends(self, key: bytes) -> None:
        """This thread is about to send the message with this key; empty: it is done."""
        if key:
            self._keys[threading.get_ident()] = key
        else:
            self._keys.pop(threading.get_ident(), None)

    def hear_debug(self, line: bytes, logger: bytes) -> None:
        """Take a line at the level DEBUG."""
        if logger == _SEND:
            if line.startswith(b"<receipt "):
                if found := taken(line):
                    self._end_one()
                    self._let_out(found)
            elif line.startswith(_ACKNOWLEDGES):
                self._end_one()
            elif line.startswith(b"<message ") and (key := self._keys.get(threading.get_ident())):
                self._note(b"sending", key, own_id(line))
        elif logger == _RECEIVE:
            if line.startswith(b"<receipt ") and (said := came(line)):
                self._note(b"receipt", *said)
        elif logger == _CLIENT and line.startswith(_DECRYPTS):
            self._begin_one()

    def hear_undelivered(self, missing: Undelivered) -> None:
        """There will be no event of this message."""
        if not missing.old:
            self._note(b"unread", missing.id, missing.source)
            return
        with self._lock:
            _remember(self._ignored, key_of(missing.id, missing.source), True)  # noqa: FBT003 - what is remembered

    def _let_out(self, receipt: Outgoing) -> None:
        """Return when the receipt may go out."""
        key = receipt.key or (b"", b"")  # no message has this one
        held = _Held()
        with self._lock:
            ignored = self._ignored.pop(key, False)
            if self._known.get(key):
                return
            self._waiting.setdefault(key, []).append(held)
            self._held[held] = None
            if len(self._held) > MOST_HELD:
                oldest = next(iter(self._held))
                del self._held[oldest]
                oldest.open()
        self._wait(held, key, ignored=ignored)
        with self._lock:
            self._forget(held, key)
            if held.spooled or key in self._known:
                return  # it came, or half of it did and there was no more
        if receipt.plain:
            self._note(b"ignored" if ignored else b"silent", key[0], receipt.source)

    def _wait(self, held: _Held, key: Key, *, ignored: bool) -> None:
        """Return when it is spooled, or can't come any more, or is the oldest of too many."""
        all_passed, handed_over = self._handed_over + ALL_PASSED, self._handed_over
        looks = in_a_row = 0
        began = looked = time.monotonic()
        while not held.gate.acquire(timeout=LOOK_EVERY):
            empty = not self._pulse.handing_over_since and not self._unsynced and self._handed_over == handed_over
            handed_over, late, looked = self._handed_over, time.monotonic() - looked > 2 * LOOK_EVERY, time.monotonic()
            in_a_row = in_a_row + 1 if empty and not late else 0
            looks += empty and not late
            few = ignored or key in self._known or len(self._held) >= MOST_AT_ONCE
            if looks >= MOST_LOOKS or (few and in_a_row >= FEW_LOOKS) or (empty and looked > began + DEADLINE) or self._safe >= all_passed:
                return

    def _forget(self, held: _Held, key: Key) -> None:
        self._held.pop(held, None)
        others = self._waiting.get(key)
        if others and held in others:
            others.remove(held)
            if not others:
                del self._waiting[key]
        if len(self._held) < MOST_BEGUN:
            self._fewer.notify()

    def _begin_one(self) -> None:
        """Return when another message may be decrypted: a thread waits for each receipt, and strangers send as much as they like.

        The library begins to send a receipt in a thread of its own, some time later: those that are still to come count, too.
        """
        with self._fewer:
            while len(self._held) >= MOST_BEGUN:
                self._fewer.wait(LOOK_EVERY)
            if self._begun >= MOST_BEGUN and not self._fewer.wait_for(lambda: self._begun <= FEW_BEGUN, LOOK_EVERY):
                self._begun = FEW_BEGUN  # for some nothing was sent
            self._begun += 1

    def _end_one(self) -> None:
        with self._fewer:
            self._begun = max(0, self._begun - 1)
            if self._begun <= FEW_BEGUN:
                self._fewer.notify()


def _remember(store: dict[Key, bool], key: Key, value: bool) -> None:  # noqa: FBT001 - what is remembered
    store[key] = value
    if len(store) > MOST_KNOWN:
        del store[next(iter(store))]
