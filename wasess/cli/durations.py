"""Spans of time as people type them."""

from __future__ import annotations

from wasess.errors import UsageError
from wasess.words import _

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST = 100 * 365 * UNITS["d"]
METAVAR = "DURATION"


def seconds(text: str, option: str) -> float:
    """The seconds in ``90s``, ``15m``, ``2h``, ``1d`` or a plain number of seconds. Raises `UsageError` naming the option."""
    plain = text.strip().lower()
    unit = UNITS.get(plain[-1:], 0.0)
    number = plain[:-1] if unit else plain
    if not number.isascii() or not number.replace(".", "", 1).isdigit() or len(number) > 20 or float(number) * (unit or 1.0) > LONGEST:
        raise UsageError(
            _("{text!r} is no duration").format(text=text[:40]), hint=_("for example {option} 90s, 15m, 2h or 1d").format(option=option)
        )
    return float(number) * (unit or 1.0)
