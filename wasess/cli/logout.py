"""`wasess logout USER`: unlink a session at WhatsApp, and keep its credentials aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from wasess.cli.brief import briefly
from wasess.cli.errand import existing, require_consent, told_manager
from wasess.cli.options import HOME, HomeOption, JsonOption, SandboxOption, UserArgument, YesOption
from wasess.cli.reconnect import sentence_of
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import Degraded, NotLinked
from wasess.store.sessions import Home
from wasess.words import _

if TYPE_CHECKING:
    from wasess.supervisor.operations import Operations

ONLINE_WITHIN = 60.0

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def logout(
    *, user: UserArgument, yes: YesOption = False, home: HomeOption = HOME, sandbox: SandboxOption = None, json: JsonOption = False
) -> int:
    """Unlink a session at WhatsApp; the phone no longer lists it.

    The old credentials are kept aside in the session's folder, although WhatsApp takes them no more. To delete everything, use
    `wasess remove USER` afterwards.
    """
    opened = Home(home).open(create=False)
    session = existing(opened, user)
    if not session.linked:
        raise NotLinked(_("{user} is not linked; nothing was changed").format(user=user), hint=f"wasess connect {user}")
    require_consent(_("Unlink {user} at WhatsApp? Only a new code brings it back.").format(user=user), yes=yes)
    answer = told_manager(opened, user, "logout")
    kept = answer["kept"] if answer else briefly(opened, sandbox, (user,), "logout", lambda asked: _unlink(asked, user))
    lines = (_("{user} is logged out").format(user=user), _("the old credentials are in {folder}").format(folder=kept))
    return emit(Result({"user": user, "linked": False, "kept": kept}, lines, hint=f"wasess connect {user}"), as_json=json)


async def _unlink(operations: Operations, user: str) -> str:
    async for outcome in operations.reconnect([user], ONLINE_WITHIN):
        if not outcome.ok:
            hint = _("unlink it on the phone, under Linked devices")
            raise Degraded(_("{outcome} Nothing was changed.").format(outcome=sentence_of(outcome)), hint=hint)
    return await operations.logout(user)
