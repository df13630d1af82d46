"""The session's process: is it there, does it run, how large is it, and who else holds the session?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from wasess.core.states import LIVE
from wasess.doctor.findings import Finding, Part, command, ok
from wasess.doctor.processes import glance, holder_facts
from wasess.doctor.times import moment, size
from wasess.store.sessions import SESSION_LOCK_NAME
from wasess.words import _

if TYPE_CHECKING:
    from wasess.doctor.census import SessionView
    from wasess.doctor.processes import Glance
    from wasess.store.lock import Holder
    from wasess.store.sessions import Session

LARGE = 200 * 10**6


def check(session: Session, view: SessionView) -> Part:
    """``process`` in the facts: ``pid``, ``state`` (the letter of proc(5), None when it is gone) and ``memory``; None when there is none."""
    try:
        holder = session.lock_holder()
    except OSError as error:
        sentence = _("the lock file can't be read: {problem}").format(problem=error.strerror)
        fix = command("mv", session.folder / SESSION_LOCK_NAME, session.folder / f"{SESSION_LOCK_NAME}.aside")
        return Part({"holder": None, "process": None}, (Finding("LOCK_UNREADABLE", "error", sentence, fix, view.user),))
    pid = (view.live.pid if view.live else 0) or _local_pid(holder)
    found = glance(pid) if pid else None
    process: dict[str, Any] | None = None
    if pid:
        process = {"pid": pid, "state": found.state if found else None, "memory": found.memory if found else None}
    return Part({"holder": holder_facts(holder), "process": process}, tuple(_judged(session, view, holder, pid, found)))


def _local_pid(holder: Holder | None) -> int:
    return holder.pid if holder and holder.host == os.uname().nodename else 0


def _judged(session: Session, view: SessionView, holder: Holder | None, pid: int, found: Glance | None) -> list[Finding]:
    if holder is not None and not holder.pid:
        sentence = _("a process holds this session, and its lock file does not say which")
        return [Finding("HOLDER_UNKNOWN", "warning", sentence, command("fuser", "-v", session.folder / SESSION_LOCK_NAME), view.user)]
    if not pid:
        return []
    said = {"pid": pid, "since": moment(holder.since) if holder else "?"}
    if found is None:
        sentence = _("its process {pid} is gone").format(**said)
        return [Finding("WORKER_GONE", "warning", sentence, f"wasess reconnect {view.user}", view.user)] if _wanted(view) else []
    if found.stopped:
        sentence = _("its process {pid} is stopped (SIGSTOP); it does nothing until it goes on").format(**said)
        fix = f"wasess reconnect {view.user}" if view.live else f"kill -CONT {pid}"
        return [Finding("WORKER_STOPPED", "error", sentence, fix, view.user)]
    said |= {"memory": size(found.memory)}
    if found.memory > LARGE:
        sentence = _("its process {pid} uses {memory}").format(**said)
        return [Finding("WORKER_LARGE", "warning", sentence, f"wasess reconnect {view.user}", view.user)]
    return [ok("WORKER", _("held by process {pid} since {since} ({memory})").format(**said), view.user)]


def _wanted(view: SessionView) -> bool:
    return view.live is not None and view.state in LIVE
