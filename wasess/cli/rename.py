"""`wasess rename USER NAME`: give a session another name."""

from __future__ import annotations

from typing import Annotated

import typer

from wasess.cli.errand import existing, told_manager
from wasess.cli.options import HOME, HomeOption, JsonOption, UserArgument
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.store.sessions import Home, parse_user_id
from wasess.words import _

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def rename(
    *,
    user: UserArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name, of the same kind.", show_default=False)],
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Give a session another name. It stays linked."""
    opened = Home(home).open(create=False)
    parse_user_id(name)
    if told_manager(opened, user, "rename", name=name) is None:
        existing(opened, user).rename(name)
    sentence = _("{user} is called {name} from now on").format(user=user, name=name)
    return emit(Result({"user": name, "before": user}, (sentence,)), as_json=json)
