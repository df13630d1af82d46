"""Options that several commands share: one spelling, one help text, one environment variable each."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer

from wasess.core import client_version
from wasess.errors import UsageError
from wasess.settings import DEFAULT_HOME
from wasess.words import _


def complete_user(ctx: typer.Context, incomplete: str) -> list[str]:
    """The sessions of the home that is meant so far, for a shell that completes a name."""
    from wasess.store.sessions import Home  # noqa: PLC0415 - for <TAB> alone

    home = Home(Path(ctx.params.get("home") or DEFAULT_HOME)).open(create=False)
    return [session.user for session in home.sessions() if session.user.startswith(incomplete)]


def in_range(context: typer.Context, option: typer.CallbackParam, value: float | None) -> float | None:
    """The ``callback`` of each option that takes a float between ``min`` and ``max``: nan is neither too small nor too large for typer."""
    if value is not None and isnan(value):
        limits: Any = option.type
        sentence = f"{value} is not in the range {limits.min}<=x<={limits.max}."  # typer's own words
        raise typer.BadParameter(sentence, ctx=context, param=option)
    return value


def require_wa_version(text: str) -> str:
    """The value of ``--wa-version``. Raises `errors.UsageError` for what may not be announced."""
    if client_version.is_wish(text):
        return text
    least, most = client_version.BUILT_IN, client_version.BUILT_IN + client_version.HEADROOM
    sentence = _("{text!r} can't be announced: a client version is 2.3000.N, and N at least {least} (built in) and below {most}")
    raise UsageError(sentence.format(text=text, least=least, most=most), hint="--wa-version auto")


HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="WASESS_HOME", metavar="DIR", help="Keep the sessions in this folder."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", envvar="WASESS_JSON", help="Print one JSON document to stdout instead of text."),
]
SandboxOption = Annotated[
    Path | None,
    typer.Option("--sandbox", envvar="WASESS_SANDBOX", metavar="FILE", help="Talk to the WhatsApp stand-in of this contract file."),
]
WaVersionOption = Annotated[
    str,
    typer.Option(
        "--wa-version",
        envvar="WASESS_WA_VERSION",
        metavar="auto|X",
        help="Announce a newer client version than the one built in: 2.3000.N, or the one that WhatsApp's start page names (auto).",
        show_default=False,
    ),
]
UserArgument = Annotated[
    str,
    typer.Argument(
        metavar="USER",
        help="The session's name: a-z, 0-9, - and _, at most 64 characters.",
        show_default=False,
        autocompletion=complete_user,
    ),
]
UsersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="USER...", help="The sessions' names.", show_default=False, autocompletion=complete_user),
]
AllOption = Annotated[bool, typer.Option("--all", help="All sessions of the home.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

HOME = DEFAULT_HOME
