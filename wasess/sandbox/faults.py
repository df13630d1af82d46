"""What goes wrong in the sandbox on purpose: the faults in force, for one user or for all.

A fault has a kind. The kinds of the dial strike while a client connects and need a phase:

    connect   the CONNECT request has arrived            tls     the client's first TLS bytes have arrived
    upgrade   the WebSocket request has arrived          noise   the Noise hello has arrived

Most of them strike the transfer of a file as well, in the middle of the server's answer:

    upload    the companion has sent a file              download   the companion has asked for one

Whoever acts a fault out asks the book for it with `take`, which counts it down. A fault ends by its count, by its time, or by `clear`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from wasess.sandbox.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

EVERYONE: Final = "*"
ONLY_LIVE: Final = "live"
LOST: Final = "lost"
ONE_VALUE: Final = {"freeze": ONLY_LIVE, "no-ack": LOST}
TRANSFERS: Final = ("upload", "download")
PHASES: Final = ("connect", "tls", "upgrade", "noise", *TRANSFERS)
PHASES_OF: Final = {
    "refuse": ("connect",),
    "http_status": ("connect", "upgrade", *TRANSFERS),
    "reset": (*PHASES, ""),
    "fin": (*PHASES, ""),
}

DIAL_KINDS: Final = {
    "delay": "let VALUE seconds pass before the phase goes on",
    "refuse": "drop the connection at once, without any answer (phase connect only)",
    "reset": "cut the connection with a TCP reset; without a phase: the live connection, now",
    "fin": "end the connection without an answer; without a phase: the live connection, now",
    "stall": "never answer, but keep the connection",
    "garbage": "answer with bytes that are not of the protocol; phase download: with as many bytes that are not the file",
    "http_status": "answer with the HTTP status VALUE, such as 429, 403, 502 or 503 (phases connect and upgrade); of a file: 404, 410, 507",
}

# Stanzas that end stock neonize's event pump while its socket goes on acknowledging (NEONIZE.md §1.6, Z4).
POISONS: Final = (
    "receipt-server-error",
    "receipt-rekey",
    "receipt-view",
    "receipt-unknown",
    "chatstate-unknown",
    "failure-418",
    "failure-499",
    "failure-none",
    "ban-unknown",
)

# These strike a live connection at once, in whatever phase it is.
STRIKE_KINDS: Final = {
    "rst": "cut the live connection with a TCP reset",
    "fin": "end the live connection with a TCP FIN (with a phase: the next dials)",
    "close": "close the live WebSocket with the code VALUE (1000)",
    "freeze": "black hole: the live connection and every new one stay open, and nothing gets through; VALUE live: new ones work",
    "thaw": "the end of the black hole",
    "stream-error": "send a stream error and close; VALUE: replaced, device_removed, xml-not-well-formed, a code, or nothing",
    "stream-error-open": "the same, but leave the connection open",
    "poison": "send a stanza that ends neonize's event pump; VALUE names it",
}

# These wait for their moment.
STANZA_KINDS: Final = {
    "failure": "answer the login with <failure> and close; VALUE: REASON, or 402:CODE:SECONDS",
    "failure-open": "the same, but leave the connection open",
    "outdated": "refuse clients of an older version than VALUE, below=2.3000.N, with 405, at a pairing too; the start page names VALUE",
    "login-hang": "never say <success>",
    "mute": "give no answers; VALUE: ping, iq, ack or all",
    "slow": "give each answer VALUE seconds late",
    "ack-error": "acknowledge sent messages with the error VALUE (479)",
    "no-ack": "never acknowledge sent messages; VALUE lost: and nobody gets them",
    "late-ack": "acknowledge sent messages VALUE seconds late",
    "unreadable": "let a contact's phone fail to decrypt what the user sends; it asks for it again",
    "duplicate": "deliver messages twice",
    "reorder": "deliver a message after the one that follows it",
    "bad-hmac": "confirm the scan of a code with a wrong HMAC",
    "bad-signature": "confirm it with a wrong account signature",
    "pair-silent": "never confirm it",
    "pair-code-error": "refuse to give out a pairing code, with the error VALUE (400)",
    "no-515": "close after the pairing without the 515",
    "failing-515": "send the 515 but refuse the next VALUE (1) dials",
}

# Every kind there is and its help line. The kinds of the last two tables have no phase.
KINDS: Final = {**STRIKE_KINDS, **STANZA_KINDS, **DIAL_KINDS, "fin": STRIKE_KINDS["fin"]}


class FaultError(ValueError):
    """A fault that can't be; the message says what can."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong: `count` times (None: any number), for `seconds` (None: until cleared), with a `value` as its kind needs."""

    kind: str
    phase: str = ""
    count: int | None = None
    seconds: float | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    fault: Fault
    until: float


