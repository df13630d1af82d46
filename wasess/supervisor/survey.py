"""Looks through a home: which sessions are there, and which can be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.errors import Locked, WasessError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Container

    from wasess.core.reasons import Reason
    from wasess.store.device import Device
    from wasess.store.sessions import Home, Session


@dataclass(frozen=True, slots=True)
class Finding:
    """One session folder. ``held``: a process has it. ``problem``: why it can't be read, or what is missing. ``known``: it was linked once.

    ``unlinked``: WhatsApp has unlinked it, and the old credentials are kept. ``paused``: an operator wants it down. ``last_code``: the
    reason in its record.
    """

    session: Session
    device: Device | None = None
    held: bool = False
    problem: str = ""
    known: bool = False
    unlinked: bool = False
    paused: bool = False
    last_code: str = ""

    @property
    def farewell(self) -> Reason:
        """Why it has no device."""
        return reasons.parting(self.last_code, unlinked=self.unlinked)

    @property
    def startable(self) -> bool:
        """Whether a worker could bring it up, sooner or later: one whose database is busy belongs to a predecessor that ends soon."""
        return not self.paused and (self.device is not None or (self.held and not self.problem and self.known))

    @property
    def counts(self) -> bool:
        """Whether a person would call it a session: not the folder of a pairing that never came to an end."""
        return self.device is not None or self.known or bool(self.problem)


def survey(home: Home, *, skip: Container[str] = ()) -> list[Finding]:
    """Look at every session, sorted by user; of those in ``skip`` only the folder. Opens files: not for the event loop."""
    return [_glance_at(session) if session.user in skip else look_at(session) for session in home.sessions()]


def _glance_at(session: Session) -> Finding:
    return Finding(session, paused=session.paused_at() is not None)


def look_at(session: Session) -> Finding:
    """Look at one session. Opens files: not for the event loop."""
    paused = session.paused_at() is not None
    try:
        held = session.lock_holder() is not None
        record = session.record.load()
        known = record is not None and (record.jid is not None or record.paired_at is not None)
        try:
            found = session.credentials()
        except Locked:
            return Finding(session, None, held=True, known=known, paused=paused)
        lost = session.lost_credentials(found, record)
    except (WasessError, OSError) as error:
        return Finding(session, problem=str(error), paused=paused)
    action = _(reasons.DATABASE_DAMAGED.action).format(user=session.user)
    problem = _("its credentials are gone: {lost}. {action}").format(lost=lost, action=action) if lost else ""
    last_code = record.reason_code if record else ""
    return Finding(session, found.device, held, problem, known, found.unlinked, paused, last_code)
