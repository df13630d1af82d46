"""Looks through a home: which sessions are there, and which can be kept."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.errors import Locked, WasessError
from wasess.store.device import DEVICE_NAME
from wasess.store.names import JOURNALS
from wasess.store.records import RECORD_NAME
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Container

    from wasess.core.reasons import Reason
    from wasess.store.device import Device
    from wasess.store.sessions import Home, Session

# The pause mark, and a device that comes or goes, change the folder itself.
WATCHED = ("", f"/{DEVICE_NAME}", *(f"/{DEVICE_NAME}{suffix}" for suffix in JOURNALS), f"/{RECORD_NAME}")
FILES_EVERY = 4
UNSETTLED_FOR = 2 * 10**9  # nanoseconds: two changes in one tick of the file system's clock look the same

Stamps = tuple[tuple[int, int, int], ...]


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


class Survey:
    """Looks through a home, again and again. For a thread, one look at a time.

    Two looks a second at hundreds of sessions that wait for a human to pair them took a fifth of a core: of one whose files are as they were,
    only that is looked at: at its folder each time, where a pairing leaves its traces, at the files in it each fourth time. Not so of one that
    a process holds or that has a problem: these end without a trace.
    """

    def __init__(self, home: Home, own: dict[str, str] | None = None) -> None:
        """``own`` is kept up: the addresses of the devices that were seen, number and hidden id, with their users."""
        self._home = home
        self._own = {} if own is None else own
        self._before: dict[str, tuple[Stamps, Finding]] = {}
        self._looks = 0

    def look(self, *, skip: Container[str] = ()) -> list[Finding]:
        """Look at every session, sorted by user; of those in ``skip`` only at the folder."""
        self._looks += 1
        sessions = self._home.sessions()
        gone = self._before.keys() - {session.user for session in sessions}
        for user in gone:
            del self._before[user]
        found = [_glance_at(session) if session.user in skip else self._look_at(session) for session in sessions]
        for finding in found:
            if finding.device is not None:
                self._own |= dict.fromkeys(addresses_of(finding.device), finding.session.user)
        return found

    def _look_at(self, session: Session) -> Finding:
        before = self._before.get(session.user)
        stamps = _stamps(session, WATCHED if before is None or self._looks % FILES_EVERY == 0 else WATCHED[:1])
        if before is not None and before[0][: len(stamps)] == stamps:
            return before[1]
        stamps = _stamps(session, WATCHED)
        finding = look_at(session)
        if finding.held or finding.problem or max(stamps)[0] > time.time_ns() - UNSETTLED_FOR:
            self._before.pop(session.user, None)
        else:
            self._before[session.user] = stamps, finding
        return finding


def addresses_of(device: Device) -> set[str]:
    """Those of the account, without the number of the device."""
    parts = (address.partition("@") for address in (device.jid, device.lid) if address)
    return {f"{name.partition(':')[0]}@{server}" for name, _at, server in parts}


def _stamps(session: Session, names: tuple[str, ...]) -> Stamps:
    """When the folder and its files were changed, by a name, a mode or a byte; which files they are, and how long."""
    folder = str(session.folder)
    return tuple(_stamp(folder + name) for name in names)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - twice a second for each session
    except OSError:
        return 0, 0, 0
    return found.st_ctime_ns, found.st_ino, found.st_size


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
    except Exception as error:  # noqa: BLE001 - no memory, or a bug: it concerns this session only
        return Finding(session, problem=f"{type(error).__name__}: {error}".removesuffix(": "), paused=paused)
    action = _(reasons.DATABASE_DAMAGED.action).format(user=session.user)
    problem = _("its credentials are gone: {lost}. {action}").format(lost=lost, action=action) if lost else ""
    last_code = record.reason_code if record else ""
    return Finding(session, found.device, held, problem, known, found.unlinked, paused, last_code)
