"""`wasess serve`: the manager, in the foreground."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.assembly import log_file, manager
from wasess.cli.options import HOME, HomeOption, JsonOption, SandboxOption, in_range
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.delivery.function import validate_bot
from wasess.errors import UsageError
from wasess.settings import (
    DEFAULT_DIALS_PER_SECOND,
    DEFAULT_DISK_RESERVE,
    DEFAULT_MAX_PARALLEL,
    DEFAULT_WORKER_FILES,
    DEFAULT_WORKER_MEMORY,
    Settings,
)
from wasess.supervisor.heap import keep_heap_whole
from wasess.words import _

if TYPE_CHECKING:
    from wasess.delivery.function import BotSpec
    from wasess.settings import LogFormat, Presence
    from wasess.supervisor.report import Reporter

PRESENCES: dict[str, Presence] = {"normal": "normal", "quiet": "quiet"}
LOG_FORMATS: dict[str, LogFormat] = {"text": "text", "json": "json"}

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
        int, typer.Option(envvar="WASESS_MAX_PARALLEL", min=1, metavar="N", help="Let so many sessions dial at a time.")
    ] = DEFAULT_MAX_PARALLEL,
    dials_per_second: Annotated[
        float,
        typer.Option(
            envvar="WASESS_DIALS_PER_SECOND",
            min=0.1,
            max=1000,
            callback=in_range,
            metavar="N",
            help="Start at most so many logins a second.",
        ),
    ] = DEFAULT_DIALS_PER_SECOND,
    worker_memory: Annotated[
        int,
        typer.Option(
            envvar="WASESS_WORKER_MEMORY", min=32, max=2**20, metavar="MIB", help="Replace a session's process that needs more memory."
        ),
    ] = DEFAULT_WORKER_MEMORY,
    worker_files: Annotated[
        int,
        typer.Option(envvar="WASESS_WORKER_FILES", min=64, max=2**20, metavar="N", help="Let a session's process have so many files open."),
    ] = DEFAULT_WORKER_FILES,
    disk_reserve: Annotated[
        int,
        typer.Option(envvar="WASESS_DISK_RESERVE", min=0, metavar="MIB", help="Take no messages while less disk space than this is free."),
    ] = DEFAULT_DISK_RESERVE,
    presence: Annotated[
        str,
        typer.Option(
            envvar="WASESS_PRESENCE",
            metavar="normal|quiet",
            help="Let WhatsApp see the device in use for a moment at a login and once a day, or never.",
        ),
    ] = "normal",
    log_format: Annotated[
        str, typer.Option(envvar="WASESS_LOG_FORMAT", metavar="text|json", help="Tell what happens in lines of text, or of JSON.")
    ] = "text",
    home: HomeOption = HOME,
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Keep all linked sessions online and hand messages to a bot.

    Runs until Ctrl+C or SIGTERM, then drains. Sessions that `wasess connect` links meanwhile are taken over at once.
    """
    spec = validate_bot(bot) if bot else None
    settings = Settings(
        home,
        sandbox,
        events=events,
        only=tuple(only or ()),
        max_parallel=max_parallel,
        dials_per_second=dials_per_second,
        worker_memory=worker_memory,
        worker_files=worker_files,
        disk_reserve=disk_reserve,
        presence=_presence(presence),
        log_format=_log_format(log_format),
    )
    keep_heap_whole()
    with log_file(settings, sys.stderr) as log:
        code = asyncio.run(_serve(settings, spec, log))
    return emit(Result({"stopped": True}, exit_code=code), as_json=json)


def _presence(text: str) -> Presence:
    if text not in PRESENCES:
        raise UsageError(_("{text!r} is no presence").format(text=text), hint=_("--presence normal, or --presence quiet"))
    return PRESENCES[text]


def _log_format(text: str) -> LogFormat:
    if text not in LOG_FORMATS:
        raise UsageError(_("{text!r} is no format of a log").format(text=text), hint=_("--log-format text, or --log-format json"))
    return LOG_FORMATS[text]


async def _serve(settings: Settings, bot: BotSpec | None, log: Reporter) -> int:
    return await manager(settings, bot, sys.stderr, sys.stdout, log).run()
