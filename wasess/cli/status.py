"""`wasess status`: how the sessions are now, and with ``--watch``, how they are from moment to moment."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasess.cli.errand import existing
from wasess.cli.layout import NOTHING
from wasess.cli.options import HOME, HomeOption, JsonOption, UsersArgument, in_range
from wasess.cli.render import can_redraw, emit
from wasess.cli.result import Result
from wasess.core import client_version, reasons
from wasess.core.states import State
from wasess.core.warnings import client_warning
from wasess.doctor.census import census, manager_of
from wasess.doctor.times import moment, span
from wasess.store.sessions import Home
from wasess.words import _, mark, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager

    from wasess.doctor.census import ManagerView, SessionView

HEADINGS = (mark("USER"), mark("STATE"), mark("SINCE"), mark("HEARD"), mark("NEXT TRY"), mark("RESTARTS"), mark("REASON"))
SAID_ALREADY = {reasons.ONLINE.code, reasons.STARTING.code, reasons.NO_MANAGER.code}  # by the state, or by the line above the table

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def status(
    *,
    users: UsersArgument = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl+C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3600, callback=in_range, metavar="SECONDS", help="With --watch, look so often.")
    ] = 2.0,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Show how the sessions are now: why, since when, what is next.

    HEARD is when WhatsApp was last heard of. A manager that is healthy asks when a session was quiet for 15 minutes.

    With --watch the table is redrawn in place on a terminal, and the last one stays there; in a pipe, and with --json, it is printed
    again each time.
    """
    opened = Home(home).open(create=False)
    chosen = [existing(opened, user).user for user in users or ()]
    if not watch:
        return emit(_seen(opened, chosen), as_json=json)
    return _watch(opened, chosen, interval, as_json=json)


def _seen(home: Home, users: Collection[str]) -> Result:
    manager = manager_of(home)
    return status_of(manager, census(home, manager, users), time.time())


def status_of(manager: ManagerView, views: list[SessionView], now: float) -> Result:
    """The status at ``now`` (Unix time)."""
    found = asdict(manager.info) if manager.info else None
    data = {"manager": found, "sessions": [_row(view) for view in views]}
    hint = "" if manager.holder else "wasess serve" if views else "wasess connect USER"
    lines = (_manager_line(manager, views, now), *_client_line(manager, now))
    table = (HEADINGS, *(_cells(view, now) for view in views)) if views else ()
    return Result(data, lines, table, hint=hint)


def _row(view: SessionView) -> dict[str, Any]:
    live = view.live
    return {
        "user": view.user,
        "state": view.state,
        "code": view.code,
        "exit_code": view.exit_code,
        "sentence": _(view.reason.sentence),
        "action": _(view.reason.action).format(user=view.user),
        "detail": view.detail,
        "since": view.since,
        "next_try_at": view.next_try_at,
        "paused_at": view.paused_at,
        "proven_at": live.proven_at if live else None,
        "failures": live.failures if live else None,
        "restarts": live.restarts if live else None,
        "pid": live.pid or None if live else None,
        "memory": live.memory or None if live else None,
        "received_at": live.received_at if live else None,
        "sent_at": live.sent_at if live else None,
        "waiting": live.waiting if live else None,
        "problem": live.problem if live else "",
    }


def _manager_line(manager: ManagerView, views: list[SessionView], now: float) -> str:
    if manager.holder is None:
        return _("no manager is running")
    if manager.info is None:
        return _("{holder} holds this home and does not answer").format(holder=manager.holder)
    info = manager.info
    said = plural("{online} of {count} session online", "{online} of {count} sessions online", len(views))
    online = sum(view.state is State.ONLINE for view in views)
    line = _("process {pid}, up {span}: {online}")
    return line.format(pid=info.pid, span=span(now - info.started_at), online=said.format(online=online, count=len(views)))


def _client_line(manager: ManagerView, now: float) -> tuple[str, ...]:
    """That WhatsApp may refuse what sessions announce, when it may."""
    try:
        old = client_warning(client_version.parse(manager.info.client_version if manager.info else ""), now)
    except ValueError:  # it does not say, or what another version of wasess says
        return ()
    return (f"{_(old.sentence)}. {_(old.action)}",) if old else ()


def _cells(view: SessionView, now: float) -> tuple[str, ...]:
    live = view.live
    return (
        view.user,
        view.state,
        span(now - view.since) if view.since else NOTHING,
        span(now - live.proven_at) if live and live.proven_at else NOTHING,
        span(view.next_try_at - now) if view.next_try_at else NOTHING,
        str(live.restarts) if live else NOTHING,
        _why(view),
    )


def _why(view: SessionView) -> str:
    """Of a session that is online, what is wrong with its messages."""
    problem = reasons.BY_CODE.get(view.live.problem) if view.live and view.state is State.ONLINE else None
    if problem is not None:
        return _(problem.sentence)
    return NOTHING if view.code in SAID_ALREADY else _(view.reason.sentence)


def _watch(home: Home, users: Collection[str], interval: float, *, as_json: bool) -> int:
    try:
        with _display(as_json=as_json) as show:
            while True:
                seen = _seen(home, users)
                show(Result(seen.data, (moment(time.time()), seen.lines[0]), seen.table))
                time.sleep(interval)
    except KeyboardInterrupt:  # the way to end it
        return 0


def _display(*, as_json: bool) -> AbstractContextManager[Callable[[Result], object]]:
    """What shows the next table: in place of the last one, or after it."""
    if as_json or not can_redraw(sys.stdout):
        return nullcontext(partial(emit, as_json=as_json))
    from wasess.cli.in_place import in_place  # noqa: PLC0415 - 60 ms that only a watcher needs

    return in_place()
