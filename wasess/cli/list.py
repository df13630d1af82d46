"""`wasess list`: the sessions of a home, from what is on the disk."""

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
from wasess.errors import WasessError
from wasess.store.past import settled
from wasess.store.sessions import Home
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.outages import Ledger
    from wasess.store.records import SessionRecord
    from wasess.store.sessions import Session

HEADINGS = ("USER", "LINKED", "PHONE", "STATE", "UP 7 DAYS")
WINDOWS = {"day": DAY, "week": WEEK, "month": MONTH}

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("list")
def list_sessions(*, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """List the sessions and how they are.

    Reads the disk only. While no manager runs, STATE is what the last one knew.

    UP 7 DAYS is the share of the last seven days (or since it was paired) that a session was online; a time without a manager counts
    as away, and - means that it is not known.
    """
    return emit(sessions_of(Home(home).open(create=False), time.time()), as_json=json)


def sessions_of(home: Home, now: float) -> Result:
    """Everything known about the sessions of a home at ``now`` (Unix time)."""
    manager = home.lock_holder()
    last_alive = now if manager else min(home.last_alive(), now)
    rows = [_row(session, now, last_alive) for session in home.sessions()]
    data = {"home": str(home.path), "manager": manager.pid if manager else None, "sessions": rows}
    if not rows:
        return Result(data, (_("no sessions in {home}").format(home=home.path),), hint="wasess connect USER")
    return Result(data, table=(HEADINGS, *map(_cells, rows)), hint="" if manager else "wasess serve")


def _row(session: Session, now: float, last_alive: float) -> dict[str, Any]:
    """One session; what can't be read is an ``error`` of that row, not of the command. ``last_alive``: now, when a manager runs."""
    row: dict[str, Any] = {"user": session.user, "linked": None, "phone": None, "state": None, "reason": None, "error": None}
    row |= {"uptime": dict.fromkeys(WINDOWS), "outages": dict.fromkeys(WINDOWS), "last_outage": None}
    row |= {"phone_seen_at": None, "on_probation": None}
    try:
        device = session.device()
        row |= {"linked": device is not None, "phone": shortened(device.phone) if device else None}
        record, ledger = session.record.read()
        row |= _history(record, ledger, now, last_alive) if record else {}
    except WasessError as error:
        row["error"] = {"code": error.code, "message": str(error), "hint": error.hint}
    return row


def _history(record: SessionRecord, ledger: Ledger, now: float, last_alive: float) -> dict[str, Any]:
    if 0 < last_alive < now:
        ledger = settled(record, ledger, last_alive)
    # A session that has not been up yet is neither online nor away.
    known = open_outage(ledger) is not None or (last_alive >= now and record.state == State.ONLINE)
    since = record.paired_at or record.created_at
    return {
        "state": record.state,
        "reason": record.reason_code,
        "uptime": {name: uptime(ledger, since, now, window) if known else None for name, window in WINDOWS.items()},
        "outages": {name: count(ledger, now, window) for name, window in WINDOWS.items()},
        "last_outage": asdict(ledger[-1]) if ledger else None,
        "phone_seen_at": record.phone_seen_at,
        "on_probation": probation(record.paired_at, now),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["user"], _word(row["linked"]), row["phone"] or "-", row["state"] or "-", _percent(row["uptime"]["week"])


def _percent(share: float | None) -> str:
    """Rounded down: a week with an outage in it is never 100.0 %."""
    return "-" if share is None else f"{int(share * 1000 + 1e-9) / 10:.1f} %"


def _word(linked: bool | None) -> str:  # noqa: FBT001 - the value of a column
    return {True: _("yes"), False: _("no"), None: _("can't be read")}[linked]
