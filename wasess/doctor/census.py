"""Who is there and how they are: the one view of a home that `list`, `status`, `verify` and `diagnose` share, so that they agree.

While a manager answers, its word counts. Without one the disk tells, and a session that nobody keeps is not online, whatever the
last manager wrote.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.control.client import Client
from wasess.core import health, reasons
from wasess.core.states import State
from wasess.errors import DeviceDamaged, Locked, ManagerNotRunning, StoreError, WasessError
from wasess.words import again

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from wasess.core.live import Live, ManagerInfo
    from wasess.core.reasons import Reason
    from wasess.store.device import Credentials
    from wasess.store.lock import Holder
    from wasess.store.record_shape import SessionRecord
    from wasess.store.sessions import Home, Session

LISTENS_WITHIN = 5.0
ASKS_AGAIN_AFTER = 0.05
PAIRING_PURPOSES = frozenset({"connect", "pairing"})


@dataclass(frozen=True, slots=True)
class ManagerView:
    """Who manages a home. ``holder``: the process with its lock; ``info`` and ``lives``: its word, None and empty when it gives none."""

    holder: Holder | None = None
    info: ManagerInfo | None = None
    lives: Mapping[str, Live] | None = None

    @property
    def silent(self) -> bool:
        """Whether a manager is there and does not answer."""
        return self.holder is not None and self.info is None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session. Times are Unix seconds, None when unknown.

    ``state``, ``code``, ``detail``: as of now (`core.states`, `core.reasons`). ``linked``: None when that can't be read. ``phone``: in
    full; shorten it before it is shown. ``exit_code``: ARCHITECTURE.md's. ``live``: the manager's word; ``record``: the disk's, also when
    there is none because it was not needed. ``problem``: what can't be read.
    """

    user: str
    state: State
    code: str
    exit_code: int
    detail: str = ""
    since: float | None = None
    next_try_at: float | None = None
    linked: bool | None = None
    phone: str = ""
    paused_at: float | None = None
    live: Live | None = None
    record: SessionRecord | None = None
    problem: WasessError | None = None

    @property
    def reason(self) -> Reason:
        """The sentence and the action that belong to ``code``."""
        return reasons.BY_CODE[self.code]


def manager_of(home: Home) -> ManagerView:
    """Find out who manages a home, and hear it. A manager that has just taken the home gets a moment to listen."""
    patience_ends = time.monotonic() + LISTENS_WITHIN  # the holder's own time may lie in the future: clocks are set back
    holder = home.lock_holder()
    while holder is not None:
        try:
            report = Client(home.path).report()
        except ManagerNotRunning:
            if time.time() - holder.since > LISTENS_WITHIN or time.monotonic() > patience_ends:
                return ManagerView(holder)
        else:
            return ManagerView(holder, report.manager, {live.user: live for live in report.sessions})
        time.sleep(ASKS_AGAIN_AFTER)
        holder = home.lock_holder()
    return ManagerView()


def census(home: Home, manager: ManagerView, users: Collection[str] = (), *, quick: bool = False) -> list[SessionView]:
    """Look at these sessions of a home (all, when none is named), sorted by user; one that does not exist is passed over.

    ``quick``: of what the manager keeps, the disk is not asked (``linked``, ``phone`` and ``record`` stay unset).
    """
    sessions = [session for session in home.sessions() if not users or session.user in users]
    views = (_view(session, manager, quick=quick) for session in sessions)
    return [view for view in views if view is not None]


def _view(session: Session, manager: ManagerView, *, quick: bool) -> SessionView | None:
    live = (manager.lives or {}).get(session.user)
    if live is not None and live.kept and quick:
        return _of_live(live)
    disk = _of_disk(session, manager)
    if live is None or disk is None or not (live.kept or disk.code in UNEXPLAINED):
        return disk
    return replace(_of_live(live), linked=disk.linked, phone=disk.phone, paused_at=disk.paused_at, record=disk.record, problem=disk.problem)


def _of_live(live: Live) -> SessionView:
    code = health.exit_code(live.state, live.code)
    return SessionView(live.user, live.state, live.code, code, again(live.detail, reasons.DETAILS), live.since, live.next_try_at, live=live)


