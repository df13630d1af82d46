"""`wasess list`: the sessions of a home and how they are."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from wasess.cli.before import shortened
from wasess.cli.options import HOME, HomeOption, JsonOption
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.core.outages import DAY, MONTH, WEEK, count, open_outage, uptime
from wasess.core.states import State
from wasess.core.warnings import probation
from wasess.doctor.census import ManagerView, census, manager_of
from wasess.errors import WasessError
from wasess.store.past import settled
from wasess.store.sessions import Home
from wasess.words import _, mark

if TYPE_CHECKING:
    from wasess.core.outages import Ledger
    from wasess.doctor.census import SessionView
    from wasess.store.records import SessionRecord

HEADINGS = (mark("USER"), mark("LINKED"), mark("PHONE"), mark("STATE"), mark("UP 7 DAYS"))
WINDOWS = {"day": DAY, "week": WEEK, "month": MONTH}

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("list")
def list_sessions(*, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """List the sessions and how they are.

    UP 7 DAYS is the share of the last seven days (or since it was paired) that a session was online; a time without a manager counts
    as away, and - means that it is not known.
    """
    opened = Home(home).open(create=False)
    return emit(sessions_of(opened, manager_of(opened), time.time()), as_json=json)


def sessions_of(home: Home, manager: ManagerView, now: float) -> Result:
    """Everything known about the sessions of a home at ``now`` (Unix time)."""
    last_alive = now if manager.holder else min(home.last_alive(), now)
    rows = [_row(home, view, now, last_alive) for view in census(home, manager)]
    data = {"home": str(home.path), "manager": manager.holder.pid if manager.holder else None, "sessions": rows}
    if not rows:
        return Result(data, (_("no sessions in {home}").format(home=home.path),), hint="wasess connect USER")
    return Result(data, table=(HEADINGS, *map(_cells, rows)), hint="" if manager.holder else "wasess serve")


def _row(home: Home, view: SessionView, now: float, last_alive: float) -> dict[str, Any]:
    """One session; what can't be read is an ``error`` of that row, not of the command. ``last_alive``: now, when a manager runs."""
    row: dict[str, Any] = {
        "user": view.user,
        "linked": view.linked,
        "phone": shortened(view.phone) if view.phone else None,
        "state": view.state,
        "code": view.code,
        "exit_code": view.exit_code,
        "paused_at": view.paused_at,
        "error": _error(view.problem),
        "uptime": dict.fromkeys(WINDOWS),
        "outages": dict.fromkeys(WINDOWS),
        "last_outage": None,
        "phone_seen_at": None,
        "on_probation": None,
    }
    try:
        record, ledger = home.session(view.user).record.read()
    except WasessError as error:
        return row | {"error": row["error"] or _error(error)}
    return row | (_history(view, record, ledger, now, last_alive) if record else {})


def _error(problem: WasessError | None) -> dict[str, str] | None:
    return {"code": problem.code, "message": str(problem), "hint": problem.hint} if problem else None


def _history(view: SessionView, record: SessionRecord, ledger: Ledger, now: float, last_alive: float) -> dict[str, Any]:
    if 0 < last_alive < now:
        ledger = settled(record, ledger, last_alive)
    # A session that has not been up yet is neither online nor away.
    known = open_outage(ledger) is not None or view.state is State.ONLINE
    since = record.paired_at or record.created_at
    return {
        "uptime": {name: uptime(ledger, since, now, window) if known else None for name, window in WINDOWS.items()},
        "outages": {name: count(ledger, now, window) for name, window in WINDOWS.items()},
        "last_outage": asdict(ledger[-1]) if ledger else None,
        "phone_seen_at": record.phone_seen_at,
        "on_probation": probation(record.paired_at, now),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["user"], _word(row["linked"]), row["phone"] or "-", row["state"], _percent(row["uptime"]["week"])


def _percent(share: float | None) -> str:
    """Rounded down: a week with an outage in it is never 100.0 %."""
    return "-" if share is None else f"{int(share * 1000 + 1e-9) / 10:.1f} %"


def _word(linked: bool | None) -> str:  # noqa: FBT001 - the value of a column
    return {True: _("yes"), False: _("no"), None: _("can't be read")}[linked]
