"""What a shell is told when somebody presses <TAB>: typer's own protocol, which the script of `wasess completion` speaks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "wasess"
COMPLETING = "_WASESS_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def typed(environ: Mapping[str, str]) -> list[str]:
    """The words after ``wasess`` when somebody presses <TAB>, the one being typed too; none when nobody does."""
    if not environ.get(COMPLETING):
        return []
    line = environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS", "")
    return (line.split("\n") if "\n" in line else line.split())[1:]


def complete(command: Any, default_map: Any) -> int:
    """Answer one <TAB>, and return the exit code. Of what goes wrong nothing is said: somebody is typing."""
    from typer._completion_classes import completion_init  # noqa: PLC0415 - for <TAB> alone
    from typer.completion import shell_complete  # noqa: PLC0415 - as above

    if os.environ[COMPLETING].partition("_")[2] not in SHELLS:
        return 1
    completion_init()
    try:
        return shell_complete(command, {"default_map": default_map}, PROGRAM, COMPLETING, os.environ[COMPLETING])
    except SystemExit as end:  # how the fish script is told yes or no
        return end.code if isinstance(end.code, int) else 0
    except Exception:  # noqa: BLE001 - as the docstring says
        return 1


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - for this alone

    return get_completion_script(prog_name=PROGRAM, complete_var=COMPLETING, shell=shell)
