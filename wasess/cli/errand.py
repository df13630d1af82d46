"""What a person wants done to a session: through the running manager, or here when none runs. And whether that person is sure."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from wasess.cli.render import fitted
from wasess.control.client import Client
from wasess.core import reasons
from wasess.doctor.census import manager_of
from wasess.errors import Locked, ManagerNotRunning, NotLinked, UsageError
from wasess.words import _

if TYPE_CHECKING:
    from wasess.doctor.census import ManagerView
    from wasess.store.sessions import Home, Session


BRIEF_PURPOSES = frozenset({"reconnect", "logout"})
OTHER_COMMAND_ENDS_WITHIN = 60.0
LOOKS_EVERY = 0.05


def answering_manager(home: Home) -> ManagerView | None:
    """The manager of a home, None when there is none; one that another command has made for itself is waited for.

    Raises `errors.ManagerNotRunning` for one that holds the home and does not answer, and `errors.Locked` when the other command
    takes more than a minute.
    """
    deadline = time.monotonic() + OTHER_COMMAND_ENDS_WITHIN
    while (holder := home.lock_holder()) and holder.purpose in BRIEF_PURPOSES:
        if time.monotonic() > deadline:
            raise Locked(_("{home} is in use by {holder}; nothing was changed").format(home=home.path, holder=holder), hint=_("try again"))
        time.sleep(LOOKS_EVERY)
    found = manager_of(home)
    if found.silent:
        what = f"{_(reasons.MANAGER_SILENT.sentence)} ({found.holder})"
        raise ManagerNotRunning(what, hint=_("wasess logs, then restart wasess serve"))
    return found if found.info else None


def existing(home: Home, user: str) -> Session:
    """The session of a user. Raises `errors.NotLinked` when there is no folder."""
    session = home.session(user)
    if not session.exists():
        raise NotLinked(_("there is no session {user} in {home}").format(user=user, home=home.path), hint=f"wasess connect {user}")
    return session


def told_manager(home: Home, user: str, verb: str, **arguments: str) -> dict[str, Any] | None:
    """Let the manager do it; return what it says, None when there is no manager. Raises what the manager raises."""
    existing(home, user)
    return Client(home.path).command(user, verb, **arguments) if answering_manager(home) else None


def require_consent(question: str, *, yes: bool) -> None:
    """Go on only when the person says so, with ``--yes`` or at the prompt. Raises `errors.UsageError` otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(_("this asks first, and there is nobody to ask; nothing was changed"), hint=_("say it with --yes"))
    sys.stderr.write("\n".join(fitted(f"{question} [{_('y')}/N]", sys.stderr)) + " ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() not in {_("y"), _("yes"), "y", "yes"}:
        raise UsageError(_("nothing was changed"))
