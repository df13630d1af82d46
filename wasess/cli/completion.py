"""`wasess completion SHELL`: the script that lets a shell complete commands, options and sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from wasess.cli.completing import SHELLS, script
from wasess.cli.options import JsonOption  # noqa: TC001 - typer reads the annotations when it runs
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import UsageError
from wasess.words import _

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def complete_shell(incomplete: str) -> list[str]:
    """The shells there are, for a shell that completes one."""
    return [shell for shell in SHELLS if shell.startswith(incomplete)]


@app.command()
def completion(
    *,
    shell: Annotated[
        str, typer.Argument(metavar="bash|zsh|fish", help="The shell to be told.", show_default=False, autocompletion=complete_shell)
    ],
    json: JsonOption = False,
) -> int:
    """Print the script that lets a shell complete what is typed: commands, options and the names of sessions.

    For bash, put this line into ~/.bashrc: eval "$(wasess completion bash)"

    For zsh, the same with zsh into ~/.zshrc, after compinit. For fish: wasess completion fish > ~/.config/fish/completions/wasess.fish
    """
    if shell not in SHELLS:
        raise UsageError(_("wasess knows no shell {shell!r}").format(shell=shell), hint="wasess completion bash")
    text = script(shell)
    return emit(Result({"shell": shell, "script": text}, text=(text,)), as_json=json)
