"""What follows when WhatsApp refuses a message that is sent, by the code of its answer. Pure.

The code is the attribute ``error`` of the server's ``<ack class="message">``; whatsmeow says "server returned error 503" of it (send.go).
"""

from __future__ import annotations

from enum import Enum, auto

HTTP_SERVER_ERROR, HTTP_BEYOND = 500, 600
RATE_LIMIT = 429
REACHOUT_TIMELOCK = 463

FLOOR = 30.0
BASE = 60.0
CAP = 2 * 3600.0
LOCKED_FOR = 6 * 3600.0
COLD_AFTER = 24 * 3600.0
"""Seconds without a message of theirs after which a message to a person is a first message."""


class Refusal(Enum):
    """What a refusal means for the message, and for those behind it."""

    BUSY = auto()
    """The server can't now: the message stays queued and its chat waits. No try is charged."""
    TOO_MANY = auto()
    """Too many messages: nothing is sent by this session for a while. No try is charged."""
    TIMELOCK = auto()
    """First messages to people are not taken (the "reach-out time lock"): they wait, answers go on. No try is charged."""
    MESSAGE = auto()
    """It is about this message: it costs a try."""


def of_send(status: int) -> Refusal:
    """The kind of a refusal with this code; 0: none is known."""
    if status == RATE_LIMIT:
        return Refusal.TOO_MANY
    if status == REACHOUT_TIMELOCK:
        return Refusal.TIMELOCK
    return Refusal.BUSY if HTTP_SERVER_ERROR <= status < HTTP_BEYOND else Refusal.MESSAGE


def pause(earlier: int, dice: float) -> float:
    """Seconds to wait after ``earlier`` such refusals in a row (0: this was the first): half a minute to two hours. ``dice`` is uniform in [0, 1)."""
    return FLOOR + (0.5 + dice / 2) * min(CAP, BASE * 2.0 ** min(earlier, 64))


def locked_for(dice: float) -> float:
    """Seconds for which first messages wait when nobody knows the end of the lock: six to nine hours."""
    return LOCKED_FOR * (1 + dice / 2)
