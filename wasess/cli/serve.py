"""`wasess serve`: the manager, in the foreground."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import nullcontext
from functools import wraps
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasess.assembly import manager, telling, telling_programs
from wasess.cli.bots import WebhookOptions, chosen_bot, secret_files
from wasess.cli.options import HOME, HomeOption, JsonOption, SandboxOption, WaVersionOption, in_range, require_wa_version
from wasess.cli.render import emit
from wasess.cli.result import Result, failure_of
from wasess.errors import UsageError
from wasess.settings import (
    DEFAULT_BRAKE,
    DEFAULT_DIALS_PER_SECOND,
    DEFAULT_DISK_RESERVE,
    DEFAULT_KEEP_MESSAGES,
    DEFAULT_MAX_PARALLEL,
    DEFAULT_MEDIA_LIMIT,
    DEFAULT_MEDIA_QUOTA,
    DEFAULT_WORKER_FILES,
    DEFAULT_WORKER_MEMORY,
    Settings,
)
from wasess.supervisor.heap import keep_heap_whole
from wasess.supervisor.report import JsonReporter, Notice
from wasess.supervisor.stalls import StallMeter
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.assembly import AnyBot
    from wasess.settings import Durability, LogFormat, Presence
    from wasess.supervisor.report import Lines, Reporter

PRESENCES: dict[str, Presence] = {"normal": "normal", "quiet": "quiet"}
DURABILITIES: dict[str, Durability] = {"fast": "fast", "power": "power"}
LOG_FORMATS: dict[str, LogFormat] = {"text": "text", "json": "json"}

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def failing_in_its_format(command: Callable[..., int]) -> Callable[..., int]:
    """With ``--log-format json`` the failure that ends the command is a line of JSON on stderr, too."""

    @wraps(command)
    def run(**options: Any) -> int:
        try:
            return command(**options)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if options["log_format"] != "json" or options["json"] or os.environ.get("WASESS_DEBUG"):
                raise
            failure = failure_of(error)
            notice = Notice(time.time(), "manager_failed", failure.message, code=failure.code, action=failure.hint, level="error")
            JsonReporter(sys.stderr).report(notice)
            return failure.exit_code

    return run


@app.command()
@failing_in_its_format
def serve(
    context: typer.Context,
    *,
    bot: Annotated[
        str,
        typer.Option(envvar="WASESS_BOT", metavar="FILE.py:FUNCTION", help="Answer messages with this function.", show_default=False),
    ] = "",
    webhook: Annotated[
        str, typer.Option(envvar="WASESS_WEBHOOK", metavar="URL", help="Post messages to this address, signed.", show_default=False)
    ] = "",
    webhook_secret_file: Annotated[
        Path | None,
        typer.Option(
            envvar="WASESS_WEBHOOK_SECRET_FILE", metavar="FILE", help="Sign with the secret in this file (whsec_...).", show_default=False
        ),
    ] = None,
    webhook_allow: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WASESS_WEBHOOK_ALLOW", metavar="NETWORK", help="Let the webhook be in this private network.", show_default=False
        ),
    ] = None,
    webhook_files: Annotated[
        Path | None,
        typer.Option(
            envvar="WASESS_WEBHOOK_FILES",
            metavar="DIR",
            help="Let the webhook's answers name files below this folder; without it, none.",
            show_default=False,
        ),
    ] = None,
    webhook_may_write: Annotated[
        bool,
        typer.Option(
            "--webhook-may-write",
            envvar="WASESS_WEBHOOK_MAY_WRITE",
            help="Let the webhook's answers go to other chats than the one it is asked from.",
        ),
    ] = False,
    program: Annotated[
        str,
        typer.Option(envvar="WASESS_PROGRAM", metavar="COMMAND", help="Answer messages with this program.", show_default=False),
    ] = "",
    reload: Annotated[
        bool, typer.Option("--reload", envvar="WASESS_RELOAD", help="Load the bot's function again when its file changes.")
    ] = False,
    bot_deadline: Annotated[
        float | None,
        typer.Option(
            envvar="WASESS_BOT_DEADLINE",
            min=0.1,
            max=86_400,
            callback=in_range,
            metavar="SECONDS",
            help="Wait no longer for an answer: 60 s for a bot or a program, which is started again, 15 s for a webhook.",
            show_default=False,
        ),
    ] = None,
    bot_memory: Annotated[
        int,
        typer.Option(
            envvar="WASESS_BOT_MEMORY", min=0, max=2**20, metavar="MIB", help="Give a bot or program no more memory than this; 0: any."
        ),
    ] = 0,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WASESS_RULE",
            metavar="RULE",
            help="Ask the bot, or not: skip chat=*@g.us, ask kind=text,image. The first that fits decides.",
            show_default=False,
        ),
    ] = None,
    max_age: Annotated[
        float,
        typer.Option(
            envvar="WASESS_MAX_AGE", min=0, max=1e6, callback=in_range, metavar="HOURS", help="Answer no message older than this; 0: any."
        ),
    ] = 0.0,
    durability: Annotated[
        str,
        typer.Option(
            envvar="WASESS_DURABILITY",
            metavar="fast|power",
            help="Lose no message when any process dies (fast), or the power does, too (power: slower).",
        ),
    ] = "fast",
    keep_messages: Annotated[
        float,
        typer.Option(
            envvar="WASESS_KEEP_MESSAGES",
            min=0,
            max=36_500,
            callback=in_range,
            metavar="DAYS",
            help="Keep the texts and files of messages that are done with for so long.",
        ),
    ] = DEFAULT_KEEP_MESSAGES,
    media_limit: Annotated[
        int, typer.Option(envvar="WASESS_MEDIA_LIMIT", min=0, max=64, metavar="MIB", help="Fetch no larger files; 0: none at all.")
    ] = DEFAULT_MEDIA_LIMIT,
    media_quota: Annotated[
        int,
        typer.Option(
            envvar="WASESS_MEDIA_QUOTA",
            min=0,
            max=2**20,
            metavar="MIB",
            help="Keep no more files than this of each session's messages: the oldest go first; 0: any number.",
        ),
    ] = DEFAULT_MEDIA_QUOTA,
    send_rate: Annotated[
        float,
        typer.Option(
            envvar="WASESS_SEND_RATE",
            min=0,
            max=6000,
            callback=in_range,
            metavar="N",
            help="Send at most so many messages a minute for each session; 0: any number.",
        ),
    ] = 0.0,
    brake: Annotated[
        int,
        typer.Option(
            envvar="WASESS_BRAKE",
            min=0,
            max=10_000,
            metavar="N",
            help="Pause a chat in which a machine answers the bot, after about so many answers in a row; 0: never.",
        ),
    ] = DEFAULT_BRAKE,
    read_receipts: Annotated[
        bool, typer.Option("--read-receipts", envvar="WASESS_READ_RECEIPTS", help="Mark a message as read when the bot gets it.")
    ] = False,
    typing: Annotated[bool, typer.Option("--typing", envvar="WASESS_TYPING", help="Show that the bot thinks.")] = False,
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
    wa_version: WaVersionOption = "",
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Keep all linked sessions online and hand messages to a bot.

    Runs until Ctrl+C or SIGTERM, then drains. Sessions that `wasess connect` links meanwhile are taken over at once.
    """
    options = WebhookOptions(webhook, webhook_secret_file, tuple(webhook_allow or ()), webhook_files, webhook_may_write)
    spec = chosen_bot(bot, program, options, home)
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
        durability=_durability(durability),
        max_age=max_age,
        keep_messages=keep_messages,
        media_limit=media_limit,
        media_quota=media_quota,
        send_rate=send_rate,
        brake=brake,
        rules=tuple(rule or ()),
        read_receipts=read_receipts,
        typing=typing,
        bot_deadline=bot_deadline,
        bot_memory=bot_memory,
        reload=reload,
        secret_files=secret_files(context),
        wa_version=require_wa_version(wa_version),
    )
    keep_heap_whole()
    with telling(settings, sys.stderr.fileno() if sys.stderr else None) as log:
        stalls = StallMeter()
        told = telling_programs(sys.stdout.fileno()) if settings.events and sys.stdout else nullcontext()
        with told as programs, asyncio.Runner(loop_factory=stalls.new_loop) as runner:
            code = runner.run(_serve(settings, spec, log, programs, stalls))
    return emit(Result({"stopped": True}, exit_code=code), as_json=json)


def _presence(text: str) -> Presence:
    if text not in PRESENCES:
        raise UsageError(_("{text!r} is no presence").format(text=text), hint=_("--presence normal, or --presence quiet"))
    return PRESENCES[text]


def _log_format(text: str) -> LogFormat:
    if text not in LOG_FORMATS:
        raise UsageError(_("{text!r} is no format of a log").format(text=text), hint=_("--log-format text, or --log-format json"))
    return LOG_FORMATS[text]


def _durability(text: str) -> Durability:
    if text not in DURABILITIES:
        raise UsageError(_("{text!r} is no durability").format(text=text), hint=_("--durability fast, or --durability power"))
    return DURABILITIES[text]


async def _serve(settings: Settings, bot: AnyBot | None, log: Reporter, programs: Lines | None, stalls: StallMeter) -> int:
    return await manager(settings, bot, log, programs, stalls).run()
