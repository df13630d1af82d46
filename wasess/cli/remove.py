"""`wasess remove USER`: overwrite and delete a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from wasess.cli.errand import existing, require_consent, told_manager
from wasess.cli.options import HOME, HomeOption, JsonOption, UserArgument, YesOption
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import WasessError
from wasess.store.sessions import Home
from wasess.words import _

if TYPE_CHECKING:
    from wasess.store.sessions import Session

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def remove(*, user: UserArgument, yes: YesOption = False, home: HomeOption = HOME, json: JsonOption = False) -> int:
    """Delete a session for good, with its credentials and messages.

    The files are overwritten first. It is no logout: unless `wasess logout USER` came before, the phone still lists the device.
    """
    opened = Home(home).open(create=False)
    session = existing(opened, user)
    require_consent(_("Delete {user} for good, with its credentials and messages?").format(user=user), yes=yes)
    linked = _linked(session)
    if told_manager(opened, user, "remove") is None:
        session.remove()
    lines = [_("{user} was removed").format(user=user)]
    if linked:
        lines.append(_("The phone still lists the device: remove it there, under Linked devices."))
    return emit(Result({"user": user, "removed": True, "still_linked": linked}, tuple(lines)), as_json=json)


def _linked(session: Session) -> bool | None:
    """Whether WhatsApp may still know the device; None when that can't be read."""
    try:
        return session.linked
    except WasessError:
        return None
