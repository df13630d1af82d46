"""Two checkouts in turn, A B B A, as figures are worth comparing only within one run: ``python -m bench.compare [--pairs N] OTHER FIGURE …``.

OTHER is the folder of another checkout with a .venv of its own, of the commit before for example::

    git worktree add --detach ../before HEAD~1 && make -C ../before .venv/.ready
    python -m bench.compare --pairs 4 ../before mail --rounds 1 --contacts 20
    python -m bench.compare --pairs 4 ../before latency --sessions 10 --seconds 15

What follows is a command of `python -m bench`, and is run in both. A pair's ratio is ours by theirs, the median of the ratios is judged: those
figures of `JUDGED` must not be worse by more than ``--within`` percent. The exit code is 1 when one is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench.figure import BenchFailed, circumstances, number, tell
from bench.stage import ROOT

# Which figures count, by the ends of their names, and whether more is better. The others are shown, to see what the machine did.
JUDGED = {
    "wasess, to the inbox": True,
    "wasess, to the bot": True,
    "to the bot, p50": False,
    "to the bot, p99": False,
    "to the bot and back, p50": False,
    "to the bot and back, p99": False,
}
WITHIN = 1800.0


class Row(NamedTuple):
    """A figure of both checkouts: the medians of its pairs, ours by theirs in each, and how many percent ours is worse (None: not judged)."""

    name: str
    unit: str
    theirs: float
    ours: float
    ratios: tuple[float, ...]
    worse: float | None


def compare(pairs: list[tuple[dict[str, float], dict[str, float]]], units: dict[str, str]) -> list[Row]:
    """Of what was measured in each pair: theirs, ours. Figures that not all have, or that are 0, are left out."""
    rows = []
    for name, unit in units.items():
        values = [(theirs.get(name, 0.0), ours.get(name, 0.0)) for theirs, ours in pairs]
        if not all(theirs and ours for theirs, ours in values):
            continue
        ratios = tuple(ours / theirs for theirs, ours in values)
        more_is_better = next((better for end, better in JUDGED.items() if name.endswith(end)), None)
        middle = statistics.median(ratios)
        worse = None if more_is_better is None else 100 * ((1 / middle if more_is_better else middle) - 1)
        theirs, ours = (statistics.median(one) for one in zip(*values, strict=True))
        rows.append(Row(name, unit, theirs, ours, ratios, worse))
    return rows


def main(arguments: list[str]) -> int:
    """Measure in turn, compare, print."""
    parser = argparse.ArgumentParser("python -m bench.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the folder of the other checkout")
    parser.add_argument("--pairs", type=int, default=4, help="how often each is measured")
    parser.add_argument("--within", type=float, default=5.0, help="percent that ours may be worse")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="FIGURE …", help="what is measured: a command of `python -m bench`")
    wanted = parser.parse_args(arguments)
    units: dict[str, str] = {}
    pairs = []
    for pair in range(1, wanted.pairs + 1):
        measured = {}
        both = (wanted.other.resolve(), ROOT)
        for checkout in both if pair % 2 else both[::-1]:  # a machine that becomes slower favours neither
            tell(f"pair {pair} of {wanted.pairs}: {checkout}")
            figures = _measure(checkout, wanted.command)
            units |= {figure["name"]: figure["unit"] for figure in figures}
            measured[checkout] = {figure["name"]: figure["median"] for figure in figures}
        pairs.append((measured[both[0]], measured[both[1]]))
    rows = compare(pairs, units)
    print(f"{circumstances()}; {' '.join(wanted.command)}; {wanted.pairs} pairs\n")
    for row in rows:
        ratios = f"{statistics.median(row.ratios):.3f} ({min(row.ratios):.3f} to {max(row.ratios):.3f})"
        verdict = "" if row.worse is None else "WORSE" if row.worse > wanted.within else "ok"
        print(
            f"{row.name:70}  theirs {number(row.theirs):>6}  ours {number(row.ours):>6} {row.unit:4}  ours/theirs {ratios}  {verdict}".rstrip()
        )
    judged = [row.worse for row in rows if row.worse is not None]
    return int(not judged or max(judged) > wanted.within)


def _measure(checkout: Path, command: list[str]) -> list[dict[str, str | float]]:
    python = checkout / ".venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", "bench", *command, "--json"], cwd=checkout, stdout=subprocess.PIPE, text=True, check=False, timeout=WITHIN
    )
    found = json.loads(done.stdout or '{"figures": [], "failures": ["no answer"]}')
    if found["failures"]:
        raise BenchFailed(f"{checkout}: {found['failures']}")
    figures: list[dict[str, str | float]] = found["figures"]
    return figures


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (BenchFailed, OSError, subprocess.TimeoutExpired) as failed:
        sys.exit(str(failed))
