"""The states a session can be in, and the sets of them that have a name."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The values are what session.json and ``--events`` carry; they never change."""

    NEW = "new"  # never started here
    PAIRING = "pairing"  # `connect` is showing a QR or a code; only `connect` uses it
    CONNECTING = "connecting"  # a worker runs and has not logged in yet
    ONLINE = "online"  # logged in
    RECOVERING = "recovering"  # the connection was lost and the library redials; the grace timer runs
    WAITING = "waiting"  # no worker; the next try has a time
    PAUSED = "paused"  # replaced elsewhere, or banned: dialling now would make it worse
    OUTDATED = "outdated"  # WhatsApp refuses this version of the library; a slow retry
    LOGGED_OUT = "logged_out"  # a human must pair again
    STOPPED = "stopped"  # the manager or an operator took it down


LIVE = frozenset({State.CONNECTING, State.ONLINE, State.RECOVERING})
"""A worker is meant to run."""

RESTING = frozenset({State.NEW, State.PAIRING, State.LOGGED_OUT, State.STOPPED})
"""Left only by a human's (or the manager's) StartRequested."""