def _of_disk(session: Session, manager: ManagerView) -> SessionView | None:
    """What the disk says of a session that the manager does not keep, or may be about to; None for an empty folder without a past."""
    view = SessionView(session.user, State.NEW, reasons.NEVER_STARTED.code, 0, paused_at=session.paused_at())
    unreadable: Exception | None = None
    try:
        view = replace(view, record=session.record.peek())
    except (WasessError, OSError) as error:
        unreadable = error
    try:
        holder = session.lock_holder()
        found = _credentials(session, busy=holder is not None)
    except (WasessError, OSError) as error:
        return _unreadable(view, error)
    if found is not None:
        view = replace(view, linked=found.device is not None, phone=found.device.phone if found.device else "")
        if lost := session.lost_credentials(found, view.record):
            return _settled(view, reasons.DATABASE_DAMAGED, lost)
    if unreadable:
        return _unreadable(view, unreadable)
    if holder and holder.purpose in PAIRING_PURPOSES:
        return _settled(view, reasons.PAIRING, str(holder), holder.since)
    if found is not None and found.device is None:
        return _unlinked(view, unlinked=found.unlinked)
    return _unkept(view, manager, holder)


def _credentials(session: Session, *, busy: bool) -> Credentials | None:
    """What is in device.db; None when its holder is just writing there."""
    try:
        return session.credentials()
    except Locked:
        if busy:
            return None
        raise


def _unlinked(view: SessionView, *, unlinked: bool) -> SessionView | None:
    """There are no credentials: WhatsApp has taken them back, or there never were any."""
    record = view.record
    if record is None and not unlinked:
        return None
    reason = reasons.parting(record.reason_code if record else "", unlinked=unlinked)
    return _settled(view, reason, since=record.since if record and reason.code == record.reason_code else None)


def _unkept(view: SessionView, manager: ManagerView, holder: Holder | None) -> SessionView:
    """It is linked, and no manager says that it keeps it."""
    if view.paused_at is not None:
        return _settled(view, reasons.PAUSED_BY_OPERATOR, since=view.paused_at)
    if manager.silent:
        return _settled(view, reasons.MANAGER_SILENT, str(manager.holder))
    if holder is not None:
        return _settled(view, reasons.SESSION_LOCKED, str(holder), holder.since)
    if manager.info is not None and manager.info.blind:
        return _settled(view, reasons.KEEPER_FAILED, manager.info.blind)
    return _settled(view, reasons.NOT_KEPT if manager.holder else reasons.NO_MANAGER)


UNEXPLAINED = frozenset({reasons.NOT_KEPT.code, reasons.SESSION_LOCKED.code, reasons.KEEPER_FAILED.code})
"""What the disk says of a session that the manager could not take up, and the manager itself knows better."""

STATES = {
    reasons.PAIRING: State.PAIRING,
    reasons.DATABASE_DAMAGED: State.WAITING,
    reasons.UNREADABLE: State.WAITING,
    reasons.SESSION_LOCKED: State.WAITING,
    reasons.PAUSED_BY_OPERATOR: State.STOPPED,
    reasons.MANAGER_SILENT: State.STOPPED,
    reasons.NO_MANAGER: State.STOPPED,
    reasons.NOT_KEPT: State.STOPPED,
    reasons.KEEPER_FAILED: State.WAITING,
}
"""The state of a session that nobody keeps, by its reason; with any other one it is logged out."""


def _settled(view: SessionView, reason: Reason, detail: str = "", since: float | None = None) -> SessionView:
    state = STATES.get(reason, State.LOGGED_OUT)
    return replace(view, state=state, code=reason.code, exit_code=health.exit_code(state, reason.code), detail=detail, since=since)


def _unreadable(view: SessionView, error: Exception) -> SessionView:
    problem = error if isinstance(error, WasessError) else StoreError(f"{view.user}: {error}", hint=f"wasess diagnose {view.user}")
    reason = reasons.DATABASE_DAMAGED if isinstance(error, DeviceDamaged) else reasons.UNREADABLE
    return _settled(replace(view, problem=problem), reason, str(error))
