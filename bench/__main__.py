"""`python -m bench`: all figures of a few minutes, or those of one subcommand, also the long ones: damage, held, hostile, losses, soak and untouched.

The exit code is 1 when a figure is beyond its limit or could not be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from functools import partial

from bench import (
    blackhole,
    damage,
    damage_real,
    fleet,
    held,
    hostile,
    latency,
    losses,
    mail,
    pss,
    restore,
    soak,
    supervisor,
    untouched,
    verify,
    webhook,
)
from bench import help as help_time
from bench.figure import BenchFailed, Failure, Figure, document, table

Work = tuple[str, Callable[[], list[Figure]]]

ROUNDS = {20: 5, 100: 3}
*FIRST, LAST = losses.RUNS
KINDS = f"{', '.join(FIRST)} or {LAST}"


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that no manager is left behind
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(ending, lambda number, _: sys.exit(128 + number))
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
    if wanted.figure:
        return [(wanted.figure, partial(MEASURES[wanted.figure], wanted))]
    restores: list[Work] = [(f"restore --sessions {count}", partial(restore.measure, count, rounds)) for count, rounds in ROUNDS.items()]
    quick: list[Work] = [("help", help_time.measure), ("pss", pss.measure), ("supervisor", supervisor.measure), ("verify", verify.measure)]
    mails: list[Work] = [("mail", mail.measure), ("latency", latency.measure), ("webhook", webhook.measure)]
    return [*quick, *restores, ("fleet", fleet.measure), ("blackhole", blackhole.measure), *mails]


def _losses(wanted: argparse.Namespace) -> list[Figure]:
    return losses.measure(losses.Plan(wanted.kind, wanted.runs, wanted.sessions, wanted.rate, wanted.seed))


def _damage(wanted: argparse.Namespace) -> list[Figure]:
    if wanted.real:
        return damage_real.measure(wanted.real, wanted.seed or 1)
    return damage.measure(damage.Plan(wanted.each, wanted.file, wanted.state, wanted.seed))


def _soak(wanted: argparse.Namespace) -> list[Figure]:
    return soak.measure(soak.Plan(wanted.sessions, wanted.minutes * 60, wanted.faults_per_minute, wanted.seed))


MEASURES: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "damage": _damage,
    "fleet": lambda wanted: fleet.measure(wanted.sessions, wanted.away),
    "hostile": lambda wanted: hostile.measure(hostile.Plan(wanted.stanzas, wanted.minutes * 60, wanted.seed)),
    "held": lambda wanted: held.measure(wanted.seconds, wanted.rate, wanted.sessions, wanted.rounds or 2),
    "help": lambda wanted: help_time.measure(wanted.runs),
    "latency": lambda wanted: latency.measure(wanted.sessions, wanted.rate, wanted.seconds),
    "mail": lambda wanted: mail.measure(wanted.messages, wanted.rounds or 3, wanted.contacts),
    "losses": _losses,
    "pss": lambda wanted: pss.measure(wanted.workers, wanted.seconds),
    "restore": lambda wanted: restore.measure(wanted.sessions, wanted.rounds or ROUNDS.get(wanted.sessions, 3)),
    "soak": _soak,
    "supervisor": lambda wanted: supervisor.measure(wanted.sessions, wanted.seconds),
    "blackhole": lambda wanted: blackhole.measure(wanted.sessions, wanted.seed),
    "untouched": lambda wanted: untouched.measure(wanted.minutes),
    "verify": lambda wanted: verify.measure(wanted.sessions, wanted.runs),
    "webhook": lambda wanted: webhook.measure(wanted.messages, wanted.rounds or 3),
}


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document to stdout")
    parser = argparse.ArgumentParser("python -m bench", description=__doc__, parents=[shared])
    figures = parser.add_subparsers(dest="figure", metavar="FIGURE")
    options: dict[str, tuple[str, dict[str, float | str]]] = {
        "fleet": ("cold start, reset of all, return of the server, one killed and one poisoned worker", {"sessions": 100, "away": 60.0}),
        "held": (
            "one session's mail can't be written: what the others notice (only on demand)",
            {"seconds": 14.0, "rate": 20.0, "sessions": 4, "rounds": 0},
        ),
        "help": ("wall time of `wasess --help`", {"runs": 10}),
        "latency": ("from the server to the bot, with busy sessions", {"sessions": 20, "rate": 10.0, "seconds": 30.0}),
        "webhook": ("messages a second through a webhook", {"messages": 2000, "rounds": 3}),
        "mail": ("messages a second, beside neonize's library alone", {"messages": 2000, "rounds": 3, "contacts": 0}),
        "losses": (
            f"no message is lost: --kind {KINDS} (only on demand)",
            {"kind": "drain", "runs": 0, "sessions": 5, "rate": 20.0, "seed": 0},
        ),
        "hostile": (
            "one contact attacks a session, beside busy ones (only on demand)",
            {"stanzas": 20000, "minutes": 10.0, "seed": 0},
        ),
        "damage": (
            "no damaged file costs a message or a session silently (only on demand)",
            {"each": 500, "file": "", "state": "", "seed": 0, "real": 0},
        ),
        "pss": ("memory and CPU of connected, idle workers", {"workers": 8, "seconds": 5.0}),
        "restore": ("start of `wasess serve` to all sessions online, and its end", {"sessions": 20, "rounds": 0}),
        "supervisor": ("memory and CPU of the manager with idle sessions", {"sessions": 20, "seconds": 5.0}),
        "soak": ("random faults for an hour (only on demand)", {"minutes": 60.0, "sessions": 20, "faults-per-minute": 2.0, "seed": 0}),
        "blackhole": ("dead connections that look alive: noticed and replaced", {"sessions": 20, "seed": 1}),
        "untouched": ("no false alarm in half an hour (only on demand)", {"minutes": 30.0}),
        "verify": ("time and memory of `wasess verify --all`, with a manager and without", {"sessions": 200, "runs": 10}),
    }
    for name, (text, numbers) in options.items():
        figure = figures.add_parser(name, help=text, parents=[shared], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        for option, default in numbers.items():
            figure.add_argument(f"--{option}", type=type(default), default=default, help=HELP[option])
    return parser


HELP = {
    "each": "how many cases of each file, while it is stopped and while it is served",
    "real": "instead: so many sessions with the real library, each file struck once while stopped and once while served",
    "file": "which of a session's files; empty: all",
    "state": "stopped or serving; empty: both",
    "kind": f"what happens: {KINDS}",
    "away": "for so many seconds the server refuses everybody",
    "contacts": "how many write; 0: one, then twenty",
    "faults-per-minute": "how many, over all sessions",
    "messages": "how many",
    "minutes": "how long",
    "seed": "for the choice of the faults; 0: a new one",
    "rate": "messages a second (latency: to each session)",
    "runs": "how often; for losses 0: 100 drains, 200 kills, 50 floods, 20 cuts, 30 kills on a slow disk",
    "stanzas": "how many the contact sends",
    "workers": "how many",
    "sessions": "how many",
    "seconds": "for how long; memory must have been steady for so long",
    "rounds": "how often; 0: 5 for 20 sessions, else 3",
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
