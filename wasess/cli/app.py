"""The command line: which commands there are, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import wasess
from wasess.cli.completing import COMPLETING, complete, typed
from wasess.cli.defaults import FileDefaults, blaming, language_source, name_variables
from wasess.cli.language import dress, in_paragraphs, require_language, separate, spoken_here
from wasess.cli.render import complain
from wasess.cli.result import failure_of
from wasess.cli.settings_file import SettingsFile, json_by_environment
from wasess.errors import Interrupted, UnsupportedPlatform
from wasess.words import _

# Each command is the module of its name, imported when the command is called: `wasess --help` loads none of them.
COMMANDS = {
    "connect": "Link a session to a phone: QR code, or a code to type.",
    "serve": "Keep all linked sessions online and hand messages to a bot.",
    "send": "Send a message, and say what became of it.",
    "inbox": "Look at the messages that came in; try dead letters again, or drop them.",
    "tail": "Print the messages that came in, and go on with new ones.",
    "list": "List the sessions and how they are.",
    "status": "Show how the sessions are now: why, since when, what is next.",
    "diagnose": "Say what is wrong, and the one command that helps.",
    "verify": "Check that sessions are healthy: silent and 0 when they are.",
    "reconnect": "Replace the connection of a session, and prove that the new one works.",
    "pause": "Take a session offline and keep it so, also after a restart.",
    "resume": "Let a paused session go on.",
    "logout": "Unlink a session at WhatsApp, and keep its credentials aside.",
    "rename": "Give a session another name.",
    "remove": "Delete a session for good.",
    "logs": "Show what the manager has told, also while none runs.",
    "config": "Show every setting, and where its value comes from.",
    "completion": "Print the script that lets a shell complete what is typed.",
    "sandbox": "Run and steer a WhatsApp stand-in on this machine.",
    "drill": "Break everything on purpose, and see whether each session heals.",
    "service": "Print or install systemd units that keep wasess running.",
}


class CommandTable(TyperGroup):
    """The commands of `COMMANDS`, loaded when asked for."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """The names, in the order of help."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Import a command, once; None when there is no such name."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            command = get_command(importlib.import_module(f"wasess.cli.{cmd_name}").app)
            self.commands[cmd_name] = dress(name_variables(command, (cmd_name,)))
        return self.commands.get(cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What may be typed next, without importing a command."""
        from typer._click.shell_completion import CompletionItem  # noqa: PLC0415 - for <TAB> alone; typer has no other name for it

        names = [CompletionItem(name, help=_(text)) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """The list of commands in `wasess --help`, without importing one."""
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, in_paragraphs(text)) for name, text in COMMANDS.items()])


app = typer.Typer(cls=CommandTable, rich_markup_mode=None, add_completion=False)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"wasess {wasess.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")] = False,  # noqa: FBT002, ARG001 - a flag; its callback does the work
    lang: Annotated[  # noqa: ARG001 - it was taken out before typer comes, and is here for the help
        str,
        typer.Option(
            "--lang",
            envvar="WASESS_LANG",
            metavar="en|es",
            help="Speak English or Spanish; works behind a command, too.",
            show_default="the system's language",
        ),
    ] = "",
    config_file: Annotated[  # noqa: ARG001 - it was seen before typer comes, and is here for the help
        str,
        typer.Option(
            "--config",
            envvar="WASESS_CONFIG",
            metavar="FILE",
            help="Take settings from this file; stands before the command.",
            show_default="wasess.toml, if there is one",
        ),
    ] = "",
) -> None:
    """Keep WhatsApp linked-device sessions alive: link once, stay linked.

    Start with: wasess connect USER, then: wasess serve
    """
    require_platform(sys.platform)


def require_platform(platform: str) -> None:
    """Raise `UnsupportedPlatform` where workers can't run."""
    if platform != "linux":
        raise UnsupportedPlatform(
            _("wasess runs on Linux; this is {platform}").format(platform=platform), hint=_("use a Linux machine, WSL 2 or a container")
        )


def run(arguments: list[str]) -> int:
    """Run one command line in the language it asks for; return its exit code. Nothing is raised."""
    arguments = typed(os.environ) or arguments
    file = SettingsFile.find(arguments, os.environ)
    lang, rest = separate(arguments)
    by_file = "" if lang is not None or os.environ.get("WASESS_LANG") else file.language()
    language_from = language_source(lang, file.path if by_file else "", os.environ)
    with spoken_here(by_file or lang):
        return _run(lang, rest, file, language_from)


def _run(lang: str | None, arguments: list[str], file: SettingsFile, language_from: tuple[str, str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        table = dress(get_command(app))
        helping = "--help" in _before_dashes(arguments)
        defaults = FileDefaults(file, COMMANDS, lambda name: table.get_command(None, name), language_from, for_help=helping)
        if os.environ.get(COMPLETING):
            return complete(table, defaults)
        require_language(lang)
        code = table.main(arguments or ["--help"], prog_name="wasess", standalone_mode=False, default_map=defaults)
        if code == Interrupted.exit_code:  # what typer makes of Ctrl+C
            raise KeyboardInterrupt  # noqa: TRY301 - to be said as all else is
    except (BrokenPipeError, SystemExit):  # typer makes a SystemExit of a broken pipe, and of nothing else here
        _drop_output()
        return 0
    except BaseException as error:  # everything becomes a sentence and an exit code here
        if os.environ.get("WASESS_DEBUG"):
            raise
        return complain(blaming(failure_of(error), error), as_json=_wants_json(arguments, file))
    return code if isinstance(code, int) else 0


def _wants_json(arguments: list[str], file: SettingsFile) -> bool:
    """Also for a command line that is wrong: by its flag, else by the environment, else by the file."""
    words = _before_dashes(arguments)
    by_environment = json_by_environment(os.environ)
    if "--json" in words or by_environment is not None:
        return "--json" in words or by_environment is True
    return file.wants_json(next((word for word in words if word in COMMANDS), ""))


def _before_dashes(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--") if "--" in arguments else None]


def _drop_output() -> None:
    """Whoever read our output has gone: say nothing more, not even when the interpreter flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
