"""What a bench finds out: figures with their limits, as a table for people or a document for programs."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from dataclasses import dataclass
from typing import Any


class BenchFailed(Exception):
    """A figure could not be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing.

    ``command`` measures it alone. ``limit`` is the largest median allowed and ``least`` the smallest, None when there is no promise;
    a figure has at most one of them. ``source`` names the file with the samples it was made from.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    command: str
    limit: float | None = None
    least: float | None = None
    source: str = ""

    @property
    def median(self) -> float:
        """The value that is compared with the limit."""
        return statistics.median(self.values)

    @property
    def over(self) -> bool:
        """Whether the promise is broken."""
        too_much = self.limit is not None and self.median > self.limit
        return too_much or (self.least is not None and self.median < self.least)


@dataclass(frozen=True, slots=True)
class Failure:
    """A command that gave no figure."""

    command: str
    reason: str


def table(figures: list[Figure], failures: list[Failure]) -> str:
    """The figures as aligned lines, what failed below them."""
    rows = [("figure", "median", "lowest to highest", "limit", "", "measured by")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    sources = [f"samples: {source}" for source in dict.fromkeys(figure.source for figure in figures) if source]
    failed = [f"FAILED  {failure.command}: {failure.reason}" for failure in failures]
    return "\n".join([circumstances(), "", *lines, *sources, *failed])


def document(figures: list[Figure], failures: list[Failure]) -> dict[str, Any]:
    """The same as JSON-ready values."""
    return {
        "circumstances": circumstances(),
        "figures": [
            {
                "name": figure.name,
                "median": figure.median,
                "values": list(figure.values),
                "unit": figure.unit,
                "limit": figure.limit,
                "least": figure.least,
                "over": figure.over,
                "command": figure.command,
                "source": figure.source,
            }
            for figure in figures
        ],
        "failures": [{"command": failure.command, "reason": failure.reason} for failure in failures],
    }


def tell(text: str) -> None:
    """Say how far we are."""
    print(text, file=sys.stderr, flush=True)


def number(value: float) -> str:
    """Three digits, or all of a larger whole number."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def circumstances() -> str:
    """Figures are worth comparing only within one run; this says what else the machine had to do."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"Python {platform.python_version()} on {os.cpu_count()} cores, load (1, 5, 15 minutes) {load}"


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    low, high = min(figure.values), max(figure.values)
    spread = f"{number(low)} to {number(high)} of {len(figure.values)}" if len(figure.values) > 1 else ""
    limit = "" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
    if figure.least is not None:
        limit = f"at least {figure.least:g} {figure.unit}"
    verdict = ("OVER" if figure.least is None else "UNDER") if figure.over else ("ok" if limit else "")
    return figure.name, f"{number(figure.median)} {figure.unit}", spread, limit, verdict, figure.command
