"""Holds WhatsApp's receipts back until what they acknowledge is in the spool. Imported by the worker: light.

By itself the library acknowledges a message when its event has entered a channel of 100 slots in memory: what is there when the process is
killed is lost for good (PROTOCOL.md §5). But it writes every stanza to its log before the stanza goes out, and waits until the line is taken.
So the line ``<receipt id="…">`` is taken when the message of that id and sender has been spooled (`stanza.Key`: as the event itself has it);
until then WhatsApp keeps the message, and brings it again.

A held receipt is an operating system's thread that waits. It goes out, counted from its own beginning, once its event can't come any more:
as many events were handed over as the channel has slots, or the channel was seen empty for a while (`watch`). While many are on their way,
the library is kept from decrypting the next message, in the same way: there are `MOST_BEGUN` as a rule, and never more than `MOST_HELD`.

The same lines say what else must be known after a crash, and it is spooled as *notes* (`link.notes` reads them) before the library goes on::

    sending   KEY ID            this message of ours is about to go out
    receipt   KIND FROM ID …    a receipt has come: KIND is "" (delivered), "read", "played", …
    ignored   ID FROM           acknowledged without an event: its key had been used before
    unread    ID FROM           it could not be decrypted; its sender is asked to send it again
    silent    ID FROM           acknowledged, and no event came
    asked     ID SENDER CHAT    a message of ours could not be decrypted, and the library does not have it any more

FROM is as the library writes it: ``ADDRESS`` or ``ADDRESS in CHAT``. Measured on neonize 0.5.2 at its level DEBUG.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from wasess.link.stanza import MESSAGE, Outgoing, came, identify, key_of, own_id, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.logline import Undelivered, Unserved
    from wasess.link.pulse import Pulse
    from wasess.link.stanza import Key

NOTE = 250  # the event number of a note; neonize's own end at 50
# How often the channel is looked at while receipts are held. A look finds it empty when nothing was handed over since the last one. One that
# comes late counts for nothing: a process that was stopped, or gets no processor, has handed nothing over for that reason.
LOOK_EVERY = 0.05
# So many such looks in a row are enough where all that the library had to say may have come already, and where many wait...
FEW_LOOKS = 5
# ...and so many, whatever comes between them, where nothing has come yet.
MOST_LOOKS = 40
# After so long any of them is enough.
DEADLINE = 30.0
# Once so many events more were handed over, whatever was in the channel has come: its slots, one under way, and one in the callback.
ALL_PASSED = 102
# Decrypted, and their receipts not gone out: so many before the library is kept from decrypting the next message, and down to which it is. Each
# stop costs the threads a turn, so there is one for many messages.
MOST_BEGUN, FEW_BEGUN = 32, 8
# None of them is held, and still they are too many: for some there is no receipt, as the connection was lost.
NOT_SENT_AFTER = 0.5
MOST_AT_ONCE = 16
# Beyond this the oldest one goes out: some that were thought to be lost have come after all.
MOST_HELD = 48
# Events whose receipt has not been seen: there is none for some kinds.
MOST_KNOWN = 2000

_SEND, _RECEIVE, _CLIENT = b"Client/Send", b"Client/Recv", b"Client"
_DECRYPTS = b"Decrypting message from "
_ACKNOWLEDGES = b'<ack class="message" '
HEARD = (b"<receipt ", b"<message ", _ACKNOWLEDGES, _DECRYPTS)
"""How the lines at the level DEBUG begin that are taken; most do not, and need not be copied."""


class _Held:
    """A receipt that waits. Its thread does so at ``gate``; whoever opens it has said why. ``looks``: that found the channel empty, ``in_a_row`` the last ones."""

    __slots__ = ("all_passed", "began", "gate", "ignored", "in_a_row", "key", "looks", "spooled")

    def __init__(self, key: Key, *, ignored: bool, all_passed: int) -> None:
        self.key = key
        self.ignored = ignored
        self.all_passed = all_passed
        self.began = time.monotonic()
        self.looks = self.in_a_row = 0
        self.spooled = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def wait(self) -> bool:
        """Return once it may go on; whether its event is spooled."""
        self.gate.acquire()
        return self.spooled

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
        self._some = threading.Condition(self._lock)
        self._known: dict[Key, bool] = {}  # messages that are safe, and whether that was all of it
        self._waiting: dict[Key, list[_Held]] = {}
        self._held: dict[_Held, None] = {}  # all of them, the oldest first
        self._unsynced: deque[tuple[Key, bool] | None] = deque()
        self._ignored: dict[Key, bool] = {}
        self._keys: dict[int, bytes] = {}
        self._handed_over = 0
        self._safe = 0
        self._begun = 0  # messages: for the one thread that decrypts
        self._ended = 0
        self._stopped = False  # the library, before the next message
        self._watching = True

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
                del self._held[held]
                self._end_one()
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
                    self._let_out(found)
            elif line.startswith(_ACKNOWLEDGES):
                with self._lock:
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

    def hear_unserved(self, asked: Unserved) -> None:
        """The library could not answer a retry receipt. It has acknowledged that already: a worker that is killed in this moment takes it along."""
        self._note(b"asked", *asked)

    def _let_out(self, receipt: Outgoing) -> None:
        """Return when the receipt may go out."""
        key = receipt.key or (b"", b"")  # no message has this one
        with self._lock:
            ignored = self._ignored.pop(key, False)
            if self._known.get(key):
                self._end_one()
                return
            held = _Held(key, ignored=ignored, all_passed=self._handed_over + ALL_PASSED)
            self._waiting.setdefault(key, []).append(held)
            self._held[held] = None
            if len(self._held) > MOST_HELD:
                oldest = next(iter(self._held))
                self._forget(oldest)
                oldest.open()
            if not self._watching:
                self._some.notify()
        if held.wait():
            return
        with self._lock:
            self._forget(held)
            if held.spooled or key in self._known:
                return  # it came just now, or half of it did and there was no more
        if receipt.plain:
            self._note(b"ignored" if ignored else b"silent", key[0], receipt.source)

    def _forget(self, held: _Held) -> None:
        if held not in self._held:
            return
        del self._held[held]
        self._end_one()
        self._waiting[held.key].remove(held)
        if not self._waiting[held.key]:
            del self._waiting[held.key]

    def _begin_one(self) -> None:
        """Return when another message may be decrypted: a thread waits for each receipt, and strangers send as much as they like.

        Of each comes one receipt, or one acknowledgement of an error (whatsmeow message.go decryptMessages), in a thread of its own and some
        time later; none where the connection is lost meanwhile.
        """
        self._begun += 1
        if self._begun - self._ended <= MOST_BEGUN:
            return
        with self._fewer:
            self._stopped = True
            while not self._fewer.wait_for(lambda: self._begun - self._ended <= FEW_BEGUN, NOT_SENT_AFTER):
                if not self._held:
                    self._ended = self._begun
            self._stopped = False

    def _end_one(self) -> None:
        self._ended = min(self._ended + 1, self._begun)
        if self._stopped and self._begun - self._ended <= FEW_BEGUN:
            self._fewer.notify()

    # --- the watch ------------------------------------------------------------------------------------------------------

    def watch(self) -> NoReturn:
        """Let out what can't come any more. For a thread of its own, for ever; it sleeps while nothing is held."""
        while True:
            with self._some:
                self._watching = False
                self._some.wait_for(lambda: self._held)
                self._watching = True
            handed_over, looked = self._handed_over, time.monotonic()
            while self._held:
                time.sleep(LOOK_EVERY)
                empty = not self._pulse.handing_over_since and not self._unsynced and self._handed_over == handed_over
                late = time.monotonic() - looked > 2 * LOOK_EVERY
                handed_over, looked = self._handed_over, time.monotonic()
                with self._lock:
                    self._look(looked, empty=empty, late=late)

    def _look(self, now: float, *, empty: bool, late: bool) -> None:
        many = self._stopped or len(self._held) >= MOST_AT_ONCE
        for held in self._held:
            held.in_a_row = held.in_a_row + 1 if empty and not late else 0
            held.looks += empty and not late
            enough = held.looks >= MOST_LOOKS or (empty and now > held.began + DEADLINE) or self._safe >= held.all_passed
            if enough or (held.in_a_row >= FEW_LOOKS and (many or held.ignored or held.key in self._known)):
                held.open()


def _remember(store: dict[Key, bool], key: Key, value: bool) -> None:  # noqa: FBT001 - what is remembered
    store[key] = value
    if len(store) > MOST_KNOWN:
        del store[next(iter(store))]
