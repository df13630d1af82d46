"""Why a session is in its state: a stable code, a sentence, and the action to take. The vocabulary of reports, records and exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Reason:
    """``code`` is stable. ``sentence`` follows "alice: ". ``action`` is empty when it heals by itself; ``{user}`` stands for the session."""

    code: str
    sentence: str
    action: str = ""
    level: Level = "info"


NEVER_STARTED = Reason("NEVER_STARTED", "not started yet", "Run `wasess serve`.")
STARTING = Reason("STARTING", "connecting")
ONLINE = Reason("ONLINE", "online")
STOPPED = Reason("STOPPED", "stopped", "Run `wasess serve`.")

CONNECTION_LOST = Reason("CONNECTION_LOST", "the connection was lost; reconnecting", level="warning")
NETWORK_DOWN = Reason("NETWORK_DOWN", "WhatsApp can't be reached", level="warning")
NO_ANSWER = Reason("NO_ANSWER", "WhatsApp took the connection and did not answer", level="warning")
NOT_BACK = Reason("NOT_BACK", "the connection did not come back in time; starting afresh", level="warning")
ZOMBIE = Reason("ZOMBIE", "WhatsApp stopped answering pings; starting afresh", level="warning")
WORKER_LOST = Reason("WORKER_LOST", "the session's process ended unexpectedly; starting it again", level="warning")
SESSION_LOCKED = Reason("SESSION_LOCKED", "another process holds this session; waiting for it to let go", level="warning")
REFUSED = Reason("REFUSED", "WhatsApp refused the login; trying again slowly", level="warning")

BANNED = Reason("BANNED", "temporarily banned by WhatsApp; nothing is sent until it is over", "Send less, and wait.", level="error")
REPLACED = Reason(
    "REPLACED",
    "another client logged in with the same credentials; trying again in a minute",
    "Stop the other copy of this session.",
    level="warning",
)
REPLACED_FOR_GOOD = Reason(
    "REPLACED_FOR_GOOD",
    "another client keeps taking this session over; wasess does not fight it",
    "Stop the other copy, then restart `wasess serve`.",
    level="error",
)
OUTDATED = Reason(
    "OUTDATED",
    "WhatsApp refuses this version of the client library; trying again every hour",
    "Upgrade wasess.",
    level="error",
)
LOGGED_OUT = Reason("LOGGED_OUT", "logged out by WhatsApp or on the phone", "Pair again: `wasess connect {user} --force`.", level="error")
NEEDS_PAIRING = Reason("NEEDS_PAIRING", "not linked to a phone", "Pair it: `wasess connect {user}`.", level="error")

ALL = (
    NEVER_STARTED,
    STARTING,
    ONLINE,
    STOPPED,
    CONNECTION_LOST,
    NETWORK_DOWN,
    NO_ANSWER,
    NOT_BACK,
    ZOMBIE,
    WORKER_LOST,
    SESSION_LOCKED,
    REFUSED,
    BANNED,
    REPLACED,
    REPLACED_FOR_GOOD,
    OUTDATED,
    LOGGED_OUT,
    NEEDS_PAIRING,
)
