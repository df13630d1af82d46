"""`python -m bench`: all figures, or those of one subcommand; exit code 1 when one is over its limit or could not be measured."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from bench import help as help_time
from bench import pss, restore, supervisor
from bench.figure import BenchFailed, Failure, Figure, document, table

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = tuple[str, Callable[[], list[Figure]]]

ROUNDS = {20: 5, 100: 3}


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no manager is left behind
    wanted = _parser().parse_args(arguments)
    figures: list[Figure] = []
    failures: list[Failure] = []
    for command, measure in _work(wanted):
        try:
            figures += measure()
        except (BenchFailed, OSError, TimeoutError, ExceptionGroup) as error:
            failures.append(Failure(command, f"{error!r}"))
    if getattr(wanted, "json", False):
        print(json.dumps(document(figures, failures), indent=1))
    else:
        print(table(figures, failures))
    return int(bool(failures) or any(figure.over for figure in figures))


def _work(wanted: argparse.Namespace) -> list[Work]:
    match wanted.figure:
        case "help":
            return [("help", partial(help_time.measure, wanted.runs))]
        case "pss":
            return [("pss", partial(pss.measure, wanted.workers, wanted.seconds))]
        case "supervisor":
            return [("supervisor", partial(supervisor.measure, wanted.sessions, wanted.seconds))]
        case "restore":
            rounds = wanted.rounds or ROUNDS.get(wanted.sessions, 3)
            return [("restore", partial(restore.measure, wanted.sessions, rounds))]
        case _:
            restores: list[Work] = [
                (f"restore --sessions {count}", partial(restore.measure, count, rounds)) for count, rounds in ROUNDS.items()
            ]
            return [("help", help_time.measure), ("pss", pss.measure), ("supervisor", supervisor.measure), *restores]


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document to stdout")
    parser = argparse.ArgumentParser("python -m bench", description=__doc__, parents=[shared])
    figures = parser.add_subparsers(dest="figure", metavar="FIGURE")
    options: dict[str, tuple[str, dict[str, float]]] = {
        "help": ("wall time of `wasess --help`", {"runs": 10}),
        "pss": ("memory and CPU of connected, idle workers", {"workers": 8, "seconds": 5.0}),
        "restore": ("start of `wasess serve` to all sessions online, and its end", {"sessions": 20, "rounds": 0}),
        "supervisor": ("memory and CPU of the manager with idle sessions", {"sessions": 20, "seconds": 5.0}),
    }
    for name, (text, numbers) in options.items():
        figure = figures.add_parser(name, help=text, parents=[shared], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        for option, default in numbers.items():
            figure.add_argument(f"--{option}", type=type(default), default=default, help=HELP[option])
    return parser


HELP = {
    "runs": "how often",
    "workers": "how many",
    "sessions": "how many",
    "seconds": "for so long the memory must have been steady",
    "rounds": "how often; 0: 5 for 20 sessions, else 3",
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
