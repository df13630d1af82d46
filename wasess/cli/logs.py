"""`wasess logs`: what the manager of a home has told, from its file."""

from __future__ import annotations

import sys
import time
from collections import deque
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.cli.durations import METAVAR, seconds
from wasess.cli.options import HOME, HomeOption, complete_user
from wasess.cli.render import in_json, mention
from wasess.core.escaping import one_line
from wasess.store.manager_log import LogReader, log_path
from wasess.store.sessions import Home
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from wasess.store.manager_log import Entry

LAST = 100
LOOKS_EVERY = 0.2

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def logs(
    *,
    user: Annotated[
        str | None,
        typer.Argument(metavar="[USER]", help="Only what is about this session.", show_default=False, autocompletion=complete_user),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is told from now on, until Ctrl+C.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, metavar="N", help="Show the last N lines.", show_default="100; all with --since")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar=METAVAR, help="Show what is not older than this: 90s, 15m, 2h, 1d.", show_default=False)
    ] = "",
    home: HomeOption = HOME,
    json: Annotated[
        bool, typer.Option("--json", envvar="WASESS_JSON", help="Print one JSON object a line to stdout instead of text.")
    ] = False,
) -> int:
    """Show what `wasess serve` has told, also while none runs.

    The log is in the home, in .log/serve.ndjson and older files beside it: 8 MiB at most. Times are those of this machine's time zone.
    """
    opened = Home(home).open(create=False)
    about = "" if user is None else opened.session(user).user
    oldest = time.time() - seconds(since, "--since") if since else 0.0
    if not log_path(opened.path).exists():
        _say_there_is_none(opened.path, waiting=follow)
    try:
        with LogReader(opened.path) as reader:
            last = LAST if lines is None and not since else lines
            told = partial(_wanted, user=about, oldest=oldest, also_without_line=json)
            found = deque(told(reader.entries()), last)
            _show(found, in_json if json else _as_text)
            if about and not found and not follow:
                mention(_("nothing was told about {user}").format(user=about))
            while follow:
                time.sleep(LOOKS_EVERY)
                _show(told(reader.entries()), in_json if json else _as_text)
    except KeyboardInterrupt:  # the way to end --follow
        return 0
    return 0


def _say_there_is_none(home: Path, *, waiting: bool) -> None:
    mention(_("no log yet in {home}").format(home=home))
    mention((_("  waiting for: {hint}") if waiting else _("  next: {hint}")).format(hint="wasess serve"))


def _wanted(entries: Iterable[Entry], user: str, oldest: float, *, also_without_line: bool) -> Iterable[Entry]:
    """Those about one session or (empty) all. What has no line for people is for programs."""
    for entry in entries:
        if (
            (entry.get("line") or also_without_line)
            and (not user or entry.get("session") == user)
            and (not oldest or _moment(entry) >= oldest)
        ):
            yield entry


def _show(entries: Iterable[Entry], shape: Callable[[Entry], str]) -> None:
    sys.stdout.writelines(f"{shape(entry)}\n" for entry in entries)
    sys.stdout.flush()


def _as_text(entry: Entry) -> str:
    at = datetime.fromtimestamp(_moment(entry)).astimezone()
    traceback = entry.get("traceback")
    below = traceback if isinstance(traceback, list) else []
    return "\n  ".join((f"{at:%Y-%m-%d %H:%M:%S}  {one_line(str(entry['line']))}", *(one_line(str(line)) for line in below)))


def _moment(entry: Entry) -> float:
    """Unix time; 0 for a line that somebody has damaged."""
    try:
        return datetime.fromisoformat(str(entry.get("ts"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0
