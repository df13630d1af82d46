"""`wasess resume USER`: let a paused session go on."""

from __future__ import annotations

import typer

from wasess.cli.errand import existing, told_manager
from wasess.cli.options import HOME, HomeOption, JsonOption, UserArgument
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.store.sessions import Home
from wasess.words import _

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def resume(*, user: UserArgument, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """Let a paused session go on."""
    opened = Home(home).open(create=False)
    was_paused = existing(opened, user).paused_at() is not None
    managed = told_manager(opened, user, "resume") is not None
    if not managed:
        existing(opened, user).resume()
    sentence = _("{user} goes on") if was_paused else _("{user} was not paused")
    data = {"user": user, "paused": False, "was_paused": was_paused}
    return emit(Result(data, (sentence.format(user=user),), hint="" if managed else "wasess serve"), as_json=json)
