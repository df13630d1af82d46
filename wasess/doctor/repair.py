"""Repairs what is safe to repair, and says of each thing what came of it. Never touches what is in device.db, never deletes credentials.

Whoever calls it looks again afterwards.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wasess.control.client import Client
from wasess.core.reasons import BY_CODE, DETAILS, WORKER_STUCK
from wasess.doctor.checks.entries import OWN_FILES, Entry, entries, entry
from wasess.doctor.checks.record import good_backup
from wasess.doctor.leftovers import is_free, leftovers, names_elsewhere
from wasess.doctor.processes import glance
from wasess.errors import StoreError, WasessError
from wasess.store.atomic import write_atomic
from wasess.store.guard import FILE_MODE, FOLDER_MODE, OTHERS
from wasess.store.lock import read_holder
from wasess.store.media import MEDIA_NAME
from wasess.store.names import KEPT_NAME, OUTGOING_NAME
from wasess.store.records import RECORD_NAME
from wasess.store.sessions import ALIVE_NAME, HOME_LOCK_NAME, REALM_NAME, SESSION_LOCK_NAME
from wasess.words import _, again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.doctor.census import SessionView
    from wasess.store.sessions import Home, Session

RECONNECTS_WITHIN = 30.0
HOME_FILES = frozenset({HOME_LOCK_NAME, REALM_NAME, ALIVE_NAME})

Kind = Literal["repaired", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Repair:
    """``code``: of the finding it answers. ``session``: empty for the home."""

    outcome: Kind
    code: str
    sentence: str
    session: str = ""


def repair_files(home: Home, user: str = "") -> list[Repair]:
    """Everything that needs no manager, of the home and of one session (all, when ``user`` is empty)."""
    found = entry(home.path)
    if found is None or found.kind != "folder":
        return []
    done = list(_modes(found, HOME_FILES, ""))
    sessions = [session for session in home.sessions() if user in {"", session.user}]
    for session in sessions:
        folder = entry(session.folder)
        if folder is not None:
            done += _modes(folder, OWN_FILES, session.user)
    done += _litter(home.path)
    for session in sessions:
        done += _record(home, session)
    return done


def stuck(views: list[SessionView]) -> list[str]:
    """The sessions whose process stands still although a manager keeps it."""
    return [view.user for view in views if view.live and (_stopped(view.live.pid) or view.code == WORKER_STUCK.code)]


def repair_stuck(home: Home, users: list[str]) -> list[Repair]:
    """Let the manager replace the processes of these sessions."""
    if not users:
        return []
    try:
        outcomes = list(Client(home.path).reconnect(users, RECONNECTS_WITHIN))
    except WasessError as error:
        return [Repair("failed", "WORKER_STOPPED", _("{user}: {problem}").format(user=user, problem=error), user) for user in users]
    done = []
    for outcome in outcomes:
        if outcome.ok:
            sentence = _("{user}: its process was replaced; it is online after {seconds:.1f} s")
            done.append(Repair("repaired", "WORKER_STOPPED", sentence.format(user=outcome.user, seconds=outcome.seconds), outcome.user))
        else:
            why = again(outcome.detail, DETAILS) or _(BY_CODE[outcome.code].sentence)
            sentence = _("{user}: its process was to be replaced: {why}").format(user=outcome.user, why=why)
            done.append(Repair("failed", "WORKER_STOPPED", sentence, outcome.user))
    return done


def _stopped(pid: int) -> bool:
    found = glance(pid) if pid else None
    return found is not None and found.stopped


# --- modes --------------------------------------------------------------------------------------------------------------


def _modes(folder: Entry, own_names: frozenset[str], user: str) -> Iterator[Repair]:
    """Tighten a folder and the files of ours in it, and what was set aside below; a link is never followed."""
    if folder.kind != "folder":
        return
    if folder.mode & OTHERS or folder.mode & FOLDER_MODE != FOLDER_MODE:
        yield _tightened(folder, FOLDER_MODE, "FOLDER_OPEN", user)
    try:
        inside = entries(folder.path)
    except OSError:
        return
    for item in inside:
        named = item.path.name in own_names or item.path.name.startswith(tuple(f".{name}." for name in own_names))
        if item.kind == "folder" and user and item.path.name == KEPT_NAME:
            yield from _kept(item, user)
        elif item.kind == "folder" and user and item.path.name in {MEDIA_NAME, OUTGOING_NAME}:
            yield from _modes(item, frozenset(path.name for path in _listed(item.path)), "")
        elif item.kind == "file" and named and (item.mode & OTHERS or item.mode & FILE_MODE != FILE_MODE):
            yield _tightened(item, FILE_MODE, "FILE_READABLE", user)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _kept(folder: Entry, user: str) -> Iterator[Repair]:
    yield from _modes(folder, OWN_FILES, "")
    try:
        inside = entries(folder.path)
    except OSError:
        return
    for item in inside:
        yield from _modes(item, OWN_FILES, user)


def _tightened(found: Entry, mode: int, code: str, user: str) -> Repair:
    said = {"path": found.path, "before": found.mode, "after": mode}
    if found.status.st_uid != os.geteuid():
        return Repair("skipped", code, _("{path}: it belongs to another user").format(**said), user)
    if found.kind == "file" and found.status.st_nlink > 1:
        return Repair("skipped", code, _("{path}: it has a second name (hard link) elsewhere").format(**said), user)
    try:
        _change_mode(found, mode)
    except OSError as error:
        return Repair("failed", code, _("{path}: {problem}").format(problem=error.strerror, **said), user)
    return Repair("repaired", code, _("{path}: mode {before:o} is {after:o} now").format(**said), user)


def _change_mode(found: Entry, mode: int) -> None:
    """Of the very thing that was looked at, and without opening it: that would drop SQLite's locks when it is closed."""
    handle = os.open(found.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(handle), found.status):
            raise OSError(0, _("it was replaced by something else just now"))
        os.chmod(f"/proc/self/fd/{handle}", mode)  # noqa: PTH101 - a descriptor that was opened with O_PATH has no fchmod
    finally:
        os.close(handle)


