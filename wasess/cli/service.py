"""`wasess service`: the files that keep wasess running, printed or installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from wasess.cli import units
from wasess.cli.bots import secret_files, webhook_paths
from wasess.cli.options import JsonOption  # noqa: TC001 - typer reads it at run time
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import StoreError, UsageError
from wasess.settings import DEFAULT_HOME
from wasess.store.atomic import write_atomic
from wasess.words import _, spoken

KINDS = ("manager", "verify", "timer", "cron")
READABLE, PRIVATE = 0o644, 0o600

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def service(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="manager|verify|timer|cron", help="Print this one: a systemd unit, or lines for a crontab.")
    ] = "manager",
    *,
    install: Annotated[
        bool, typer.Option("--install", help="Write the three units instead: for the system as root, for yourself with --user.")
    ] = False,
    user: Annotated[bool, typer.Option("--user", help="Make units for your own systemd (systemctl --user).")] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Install into this folder.",
            show_default=f"{units.SYSTEM_FOLDER}, or ~/.config/systemd/user",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
    run_as: Annotated[str, typer.Option(metavar="ACCOUNT", help="Run as this account of the machine.", show_default=units.ACCOUNT)] = "",
    home: Annotated[
        Path | None,
        typer.Option(
            envvar="WASESS_HOME",
            metavar="DIR",
            help="Keep the sessions in this folder.",
            show_default=f"{units.SYSTEM_HOME}, or {DEFAULT_HOME} with --user and cron",
        ),
    ] = None,
    bot: Annotated[
        str,
        typer.Option(envvar="WASESS_BOT", metavar="FILE.py:FUNCTION", help="Answer messages with this function.", show_default=False),
    ] = "",
    memory: Annotated[
        int,
        typer.Option(min=0, metavar="MIB", help="Let all processes together need so much memory.", show_default="no limit"),
    ] = 0,
    ping: Annotated[
        str,
        typer.Option(
            envvar="WASESS_PING",
            metavar="URL",
            help="Install a file that lets each check ping this address, readable by root alone (or by you).",
            show_default=False,
        ),
    ] = "",
    json: JsonOption = False,
) -> int:
    """Print or install systemd units that keep wasess running.

    Without a word, the unit of the manager: restarted when it ends or hangs, and kept from all that it does without. "verify" and
    "timer" look each minute whether all sessions are well; "cron" is for machines without systemd. The language is that of --lang.
    """
    if what not in KINDS:
        raise UsageError(_("there is no {what!r} to print").format(what=what), hint="wasess service manager|verify|timer|cron")
    if user and run_as:
        raise UsageError(_("with --user, wasess runs as yourself"), hint=_("leave out --run-as, or --user"))
    folder = (directory or _unit_folder(own=user)).absolute()
    own_home = DEFAULT_HOME if user or what == "cron" else Path(units.SYSTEM_HOME)
    plan = units.Plan(
        _command(),
        str((home or own_home).absolute()),
        _bot(bot),
        "" if user else units.require_account(run_as or units.ACCOUNT),
        spoken(),
        memory,
        (sys.executable, os.path.realpath(sys.executable), __file__, *_read_by_serve(context)),
        str(folder),
        _named_settings(context),
    )
    if install:
        if what != "manager":
            raise UsageError(_("--install writes all units at once"), hint="wasess service --install")
        return emit(_installed(plan, folder, ping, force=force, elsewhere=directory is not None), as_json=json)
    text = _printed(plan, what)
    return emit(Result({"what": what, "text": text}, text=tuple(text.splitlines())), as_json=json)


def _printed(plan: units.Plan, what: str) -> str:
    if what == "cron":
        return units.crontab(plan)
    name = {"manager": units.MANAGER, "verify": units.VERIFY, "timer": units.TIMER}[what]
    return units.files(plan)[name]


def _installed(plan: units.Plan, folder: Path, ping: str, *, force: bool, elsewhere: bool) -> Result:
    """Write all files, or none of them when one is in the way."""
    if plan.run_as and not elsewhere and os.geteuid() != 0:
        raise UsageError(_("only root can install units for the system"), hint=f"sudo {units.shell(plan.command)} service --install")
    wanted = {folder / name: (text, READABLE) for name, text in units.files(plan).items()}
    if ping:
        wanted[folder / units.PING] = (units.ping_file(ping), PRIVATE)
    try:
        written = [path for path, (text, _mode) in wanted.items() if _differs(path, text, force=force)]
        folder.mkdir(0o755, parents=True, exist_ok=True)
        for path in written:
            text, mode = wanted[path]
            write_atomic(path, text.encode())
            path.chmod(mode)
    except OSError as error:
        sentence = _("{path} can't be written: {error}").format(path=error.filename or folder, error=error.strerror)
        raise StoreError(sentence, hint="wasess service --install --directory DIR") from error
    lines = [(_("{path} written") if path in written else _("{path} was as it should be")).format(path=path) for path in wanted]
    data = {"files": [str(path) for path in wanted], "written": [str(path) for path in written], "next": _next(plan)}
    return Result(data, tuple(lines), hint=" && ".join(_next(plan)))


def _differs(path: Path, text: str, *, force: bool) -> bool:
    """Whether it has to be written. A link, a masked unit for one, is never as it should be."""
    if not os.path.lexists(path):
        return True
    if path.is_file() and not path.is_symlink() and path.read_bytes() == text.encode():
        return False
    if force:
        return True
    raise UsageError(_("{path} is there and differs; nothing was changed").format(path=path), hint="wasess service --install --force")


def _next(plan: units.Plan) -> list[str]:
    """The commands to type after an installation."""
    systemctl = "systemctl" if plan.run_as else "systemctl --user"
    steps = [f"{systemctl} daemon-reload", f"{systemctl} enable --now {units.MANAGER} {units.TIMER}"]
    if not plan.run_as:
        return [*steps, "loginctl enable-linger"]
    return [*_account_to_make(plan), *_home_to_make(plan), *steps]


def _account_to_make(plan: units.Plan) -> list[str]:
    import pwd  # noqa: PLC0415 - needed by --install alone

    try:
        pwd.getpwnam(plan.run_as)
    except KeyError:
        return [f"useradd --system --shell /usr/sbin/nologin --home-dir {Path(units.SYSTEM_HOME).parent} {plan.run_as}"]
    return []


def _home_to_make(plan: units.Plan) -> list[str]:
    """What is to be writable has to be there before. systemd makes a home below /var/lib itself."""
    if units.state_folders(plan.home) or Path(plan.home).exists():
        return []
    return [units.shell(("install", "--directory", "--mode=700", f"--owner={plan.run_as}", plan.home))]


def _named_settings(context: typer.Context) -> str:
    """The file of settings that ``--config`` or its variable names; one that was merely found is found by the service, too."""
    file = getattr(context.find_root().default_map, "file", None)
    return file.path if file and file.named_by else ""


def _read_by_serve(context: typer.Context) -> list[str]:
    """The files and folders that the settings name: the units must not hide them."""
    return [str(path) for path in (*secret_files(context), *webhook_paths(context, "webhook-files"))]


def _unit_folder(*, own: bool) -> Path:
    if not own:
        return Path(units.SYSTEM_FOLDER)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _bot(text: str) -> str:
    """``FILE.py:FUNCTION`` with the whole path. It is not loaded here: this may be another account."""
    if not text:
        return ""
    file, separator, function = text.rpartition(":")
    if not separator or not function.isidentifier() or not Path(file).is_file():
        raise UsageError(_("there is no bot {bot!r}").format(bot=text), hint="--bot FILE.py:FUNCTION")
    return f"{Path(file).absolute()}:{function}"


def _command() -> tuple[str, ...]:
    """The words that run this very wasess from anywhere: its script, else the module in this Python."""
    for script in (Path(sys.argv[0]), Path(sys.executable).with_name("wasess")):
        if script.name == "wasess" and script.is_file():
            return (str(script.absolute()),)
    return (sys.executable, "-P", "-m", "wasess")
