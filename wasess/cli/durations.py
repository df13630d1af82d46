"""Spans of time as people type them, and as they read them."""

from __future__ import annotations

from wasess.errors import UsageError
from wasess.words import _, plural

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


def in_words(span: float) -> str:
    """Rounded down to its largest unit: ``3 min``. A negative one (clocks are set back now and then) is none."""
    whole = int(max(0.0, span))
    if whole < 60:
        return _("{count} s").format(count=whole)
    if whole < 3600:
        return _("{count} min").format(count=whole // 60)
    if whole < 2 * 86_400:
        return _("{count} h").format(count=whole // 3600)
    return plural("{count} day", "{count} days", whole // 86_400).format(count=whole // 86_400)
