"""`wasess list`: the sessions of a home, from what is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from wasess.cli.before import shortened
from wasess.cli.options import HOME, HomeOption, JsonOption
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import WasessError
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from wasess.store.sessions import Session

HEADINGS = ("USER", "LINKED", "PHONE", "STATE")

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("list")
def list_sessions(*, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """List the sessions and how they are.

    Reads the disk only. While no manager runs, STATE is what the last one knew.
    """
    return emit(sessions_of(Home(home).open(create=False)), as_json=json)


def sessions_of(home: Home) -> Result:
    """Everything known about the sessions of a home."""
    rows = [_row(session) for session in home.sessions()]
    manager = home.lock_holder()
    data = {"home": str(home.path), "manager": manager.pid if manager else None, "sessions": rows}
    if not rows:
        return Result(data, (f"no sessions in {home.path}",), hint="wasess connect USER")
    table = (HEADINGS, *((row["user"], _word(row["linked"]), row["phone"] or "-", row["state"] or "-") for row in rows))
    return Result(data, table=table, hint="" if manager else "wasess serve")


def _row(session: Session) -> dict[str, Any]:
    """One session; what can't be read is an ``error`` of that row, not of the command."""
    row: dict[str, Any] = {"user": session.user, "linked": None, "phone": None, "state": None, "reason": None, "error": None}
    try:
        device = session.device()
        row |= {"linked": device is not None, "phone": shortened(device.phone) if device else None}
        record = session.record.load()
        row |= {"state": record.state, "reason": record.reason_code} if record else {}
    except WasessError as error:
        row["error"] = {"code": error.code, "message": str(error), "hint": error.hint}
    return row


def _word(linked: bool | None) -> str:  # noqa: FBT001 - the value of a column
    return {True: "yes", False: "no", None: "can't be read"}[linked]
