"""Why a session is in its state: a stable code, a sentence, and the action to take. The vocabulary of reports, records and exit codes."""

from __future__ import annotations

import re
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
MANAGER_DOWN = Reason("MANAGER_DOWN", "no manager was running", "Run `wasess serve` as a service.", level="warning")
NO_MANAGER = Reason("NO_MANAGER", "no manager is running", "Run `wasess serve`.", level="error")
UNREADABLE = Reason("UNREADABLE", "its files can't be read", "See what is wrong: `wasess diagnose {user}`.", level="error")
NOT_KEPT = Reason("NOT_KEPT", "the running manager does not keep this session", "Look at its log: `wasess logs {user}`.", level="warning")
KEEPER_FAILED = Reason(
    "KEEPER_FAILED",
    "the manager could not take it up; trying again",
    "See what is wrong: `wasess diagnose {user}`.",
    level="error",
)
MANAGER_SILENT = Reason(
    "MANAGER_SILENT", "the manager holds this home and does not answer", "Restart `wasess serve`; look at its log first.", level="error"
)
OTHER_VERSION = Reason(
    "OTHER_VERSION", "the running manager is of another version, and says what this one does not know", "Restart `wasess serve`."
)
PAUSED_BY_OPERATOR = Reason("PAUSED_BY_OPERATOR", "paused by an operator", "Let it go on: `wasess resume {user}`.")
RECONNECTING = Reason("RECONNECTING", "an operator asked for a new connection; starting afresh")
PAIRING = Reason("PAIRING", "a pairing is under way", "Scan the code that `wasess connect {user}` shows.")
UNLINKED_HERE = Reason(
    "UNLINKED_HERE", "logged out with `wasess logout`", "The old credentials are kept. Pair again: `wasess connect {user}`."
)

# The network. It heals by itself, and so do these.
CONNECTION_LOST = Reason("CONNECTION_LOST", "the connection was lost; reconnecting", level="warning")
NETWORK_DOWN = Reason("NETWORK_DOWN", "WhatsApp can't be reached", level="warning")
CLOCK_WRONG = Reason(
    "CLOCK_WRONG",
    "WhatsApp's certificate is not valid at this machine's time",
    "Check the clock: `date`, `timedatectl`.",
    level="warning",
)
NO_ANSWER = Reason("NO_ANSWER", "WhatsApp took the connection and did not answer; starting afresh", level="warning")
NOT_BACK = Reason("NOT_BACK", "the connection did not come back in time; starting afresh", level="warning")
GAVE_UP = Reason("GAVE_UP", "the client library has given up dialling; starting afresh", level="warning")
ZOMBIE = Reason("ZOMBIE", "the connection is open and dead; starting afresh", level="warning")
FLAPPING = Reason("FLAPPING", "the connection breaks again and again; going slower", level="warning")

# Suspicions: the session stays online, and WhatsApp is asked.
PING_LOST = Reason("PING_LOST", "WhatsApp did not answer a ping; asking once more")
LINE_LOST = Reason("LINE_LOST", "the connection looks dead; asking WhatsApp")
STREAM_ERROR = Reason("STREAM_ERROR", "WhatsApp reported a fault of the connection; asking it whether it still stands")
WOKE = Reason("WOKE", "this machine or the manager stood still for a while; asking WhatsApp")
ANSWERED = Reason("ANSWERED", "WhatsApp answered; the connection is good")
UNPROVEN = Reason(
    "UNPROVEN", "online, but WhatsApp was not heard of for too long", "Prove the connection: `wasess reconnect {user}`.", level="warning"
)

