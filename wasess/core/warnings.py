"""Warnings before a session is lost. Pure.

WhatsApp unlinks companion devices when the phone has not been used for about 14 days (WhatsApp's help, article 378279804439436). It refuses
clients that are too old: `core.client_version`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core import client_version, reasons

if TYPE_CHECKING:
    from wasess.core.reasons import Reason

SILENT_AFTER = 10 * 86_400.0
URGENT_AFTER = 12 * 86_400.0
PROBATION = 60.0  # what WhatsApp takes back, it takes back within the first minute


def phone_warning(last_seen: float, now: float) -> Reason | None:
    """What to say when nothing was heard from the phone since ``last_seen``, or None.

    It is a warning about silence: a phone whose owner writes nothing, and only reads, sounds the same as one that is switched off.
    """
    silent = now - last_seen
    if silent >= URGENT_AFTER:
        return reasons.PHONE_SILENT_URGENT
    return reasons.PHONE_SILENT if silent >= SILENT_AFTER else None


def probation(paired_at: float | None, now: float) -> bool:
    """Whether the pairing is younger than a minute. None: it is not known when, so long ago."""
    return paired_at is not None and 0 <= now - paired_at < PROBATION


def client_warning(number: int, now: float) -> Reason | None:
    """What to say of the client version 2.3000.``number`` while sessions announce it, or None."""
    return reasons.CLIENT_OLD if client_version.age(number, now) >= client_version.OLD_AFTER else None
