"""Options that several commands share: one spelling, one help text, one environment variable each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wasess.settings import DEFAULT_HOME

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="WASESS_HOME", metavar="DIR", help="Keep the sessions in this folder."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document to stdout instead of text."),
]
SandboxOption = Annotated[
    Path | None,
    typer.Option("--sandbox", envvar="WASESS_SANDBOX", metavar="FILE", help="Talk to the WhatsApp stand-in of this contract file."),
]
UserArgument = Annotated[
    str,
    typer.Argument(metavar="USER", help="The session's name: a-z, 0-9, - and _, at most 64 characters.", show_default=False),
]
UsersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="USER...", help="The sessions' names.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All sessions of the home.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

HOME = DEFAULT_HOME