# What the session runs on.
WORKER_LOST = Reason("WORKER_LOST", "the session's process ended unexpectedly; starting it again", level="warning")
WORKER_STUCK = Reason("WORKER_STUCK", "the session's process does not react; starting it again", level="warning")
WORKER_TOO_LARGE = Reason("WORKER_TOO_LARGE", "the session's process uses too much memory; starting it again", level="warning")
SESSION_LOCKED = Reason("SESSION_LOCKED", "another process holds this session; waiting for it to let go", level="warning")
DISK_FULL = Reason(
    "DISK_FULL",
    "the disk is full; the session is offline so that WhatsApp keeps its messages",
    "Make room: `df -h`.",
    level="error",
)
DATABASE_LOST = Reason("DATABASE_LOST", "its credentials (device.db) were changed from outside; looking at them again", level="warning")
DATABASE_DAMAGED = Reason(
    "DATABASE_DAMAGED",
    "its credentials (device.db) can't be used; nothing was changed",
    "Put a good device.db back, or pair again: `wasess connect {user} --force`.",
    level="error",
)

# What is wrong with a session's messages while it is connected (`core.live.Live.problem`).
MAIL_NOT_TAKEN = Reason(
    "MAIL_NOT_TAKEN",
    "its messages can't be stored now; they wait in the spool",
    "See what is wrong: `wasess diagnose {user}`.",
    level="error",
)
FILES_REPLACED = Reason(
    "FILES_REPLACED",
    "its files were replaced or deleted while it was running; starting afresh with those that are there now",
    "See what is missing: `wasess diagnose {user}`.",
    level="error",
)
MESSAGES_DAMAGED = Reason(
    "MESSAGES_DAMAGED",
    "some of its stored messages are damaged and were set aside",
    "See which: `wasess diagnose {user}`.",
    level="error",
)
CHAT_BRAKED = Reason(
    "CHAT_BRAKED",
    "a machine answers the bot in a chat; the bot's answers there wait until somebody releases it",
    "See which: `wasess diagnose {user}`.",
    level="error",
)
BOT_FAILING = Reason(
    "BOT_FAILING",
    "its bot fails on every message",
    "See on what: `wasess logs {user}`, `wasess inbox list {user}`; then mend the bot.",
    level="error",
)
MEDIA_FULL = Reason(
    "MEDIA_FULL",
    "the files of messages that wait for the bot fill the quota; new files are not fetched",
    "See why the bot does not take them, or raise --media-quota: `wasess diagnose {user}`.",
    level="warning",
)
SENDS_DELAYED = Reason(
    "SENDS_DELAYED",
    "WhatsApp does not take messages at the moment; they stay queued and are tried again, at most two hours apart",
    "Send less if it goes on, and see what it says: `wasess logs {user}`.",
    level="warning",
)
FIRST_MESSAGES_LOCKED = Reason(
    "FIRST_MESSAGES_LOCKED",
    "WhatsApp takes no first messages from this account (code 463); they wait, answers go out",
    "Let people write first, and send fewer first messages.",
    level="warning",
)
REPLIES_FAILED = Reason(
    "REPLIES_FAILED",
    "replies could not be sent, and nobody has dealt with them",
    "Send them again: `wasess inbox retry {user} --failed-replies`, or give them up: `wasess inbox drop {user} --failed-replies`.",
    level="warning",
)

# What the server said.
REFUSED = Reason("REFUSED", "WhatsApp refused the login; trying again slowly", level="warning")
REFUSED_UNKNOWN = Reason(
    "REFUSED_UNKNOWN",
    "WhatsApp refused the login with a code this version does not know; trying again slowly",
    "If it goes on, upgrade wasess.",
    level="warning",
)
RATE_LIMITED = Reason("RATE_LIMITED", "WhatsApp says there were too many connections; waiting", level="warning")
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
    "Announce a newer version, which often helps: `wasess reconnect {user} --wa-version auto`."
    " Or upgrade: `pip install --upgrade wasess`, then restart `wasess serve`.",
    level="error",
)
_PAIR_AGAIN = "The old credentials are kept. Pair again: `wasess connect {user}`."
LOGGED_OUT = Reason("LOGGED_OUT", "logged out by WhatsApp or on the phone", _PAIR_AGAIN, level="error")
LOGGED_OUT_EARLY = Reason(
    "LOGGED_OUT_EARLY",
    "WhatsApp took the link back within a minute of the pairing",
    "Wait some hours, use the phone normally, then pair again: `wasess connect {user}`.",
    level="error",
)
ACCOUNT_LOCKED = Reason(
    "ACCOUNT_LOCKED",
    "WhatsApp refuses this account's linked devices (code 403)",
    "Open WhatsApp on the phone and see what it says. " + _PAIR_AGAIN,
    level="error",
)
ACCOUNT_BANNED = Reason(
    "ACCOUNT_BANNED",
    "WhatsApp has banned this account (code 406)",
    "Open WhatsApp on the phone and ask for a review. " + _PAIR_AGAIN,
    level="error",
)
NEEDS_PAIRING = Reason("NEEDS_PAIRING", "not linked to a phone", "Pair it: `wasess connect {user}`.", level="error")

