"""`wasess pause USER`: take a session down, and keep it down."""

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
def pause(*, user: UserArgument, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """Take a session offline and keep it so, also after a restart.

    WhatsApp keeps its messages meanwhile. `wasess resume USER` lets it go on.
    """
    opened = Home(home).open(create=False)
    if told_manager(opened, user, "pause") is None:
        existing(opened, user).pause()
    sentence = _("{user} is paused").format(user=user)
    return emit(Result({"user": user, "paused": True}, (sentence,), hint=f"wasess resume {user}"), as_json=json)
