"""How steeply something grows: the least-squares line through samples."""

from __future__ import annotations

import statistics

HOUR = 3600.0


def per_hour(points: list[tuple[float, float]]) -> float:
    """The slope of ``(seconds, value)`` points in value an hour; 0 when there are fewer than two moments."""
    if len({moment for moment, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope * HOUR


def percent_per_hour(points: list[tuple[float, float]]) -> float:
    """The same in percent of the points' mean."""
    mean = statistics.fmean(value for _, value in points) if points else 0.0
    return per_hour(points) / mean * 100 if mean else 0.0
