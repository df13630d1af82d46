"""`wasess verify`: what cron types every minute. Silent when all is well; otherwise a line a session and the worst exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.cli.checkup import Checkup, as_data, examined
from wasess.cli.durations import METAVAR, seconds
from wasess.cli.options import HOME, AllOption, HomeOption, JsonOption, UsersArgument
from wasess.cli.render import emit, mention
from wasess.cli.result import Result, failure_of
from wasess.core.verdict import MAX_AGE, Limits
from wasess.errors import StoreError, UsageError, WasessError
from wasess.store.sessions import Home
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Collection

    from wasess.cli.switch import Switch

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def verify(
    *,
    users: UsersArgument = None,
    every: AllOption = False,
    max_age: Annotated[
        str,
        typer.Option(envvar="WASESS_MAX_AGE", metavar=METAVAR, help="Call a session degraded that WhatsApp was not heard of for so long."),
    ] = "35m",
    grace: Annotated[
        str, typer.Option(envvar="WASESS_GRACE", metavar=METAVAR, help="Let a session that is just starting take so long to come online.")
    ] = "60s",
    nagios: Annotated[bool, typer.Option("--nagios", help="Print one line for a monitoring system, and end with its exit codes.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing at all; only the exit code speaks.")] = False,
    ping: Annotated[
        str,
        typer.Option(
            envvar="WASESS_PING",
            metavar="URL",
            help="Tell a dead man's switch: GET the address when all is well, and the address with /fail when not.",
            show_default=False,
        ),
    ] = "",
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Check that sessions are healthy: silent and 0 when they are.

    Otherwise prints one line for each session that is not, with the command to type, and ends with the worst exit code. Without a USER
    all sessions are checked; a home without any is healthy, one that is not there is not. Asks the running manager, and never WhatsApp:
    it can't disturb a session.

    A session is healthy when it is online and WhatsApp was heard of within --max-age, or when it is just starting: right after it was
    paired, or after the manager started and until it is online, for as long as --grace. The running manager asks WhatsApp itself when a
    session is quiet.

    With --nagios the exit code is 0 (OK), 1 (WARNING: degraded, heals by itself), 2 (CRITICAL) or 3 (UNKNOWN: can't look). A ping that
    is not taken is told on stderr, and does not change the exit code: the switch will raise the alarm.
    """
    if quiet and nagios:
        raise UsageError(_("--quiet and --nagios exclude each other"), hint="wasess verify --help")
    try:
        limits = Limits(seconds(max_age, "--max-age"), seconds(grace, "--grace"))
        switch = _switch(ping)
        checkup = _checkup(Home(home), users or (), limits, every=every)
    except UsageError as error:
        if nagios:  # to a monitoring system, its 2 would be the worst there is
            return _said_to_nagios(Checkup(problem=error), MAX_AGE)
        raise
    if switch:
        _tell(switch, healthy=not checkup.exit_code, quiet=quiet)
    if nagios:
        return _said_to_nagios(checkup, limits.max_age)
    if quiet:
        return checkup.exit_code
    return _said(checkup, as_json=json)


def _checkup(home: Home, users: Collection[str], limits: Limits, *, every: bool) -> Checkup:
    """What is found; what keeps us from looking is a finding, too. Raises `UsageError` for a name that can't be one, or is too much."""
    if users and every:
        raise UsageError(_("name sessions, or say --all, not both"), hint="wasess verify --all")
    named = {home.session(user).user for user in users}
    try:
        return examined(home, named, limits)
    except (WasessError, OSError) as error:
        failure = failure_of(error)
        return Checkup(problem=StoreError(failure.message, hint=failure.hint or "wasess diagnose"))


def _said(checkup: Checkup, *, as_json: bool) -> int:
    if checkup.problem:
        raise checkup.problem
    if as_json:
        return emit(_result(checkup), as_json=True)
    for finding in checkup.unhealthy:
        mention(finding.line)
    return checkup.exit_code


def _result(checkup: Checkup) -> Result:
    worst = max(checkup.findings, key=lambda finding: finding.exit_code, default=None)
    data = {
        "exit_code": checkup.exit_code,
        "healthy": not checkup.exit_code,
        "worst": worst.user if worst and worst.exit_code else None,
        "manager": checkup.manager.pid if checkup.manager else None,
        "sessions": [as_data(finding) for finding in checkup.findings],
    }
    return Result(data, exit_code=checkup.exit_code)


def _said_to_nagios(checkup: Checkup, max_age: float) -> int:
    from wasess.cli.nagios import plugin_line, plugin_status  # noqa: PLC0415 - only for those who want it

    sys.stdout.write(plugin_line(checkup, max_age) + "\n")
    return plugin_status(checkup)


def _switch(url: str) -> Switch | None:
    if not url:
        return None
    from wasess.cli.switch import Switch  # noqa: PLC0415 - only for those who want it

    return Switch(url)


def _tell(switch: Switch, *, healthy: bool, quiet: bool) -> None:
    try:
        switch.tell(healthy=healthy)
    except WasessError as error:
        if not quiet:
            mention(str(error))