class FaultBook:
    """The faults in force. A user's own come before those of everyone ("*"); a second one of the same kind and phase replaces the first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, str, str], _Entry] = {}

    def set(self, user: str, fault: Fault) -> None:
        """Put a fault in force now, for a user or for "*"."""
        until = math.inf if fault.seconds is None else self._clock() + fault.seconds
        self._entries[user, fault.kind, fault.phase] = _Entry(fault, until)

    def clear(self, user: str) -> None:
        """Forget what was set for this name; "*" forgets what was set for everyone and leaves the users' own."""
        self._entries = {key: entry for key, entry in self._entries.items() if key[0] != user}

    def active(self, user: str) -> list[Fault]:
        """Return what is in force for a user, his own first; `count` is what is left of it."""
        self._drop_expired()
        return [entry.fault for name in dict.fromkeys((user, EVERYONE)) for key, entry in self._entries.items() if key[0] == name]

    def value(self, user: str, kind: str) -> str:
        """Return the value of the fault of that kind that is in force for a user, without counting it down; empty when there is none."""
        return next((fault.value for fault in self.active(user) if fault.kind == kind), "")

    def take(self, user: str, kind: str, phase: str = "") -> Fault | None:
        """Return the fault of that kind and phase that is in force for a user, and count it down; None when there is none."""
        self._drop_expired()
        for name in (user, EVERYONE):
            entry = self._entries.get((name, kind, phase))
            if entry is not None:
                self._count_down((name, kind, phase), entry)
                return entry.fault
        return None

    def _count_down(self, key: tuple[str, str, str], entry: _Entry) -> None:
        count = entry.fault.count
        if count is None:
            return
        if count > 1:
            self._entries[key] = replace(entry, fault=replace(entry.fault, count=count - 1))
        else:
            del self._entries[key]

    def _drop_expired(self) -> None:
        now = self._clock()
        self._entries = {key: entry for key, entry in self._entries.items() if entry.until > now}


def strikes(fault: Fault) -> bool:
    """Whether it hits a live connection now, instead of waiting for its moment."""
    return fault.kind in STRIKE_KINDS and not fault.phase


def parse_fault(words: list[str]) -> Fault:
    """Read a fault as typed: KIND [PHASE] [VALUE] [count=N] [seconds=S], for example `http_status upgrade 503 count=2`.

    Raises:
        FaultError: an unknown kind, a missing or unfit phase or value, a number that is none.
    """
    kind = words[0] if words else ""
    if kind not in KINDS:
        raise FaultError(f"there is no fault {kind!r}; the kinds are {', '.join(sorted(KINDS))}")
    fault = Fault(kind)
    for word in words[1:]:
        fault = _with_word(fault, word)
    if kind == "refuse" and not fault.phase:
        fault = replace(fault, phase="connect")
    _check(fault)
    return fault


def _with_word(fault: Fault, word: str) -> Fault:
    name, equals, number = word.partition("=")
    if equals and name == "count":
        return replace(fault, count=int(_positive(number, whole=True)))
    if equals and name == "seconds":
        return replace(fault, seconds=_positive(number))
    if equals and name == "below" and fault.kind == "outdated":
        return replace(fault, value=number)
    if fault.kind in DIAL_KINDS and word in PHASES and not fault.phase:
        return replace(fault, phase=word)
    if fault.value:
        raise FaultError(f"{word!r} is one word too many")
    return replace(fault, value=word)


def _positive(text: str, *, whole: bool = False) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise FaultError(f"{text!r} is no {'whole ' if whole else ''}number above 0")
    return number


def _require_version(text: str) -> None:
    try:
        parse_version(text)
    except ValueError as error:
        raise FaultError(f"outdated needs below=2.3000.N: {error}") from error


_VALUE_CHECKS: Final[dict[str, Callable[[str], object]]] = {"late-ack": _positive, "outdated": _require_version}


def _check(fault: Fault) -> None:
    if fault.kind in ONE_VALUE and fault.value not in ("", ONE_VALUE[fault.kind]):
        raise FaultError(f"{fault.kind} takes no value but {ONE_VALUE[fault.kind]}, found {fault.value!r}")
    if fault.kind == "poison" and fault.value not in POISONS:
        raise FaultError(f"poison needs a VALUE: {' or '.join(POISONS)}")
    if fault.kind in _VALUE_CHECKS:
        _VALUE_CHECKS[fault.kind](fault.value)
    if fault.kind not in DIAL_KINDS or strikes(fault):
        return
    phases = PHASES_OF.get(fault.kind, PHASES)
    if fault.phase not in phases:
        raise FaultError(f"{fault.kind} needs a phase: {' or '.join(phases)}")
    if fault.kind == "delay":
        _positive(fault.value)
    elif fault.kind == "http_status":
        if fault.value not in {str(status.value) for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}:
            raise FaultError("http_status needs a status such as 429, 403, 502 or 503")
    elif fault.value:
        raise FaultError(f"{fault.kind} takes no value, found {fault.value!r}")