# Warnings before the session is lost.
PHONE_SILENT = Reason(
    "PHONE_SILENT",
    "nothing was heard from the phone for 10 days; WhatsApp unlinks devices after about 14 days without it",
    "Open WhatsApp on the phone.",
    level="warning",
)
PHONE_SILENT_URGENT = Reason(
    "PHONE_SILENT_URGENT",
    "nothing was heard from the phone for 12 days; WhatsApp may unlink this device any day",
    "Open WhatsApp on the phone now.",
    level="error",
)

CLIENT_OLD = Reason(
    "CLIENT_OLD",
    "the client version is over 60 days old; WhatsApp may refuse it soon (an estimate)",
    "Announce a newer one: `wasess serve --wa-version auto`.",
    level="warning",
)

NETWORK = frozenset({CONNECTION_LOST, NETWORK_DOWN, CLOCK_WRONG, NO_ANSWER, NOT_BACK, GAVE_UP, ZOMBIE})
"""The ways in which the network can be away; when it is back for one session, it is worth a try for all."""

PARTINGS = frozenset({LOGGED_OUT, LOGGED_OUT_EARLY, ACCOUNT_LOCKED, ACCOUNT_BANNED, UNLINKED_HERE})
"""Why a session that was linked is not any more."""

ALL = tuple(found for found in globals().values() if isinstance(found, Reason))
BY_CODE = {reason.code: reason for reason in ALL}

# What the machine and the supervisor say in a report's detail, in English; the library's own words are nobody's to translate.
DETAILS = (
    "what was sent is not even acknowledged",
    "no connection is open",
    "stopped by a signal, silent for {seconds} s",
    "silent for {seconds} s",
    "held by an unknown client",
    "held by {holder}",
    "code {code}",
    "reason {reason}",
    "no code",
    "{used} MiB of {limit}",
)

_LOGOUTS = {403: ACCOUNT_LOCKED, 406: ACCOUNT_BANNED}
_TOO_MANY = re.compile(r"(?:\bgot 429|: Too Many Requests)$")  # at the end: a number before it may be of an address
_BAD_TIME = "certificate has expired or is not yet valid"
# neonize 0.5.2 leaves a required enum unset when it does not know the server's code, and then its event pump ends.
_UNKNOWN_WORD = re.compile(r"required field .*(?:ConnectFailure|TemporaryBan).* not set")


def of_logout(code: int, *, young: bool) -> Reason:
    """The reason for a logout with the server's ``code`` (0: removed on the phone); ``young``: paired less than a minute ago."""
    return _LOGOUTS.get(code) or (LOGGED_OUT_EARLY if young else LOGGED_OUT)


def parting(last_code: str, *, unlinked: bool) -> Reason:
    """Why a session has no device; ``last_code``: of its record. ``unlinked``: the old credentials are kept in device.db."""
    known = BY_CODE.get(last_code)
    if known is not None and known in PARTINGS:
        return known
    return LOGGED_OUT if unlinked else NEEDS_PAIRING


def of_dial(detail: str) -> Reason:
    """The reason for a first connection that failed with the library's ``detail``."""
    if _TOO_MANY.search(detail):
        return RATE_LIMITED
    return CLOCK_WRONG if _BAD_TIME in detail else NETWORK_DOWN


def is_unknown_word(detail: str) -> bool:
    """Whether the library ended because the server refused the login in words it does not know."""
    return _UNKNOWN_WORD.search(detail) is not None