# --- what was left behind ------------------------------------------------------------------------------------------------


def _litter(home: Path) -> Iterator[Repair]:
    found = leftovers(home)
    for path in found.abandoned:
        yield _tried("LEFT_BEHIND", _("{path}: temporary file removed").format(path=path), path.unlink)
    for path in (*found.stale_locks, *found.garbled_locks):
        yield _cleared(path)
    if found.stale_socket:
        yield _without_manager(home, found.stale_socket)


def _tried(code: str, sentence: str, work: Callable[[], object]) -> Repair:
    try:
        work()
    except OSError as error:
        return Repair("failed", code, _("{sentence}: {problem}").format(sentence=sentence, problem=error.strerror))
    return Repair("repaired", code, sentence)


def _cleared(path: Path) -> Repair:
    """Empty a lock file that nobody holds: it stays the same file."""
    try:
        with _held(path) as descriptor:
            if descriptor is None:
                return Repair("skipped", "LOCK_STALE", _("{path}: a process has just taken this lock").format(path=path))
            text = os.pread(descriptor, 4096, 0)
            if names_elsewhere(text):
                return Repair("skipped", "LOCK_STALE", _("{path}: it tells of another machine, which is worth knowing").format(path=path))
            os.ftruncate(descriptor, 0)
    except OSError as error:
        return Repair("failed", "LOCK_STALE", _("{path}: {problem}").format(path=path, problem=error.strerror))
    pid = read_holder(text).pid
    done = _("{path}: the name of process {pid}, which is gone, was removed") if pid else _("{path}: text that can't be read was removed")
    return Repair("repaired", "LOCK_STALE", done.format(path=path, pid=pid))


def _without_manager(home: Path, socket: Path) -> Repair:
    """Remove the socket while no manager can begin: a new one puts its own there."""
    done = _("{path}: socket removed, its manager is gone").format(path=socket)
    try:
        with _held(home / HOME_LOCK_NAME) as descriptor:
            if descriptor is None:
                return Repair("skipped", "STALE_SOCKET", _("{path}: a manager has just begun").format(path=socket))
            return _tried("STALE_SOCKET", done, socket.unlink)
    except OSError as error:
        return Repair("failed", "STALE_SOCKET", _("{path}: {problem}").format(path=socket, problem=error.strerror))


@contextmanager
def _held(path: Path) -> Iterator[int | None]:
    """A descriptor of the lock file (made, if need be), with the lock on it; None while somebody else has it. Writes no name into it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


# --- the record ----------------------------------------------------------------------------------------------------------


def _record(home: Home, session: Session) -> Iterator[Repair]:
    """Put the previous version of a damaged record in its place, while neither a manager nor a process of the session writes there."""
    said = {"user": session.user, "name": RECORD_NAME}
    try:
        if good_backup(session.folder) is None:
            return
        with _held(session.folder / SESSION_LOCK_NAME) as descriptor:
            good = good_backup(session.folder)
            if descriptor is None or good is None or not is_free(home.path / HOME_LOCK_NAME):
                sentence = _("{user}: a process keeps it, and writes {name} anew with the next change").format(**said)
                yield Repair("skipped", "RECORD_DAMAGED", sentence, session.user)
                return
            write_atomic(session.folder / RECORD_NAME, good)
    except (StoreError, OSError) as error:
        yield Repair("failed", "RECORD_DAMAGED", _("{user}: {problem}").format(problem=error, **said), session.user)
    else:
        yield Repair(
            "repaired", "RECORD_DAMAGED", _("{user}: the previous version of {name} is back in its place").format(**said), session.user
        )
