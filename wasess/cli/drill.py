"""`wasess drill`: break everything on purpose, on a throw-away sandbox, and show what became of it."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasess.cli.options import JsonOption  # noqa: TC001 - typer reads the annotations when it runs
from wasess.cli.render import colourful, emit
from wasess.cli.result import Result
from wasess.core.escaping import harmless
from wasess.delivery.function import validate_bot
from wasess.errors import Interrupted, UsageError
from wasess.words import _

if TYPE_CHECKING:
    from wasess.drill.row import Row, Verdict
    from wasess.drill.stage import UsersBot

HEADINGS = ("row", "source", "fault", "expected")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def drill(
    *,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="Choose the same instants and values as an earlier run.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Run only this row; may be given several times.", show_default=False)
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the rows and run none.")] = False,
    bot: Annotated[
        str, typer.Option(metavar="FILE.py:FUNCTION", help="Let this function answer the messages of the drill.", show_default=False)
    ] = "",
    json: JsonOption = False,
) -> int:
    """Break everything on purpose and see whether every session comes back.

    Runs on a throw-away sandbox: your own sessions are not touched. Takes about two minutes on two cores.
    """
    table = _table()
    rows: tuple[Row, ...] = table.chosen(tuple(only or ()))
    if show:
        return emit(_listed(rows), as_json=json)
    own = validate_bot(bot) if bot else None
    number = secrets.randbelow(10**6) if seed is None else seed
    stage: Any = importlib.import_module("wasess.drill.stage")
    users_bot = stage.UsersBot(str(own.file), own.function) if own else stage.UsersBot()
    _tell(_("seed {seed}").format(seed=number))
    try:
        verdicts = asyncio.run(_run(rows, number, users_bot))
    except asyncio.CancelledError:
        raise Interrupted(_("interrupted; nothing was left behind")) from None
    return emit(_result(number, verdicts), as_json=json)


def _table() -> Any:
    try:
        return importlib.import_module("wasess.drill.table")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("wasess"):
            raise
        raise UsageError(_("the drill needs the package {name}").format(name=error.name), hint="pip install 'wasess[sandbox]'") from error


async def _run(rows: tuple[Row, ...], seed: int, bot: UsersBot) -> list[Verdict]:
    running: Any = importlib.import_module("wasess.drill.run")
    _end_on_signals()
    async with running.Drill(rows, seed, bot, _tell) as prepared:
        verdicts: list[Verdict] = await prepared.run()
    return verdicts


def _end_on_signals() -> None:
    """The first one ends the drill; nothing interrupts the cleaning up after that."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        for number in ENDING:
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end)


def _listed(rows: tuple[Row, ...]) -> Result:
    data = {"rows": [{"row": row.name, "source": row.source, "fault": row.fault, "expected": row.expected} for row in rows]}
    return Result(data, table=(HEADINGS, *((row.name, row.source, _(row.fault), _(row.expected)) for row in rows)))


def _result(seed: int, verdicts: list[Verdict]) -> Result:
    failed = [verdict.row.name for verdict in verdicts if not verdict.ok]
    table: Any = importlib.import_module("wasess.drill.row")
    data = {"seed": seed, "rows": [verdict.as_json() for verdict in verdicts]}
    again = " ".join(f"--only {name}" for name in failed)
    return Result(
        data,
        (_("seed {seed}: {good} of {all} rows ok").format(seed=seed, good=len(verdicts) - len(failed), all=len(verdicts)),),
        (table.HEADINGS, *(verdict.as_cells() for verdict in verdicts)),
        hint=f"wasess drill --seed {seed} {again}" if failed else "",
        exit_code=1 if failed else 0,
    )


def _tell(line: str) -> None:
    """Progress, on stderr."""
    line = harmless(line)
    if colourful(sys.stderr):
        line = line.replace("ok    ", "\x1b[32mok\x1b[0m    ", 1) if line.startswith("ok ") else line
        line = line.replace("FAILED", "\x1b[31mFAILED\x1b[0m", 1) if line.startswith("FAILED") else line
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
