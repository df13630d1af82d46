"""How long to wait before the next try. Full jitter: ``dice * min(cap, base * 2**failures)``, so that many sessions never dial in step."""

from __future__ import annotations

BASE = 1.0
CAP = 60.0

SLOW_FLOOR = 60.0
SLOW_BASE = 60.0
SLOW_CAP = 840.0


def delay(failures: int, dice: float) -> float:
    """Seconds to wait after ``failures`` earlier failures in a row (0 for the first); ``dice`` is uniform in [0, 1)."""
    return _jittered(failures, dice, BASE, CAP)


def slow_delay(failures: int, dice: float) -> float:
    """The same for a server that answered with a refusal: never below a minute, at most fifteen."""
    return SLOW_FLOOR + _jittered(failures, dice, SLOW_BASE, SLOW_CAP)


def _jittered(failures: int, dice: float, base: float, cap: float) -> float:
    """``2.0 ** 1024`` overflows, so the exponent is capped long after the delay is."""
    return dice * min(cap, base * 2.0 ** min(failures, 64))
