"""`wasess serve`: the manager, in the foreground."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.assembly import manager
from wasess.cli.options import HOME, HomeOption, JsonOption, SandboxOption
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.delivery.function import validate_bot
from wasess.settings import DEFAULT_MAX_PARALLEL, Settings

if TYPE_CHECKING:
    from wasess.delivery.function import BotSpec

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    *,
    bot: Annotated[
        str,
        typer.Option(envvar="WASESS_BOT", metavar="FILE.py:FUNCTION", help="Answer messages with this function.", show_default=False),
    ] = "",
    events: Annotated[
        bool, typer.Option("--events", envvar="WASESS_EVENTS", help="Print every change as a line of JSON to stdout.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(envvar="WASESS_ONLY", metavar="USER", help="Keep only this session; may be given several times.", show_default=False),
    ] = None,
    max_parallel: Annotated[
        int, typer.Option(envvar="WASESS_MAX_PARALLEL", min=1, metavar="N", help="Bring up so many sessions at a time.")
    ] = DEFAULT_MAX_PARALLEL,
    home: HomeOption = HOME,
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Keep all linked sessions online and hand messages to a bot.

    Runs until Ctrl+C or SIGTERM, then drains. Sessions that `wasess connect` links meanwhile are taken over at once.
    """
    spec = validate_bot(bot) if bot else None
    settings = Settings(home, sandbox, events=events, only=tuple(only or ()), max_parallel=max_parallel)
    code = asyncio.run(_serve(settings, spec))
    return emit(Result({"stopped": True}, exit_code=code), as_json=json)


async def _serve(settings: Settings, bot: BotSpec | None) -> int:
    return await manager(settings, bot, sys.stderr, sys.stdout).run()
