"""Moments and spans as people read them."""

from __future__ import annotations

import time

from wasess.words import _, plural

DAY = 86_400


def span(seconds: float) -> str:
    """Rounded down to its largest unit: ``3 min``. A negative one (clocks are set back now and then) is none."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return _("{count} s").format(count=whole)
    if whole < 3600:
        return _("{count} min").format(count=whole // 60)
    if whole < 2 * DAY:
        return _("{count} h").format(count=whole // 3600)
    return plural("{count} day", "{count} days", whole // DAY).format(count=whole // DAY)


def moment(unix: float) -> str:
    """The local time, to the second: ``2026-11-24 19:37:08``. A time that no calendar has is told as its number."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix))
    except (ValueError, OverflowError, OSError):
        return str(unix)


def size(count: float) -> str:
    """A number of bytes: ``412 KB``, ``3.4 GB``."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("KB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"
