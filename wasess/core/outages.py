"""The ledger of a session: when it was away, why, and what that cost. Pure: a ledger is a tuple of `Outage`, the oldest noted first.

At most one outage is open; it is the last. Clocks are set back now and then: then outages overlap, or end before they begin. An
end is never before its start, and time that two outages share counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DAY = 86_400.0
WEEK = 7 * DAY
MONTH = 30 * DAY

KEPT_FOR = 31 * DAY
MOST_KEPT = 500


@dataclass(frozen=True, slots=True)
class Outage:
    """``start`` and ``end`` (None: still going on) are Unix seconds; ``code`` is the stable code of the first reason.

    ``attempts``: workers started meanwhile. ``recovered``: messages that WhatsApp had kept for us, as it said at the login after it.
    """

    start: float
    end: float | None
    code: str
    attempts: int = 0
    recovered: int = 0


Ledger = tuple[Outage, ...]


def begun(ledger: Ledger, at: float, code: str) -> Ledger:
    """Open an outage, unless one is open: that one goes on, with its start and its code. What is too old or too much goes (`_kept`)."""
    if open_outage(ledger):
        return ledger
    return _kept((*ledger, Outage(at, None, code)), at)


def ended(ledger: Ledger, at: float, attempts: int) -> Ledger:
    """Close the open outage, if there is one."""
    found = open_outage(ledger)
    if found is None:
        return ledger
    return _kept((*ledger[:-1], replace(found, end=max(at, found.start), attempts=attempts)), at)


def amended(ledger: Ledger, recovered: int) -> Ledger:
    """Note what was recovered after the last outage, open or closed.

    The server counts anew at every login, and counts again what it could not yet hand over: the largest of its counts stands.
    """
    if not ledger:
        return ledger
    return (*ledger[:-1], replace(ledger[-1], recovered=max(ledger[-1].recovered, recovered)))


def open_outage(ledger: Ledger) -> Outage | None:
    """The outage that is still going on."""
    return ledger[-1] if ledger and ledger[-1].end is None else None


def uptime(ledger: Ledger, since: float, now: float, window: float) -> float | None:
    """The share (0 to 1) of the last ``window`` seconds that no outage covers. Time before ``since`` does not count.

    None when there was no time yet: ``since`` is now, or the clock was set back behind it.
    """
    start = max(since, now - window)
    if start >= now:
        return None
    away, reached = 0.0, start
    for outage in sorted(ledger, key=lambda outage: outage.start):
        end = now if outage.end is None else min(outage.end, now)
        away += max(0.0, end - max(outage.start, reached))
        reached = max(reached, end)
    return min(1.0, max(0.0, 1.0 - away / (now - start)))


def count(ledger: Ledger, now: float, window: float) -> int:
    """How many outages touch the last ``window`` seconds."""
    return sum(outage.start <= now and (outage.end is None or outage.end >= now - window) for outage in ledger)


def _kept(ledger: Ledger, at: float) -> Ledger:
    """What ended more than 31 days ago goes. Beyond 500 the shortest go first: they weigh least in the uptime. The last one always stays."""
    *earlier, last = ledger
    young = [outage for outage in earlier if outage.end is None or outage.end >= at - KEPT_FOR]
    while len(young) >= MOST_KEPT:
        young.remove(min(young, key=_length))
    return (*young, last)


def _length(outage: Outage) -> float:
    return 0.0 if outage.end is None else outage.end - outage.start
