"""`wasess reconnect [USER…|--all]`: repair by force, and prove it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasess.cli.brief import briefly
from wasess.cli.errand import answering_manager, existing
from wasess.cli.options import (
    HOME,
    AllOption,
    HomeOption,
    JsonOption,
    SandboxOption,
    UsersArgument,
    WaVersionOption,
    in_range,
    require_wa_version,
)
from wasess.cli.render import emit, tell
from wasess.cli.result import Result
from wasess.control.client import Client
from wasess.core import health, reasons
from wasess.core.states import State
from wasess.errors import UsageError
from wasess.store.sessions import Home
from wasess.words import _, again

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from wasess.core.live import Outcome

TIMEOUT = 60.0

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def reconnect(
    *,
    users: UsersArgument = None,
    every: AllOption = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, callback=in_range, metavar="SECONDS", help="Give up on a session after so long.")
    ] = TIMEOUT,
    home: HomeOption = HOME,
    wa_version: WaVersionOption = "",
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Replace the connection of a session, and prove that the new one works.

    Never asks for a code while the credentials are good. The running manager does it, its other sessions are not touched; without one
    the session comes up for a moment, is tested, and goes down again. Says for each session what came of it, and what to type when it
    can't be helped from here. The client version that is asked for counts for these sessions until the manager ends.
    """
    if bool(users) == every:
        raise UsageError(_("name a session, or say --all"), hint="wasess reconnect --all")
    wish = require_wa_version(wa_version)
    opened = Home(home).open(create=False)
    chosen = sorted({existing(opened, user).user for user in users or ()})
    managed = answering_manager(opened)
    if managed:
        outcomes = _told(Client(opened.path).reconnect(chosen, timeout, wish), quiet=json)
    elif not opened.sessions():
        outcomes = []
    else:
        outcomes = briefly(
            opened, sandbox, tuple(chosen), "reconnect", lambda asked: _collected(asked.reconnect(chosen, timeout), quiet=json), wish
        )
    return emit(_result(outcomes, managed=managed is not None), as_json=json)


def _told(outcomes: Iterator[Outcome], *, quiet: bool) -> list[Outcome]:
    """Say what came of each session as soon as it is known."""
    found = []
    for outcome in outcomes:
        found.append(outcome)
        if not quiet:
            tell(sentence_of(outcome))
    return found


async def _collected(outcomes: AsyncIterator[Outcome], *, quiet: bool) -> list[Outcome]:
    found = []
    async for outcome in outcomes:
        found.append(outcome)
        if not quiet:
            tell(sentence_of(outcome))
    return found


def _result(outcomes: list[Outcome], *, managed: bool) -> Result:
    rows = [_row(outcome) for outcome in sorted(outcomes, key=lambda outcome: outcome.user)]
    lines = () if rows else (_("no sessions"),)
    hint = "" if managed else "wasess serve"
    return Result({"managed": managed, "sessions": rows}, lines, hint=hint, exit_code=health.worst(row["exit_code"] for row in rows))


def _row(outcome: Outcome) -> dict[str, Any]:
    reason = reasons.BY_CODE[outcome.code]
    action = _(reason.action).format(user=outcome.user)
    return {**asdict(outcome), "sentence": _(reason.sentence), "action": action, "exit_code": exit_code_of(outcome)}


def exit_code_of(outcome: Outcome) -> int:
    """One that is online and has not answered is degraded."""
    if outcome.ok:
        return health.HEALTHY
    return 3 if outcome.state is State.ONLINE else health.exit_code(outcome.state, outcome.code)


def sentence_of(outcome: Outcome) -> str:
    """What came of a session, in one line."""
    if outcome.ok:
        return _("{user}: online, and WhatsApp has answered ({seconds:.1f} s)").format(user=outcome.user, seconds=outcome.seconds)
    reason = reasons.BY_CODE[outcome.code]
    said = f"{outcome.user}: {_(reason.sentence)}"
    if outcome.detail:
        said += f" ({again(outcome.detail, reasons.DETAILS)})"
    return f"{said}. {_(reason.action).format(user=outcome.user)}".rstrip()
