"""Everything that is decided about one session: ``step(snapshot, event, now, dice) -> (snapshot, commands)``.

::

    NEW ──start──▶ CONNECTING ──Connected──▶ ONLINE ───Disconnected──▶ RECOVERING
                    ▲   │  │                  ▲ │ ▲                      │    │
                    │   │  │                  │ │ └────── Connected ─────┘    │
                    │   │  └─ no login in 45 s│ │ a ping was lost, no line,   │
              retry │   │     worker gone     │ │ woken, long quiet           │
                    │   │                     │ ▼                             │
                    │   │        probe answered· probe failed                 │ not back in 45 s,
                    │   ▼                        ▼                            ▼ the library gave up
                    └── WAITING ◀────────────────┴────────────────────────────┘

    from any of them:   LoggedOut, no device   ▶ LOGGED_OUT   until a human pairs again
                        TemporaryBan           ▶ PAUSED       until it is over, then one try
                        StreamReplaced         ▶ PAUSED       a minute, three times; then until a human
                        ClientOutdated         ▶ OUTDATED     an hour, for ever
                        ConnectFailure, 429    ▶ WAITING      minutes, for ever
                        disk, database         ▶ WAITING      until there is room, until the file is good again
                        StopRequested          ▶ STOPPED      (LOGGED_OUT stays: the fact outlives the manager)

Rules that hold everywhere: a worker is started only when none lives, and in its turn; a state without a worker has a timer, unless
only a human can help; a network fault never ends the tries; silence alone never ends a connection: it is a question, and the
answer decides. The library redials first (it is back in 10 ms after a reset), wasess replaces the worker when that has not
helped. The 515 after a pairing is the library's own affair: a second `Connected` changes nothing.
docs/machine.md shows every state with every event; it is generated from this file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core import backoff, events, reasons, warnings
from wasess.core.commands import AmendOutage, Probe, Report, SetTimer, StartWorker
from wasess.core.moves import DISK_RETRY, afresh, connect, end, kill, move, pulse, renew, resume, slowly, soon, sooner, try_later
from wasess.core.snapshot import Snapshot, Timer, Worker
from wasess.core.states import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wasess.core.commands import Command
    from wasess.core.events import Event
    from wasess.core.moves import Step
    from wasess.core.reasons import Reason

CONNECT_DEADLINE = 45.0  # a proxy that never answers the HTTP upgrade hangs the library for ever
RECOVERY_GRACE = 45.0  # the library has dialled at 0, 2, 6, 12, 20, 30 and 42 s by then...
GRACE_SPREAD = 5.0  # ...and a hundred sessions do not lose their patience in one moment
PROBE_DEADLINE = 5.0  # after a ping that was lost (30 to 40 s into a black hole): back within 50 s
PATIENT_DEADLINE = 10.0  # where nothing is late yet: a slow session answers within 8 s
HEARD_AGAIN_AFTER = 1.0
QUIET_AFTER = 900.0  # nothing was heard for so long: worth a question, no more
STEADY_AFTER = 60.0  # online for so long, the failures before it are forgotten
FLAPPING = 5  # connections lost without a steady minute between them: dialling on at once makes it worse
PULSE_EVERY = 86400.0
PULSE_SPARES = 3600.0  # a reconnect is no reason to be seen again so soon
NUDGE_SPREAD = 1.0  # the network is back: everybody, but not at once
NUDGE_PATIENCE = 5.0  # the library may be about to succeed by itself
WAKING_DEADLINE = 5.0
REPLACED_RETRY = 60.0
REPLACED_TRIES = 3
OUTDATED_RETRY = 3600.0
BAN_UNKNOWN = 3600.0  # the server did not say how long
DATABASE_RETRY = 15.0  # nothing is dialled for it: the file is looked at
LOCKED_RETRY = 0.25  # a predecessor that was killed lets go within moments...
LOCKED_PATIENT_RETRY = 1.0  # ...a `connect` in minutes
LOCKED_QUICK_TRIES = 8
RATE_LIMITED_STATUS = 429


def step(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    """What follows from ``event`` at the moment ``now``; ``dice`` is uniform in [0, 1). An event that changes nothing gives no commands."""
    if isinstance(event, events.MessageArrived):  # often thousands a minute: not each is a new snapshot
        return (replace(snapshot, heard_at=now) if now - snapshot.heard_at >= HEARD_AGAIN_AFTER else snapshot), []
    decide = _DECISIONS.get(type(event))
    return decide(snapshot, event, now, dice) if decide else (snapshot, [])


# --- people and turns -------------------------------------------------------------------------------------------


def _start_requested(snapshot: Snapshot, event: events.StartRequested, now: float, _dice: float) -> Step:
    if snapshot.worker in {Worker.RUNNING, Worker.QUEUED}:
        return snapshot, []
    forgiven = replace(snapshot, failures=0, losses=0, replaced=0, locked=0, paired_at=event.paired_at)
    if event.banned_until > now:
        return end(forgiven, State.PAUSED, reasons.BANNED, now, resume_at=event.banned_until)
    if snapshot.worker is Worker.ENDING:
        return move(forgiven, State.WAITING, reasons.STARTING, now, resume_at=now)
    return connect(forgiven, reasons.STARTING, now)


def _stop_requested(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.state is State.LOGGED_OUT:
        return snapshot, []
    return end(snapshot, State.STOPPED, reasons.STOPPED, now, resume_at=None)


def _turn_came(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.worker is not Worker.QUEUED:
        return snapshot, []
    started = replace(snapshot, worker=Worker.RUNNING, timer=Timer.CONNECT, attempts=snapshot.attempts + 1, dialled_at=now)
    return started, [StartWorker(), SetTimer(Timer.CONNECT, CONNECT_DEADLINE)]


# --- what the connection does -----------------------------------------------------------------------------------


def _connected(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.worker is not Worker.RUNNING:
        return snapshot, []
    heard = replace(snapshot, heard_at=now, suspected=None)
    if snapshot.state is State.ONLINE:
        return heard, []
    online, commands = move(replace(heard, locked=0), State.ONLINE, reasons.ONLINE, now, timer=(Timer.STEADY, STEADY_AFTER))
    return pulse(online, now, PULSE_SPARES, commands)


def _disconnected(snapshot: Snapshot, _event: Event, now: float, dice: float) -> Step:
    if snapshot.state is not State.ONLINE:
        return snapshot, []
    lost = replace(snapshot, losses=snapshot.losses + 1)
    if lost.losses >= FLAPPING:
        return afresh(lost, reasons.FLAPPING, now, dice, at_once=False)
    return move(lost, State.RECOVERING, reasons.CONNECTION_LOST, now, timer=(Timer.GRACE, RECOVERY_GRACE + dice * GRACE_SPREAD))


def _stream_error(snapshot: Snapshot, event: events.StreamError, now: float, _dice: float) -> Step:
    """Nearly always the server closes after it. When it does not, some streams are dead and some are not; the library waits either way."""
    return _suspect(snapshot, reasons.STREAM_ERROR, now, now, detail=f"code {event.stream_code}" if event.stream_code else "no code")


def _ping_lost(snapshot: Snapshot, event: events.KeepAliveTimeout, now: float, _dice: float) -> Step:
    """The library's own clock tells the time of the last answer; it is believed within reason."""
    return _suspect(snapshot, reasons.PING_LOST, now, max(event.last_success, now - QUIET_AFTER))


def _line_lost(snapshot: Snapshot, event: events.LineLost, now: float, _dice: float) -> Step:
    return _suspect(snapshot, reasons.LINE_LOST, now, now, detail=event.detail)


def _answered(snapshot: Snapshot, event: Event, now: float, _dice: float) -> Step:
    """Also for pings that are answered again: then the probe does not matter any more."""
    heard = replace(snapshot, suspected=None, heard_at=now)
    if snapshot.suspected is None or not snapshot.aloud or not isinstance(event, events.ProbeAnswered):
        return heard, []
    return heard, [Report(snapshot.state, reasons.ANSWERED, "info")]


def _unanswered(snapshot: Snapshot, event: events.ProbeFailed, now: float, dice: float) -> Step:
    if snapshot.suspected is None or snapshot.state is not State.ONLINE:
        return snapshot, []
    return afresh(snapshot, reasons.ZOMBIE, now, dice, detail=event.detail)


def _gave_up(snapshot: Snapshot, event: events.LibraryGaveUp, now: float, dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return afresh(snapshot, reasons.GAVE_UP, now, dice, detail=event.detail)


def _dial_refused(snapshot: Snapshot, event: events.DialRefused, now: float, dice: float) -> Step:
    """The library would dial on, all sessions in step; wasess spreads them, and leaves a server alone that says "too many"."""
    if snapshot.state not in {State.CONNECTING, State.RECOVERING} or snapshot.worker is not Worker.RUNNING:
        return snapshot, []
    detail = f"HTTP {event.status}"
    if event.status == RATE_LIMITED_STATUS:
        return slowly(snapshot, reasons.RATE_LIMITED, now, dice, detail)
    return afresh(snapshot, reasons.NETWORK_DOWN, now, dice, at_once=False, detail=detail)


# --- what the server says ---------------------------------------------------------------------------------------


def _logged_out(snapshot: Snapshot, event: events.LoggedOut, now: float, _dice: float) -> Step:
    if snapshot.state is State.LOGGED_OUT:
        return snapshot, []
    if event.here:
        return end(snapshot, State.LOGGED_OUT, reasons.UNLINKED_HERE, now, resume_at=None)
    reason = reasons.of_logout(event.reason, young=now - snapshot.paired_at < warnings.PROBATION)
    return end(snapshot, State.LOGGED_OUT, reason, now, resume_at=None, detail=f"reason {event.reason}" if event.reason else "")


def _banned(snapshot: Snapshot, event: events.TemporaryBan, now: float, _dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    until = now + (event.expires_in if event.expires_in > 0 else BAN_UNKNOWN)
    return end(snapshot, State.PAUSED, reasons.BANNED, now, resume_at=until, detail=f"code {event.ban_code}")


def _replaced(snapshot: Snapshot, event: events.StreamReplaced, now: float, _dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    holder = f"held by {event.holder}" if event.holder else "held by an unknown client"
    if snapshot.replaced >= REPLACED_TRIES:
        return end(snapshot, State.PAUSED, reasons.REPLACED_FOR_GOOD, now, resume_at=None, detail=holder)
    counted = replace(snapshot, replaced=snapshot.replaced + 1)
    return end(counted, State.PAUSED, reasons.REPLACED, now, resume_at=now + REPLACED_RETRY, detail=holder)


def _outdated(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return end(snapshot, State.OUTDATED, reasons.OUTDATED, now, resume_at=now + OUTDATED_RETRY)


def _refused(snapshot: Snapshot, event: events.ConnectFailure, now: float, dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return slowly(snapshot, reasons.REFUSED, now, dice, f"{event.reason} {event.detail}".strip())


def _offline_preview(snapshot: Snapshot, event: events.OfflineSyncPreview, now: float, _dice: float) -> Step:
    return replace(snapshot, heard_at=now), [AmendOutage(event.messages)] if event.messages else []


# --- what the worker and the machine below it do -----------------------------------------------------------------


def _worker_ended(snapshot: Snapshot, event: events.WorkerEnded, now: float, dice: float) -> Step:
    if snapshot.worker not in {Worker.RUNNING, Worker.ENDING}:
        return snapshot, []
    gone = replace(snapshot, worker=Worker.ABSENT)
    if snapshot.worker is Worker.ENDING:
        return resume(gone, now)
    return _ENDS.get(event.cause, _lost)(gone, event, now, dice)


def _lost(gone: Snapshot, event: events.WorkerEnded, now: float, dice: float) -> Step:
    """A word that ends the library's pump is a refusal when it answers a login; to a session that is online it is an accident."""
    if gone.state is not State.ONLINE and event.cause == "library-returned" and reasons.is_unknown_word(event.detail):
        return slowly(gone, reasons.REFUSED_UNKNOWN, now, dice, event.detail)
    return try_later(gone, reasons.WORKER_LOST, now, soon(gone, dice), f"{event.cause}: {event.detail}".removesuffix(": "))


def _dial_failed(gone: Snapshot, event: events.WorkerEnded, now: float, dice: float) -> Step:
    reason = reasons.of_dial(event.detail)
    if reason is reasons.RATE_LIMITED:
        return slowly(gone, reason, now, dice, event.detail)
    return try_later(gone, reason, now, backoff.delay(gone.failures, dice), event.detail)


def _locked(gone: Snapshot, event: events.WorkerEnded, now: float, _dice: float) -> Step:
    """Not a failure of the session's: the count of failures stays."""
    wait = LOCKED_RETRY if gone.locked < LOCKED_QUICK_TRIES else LOCKED_PATIENT_RETRY
    counted = replace(gone, locked=gone.locked + 1)
    return move(counted, State.WAITING, reasons.SESSION_LOCKED, now, timer=(Timer.RETRY, wait), resume_at=now + wait, detail=event.detail)


_ENDS: dict[str, Callable[[Snapshot, events.WorkerEnded, float, float], Step]] = {
    "no-device": lambda gone, _event, now, _dice: move(gone, State.LOGGED_OUT, reasons.NEEDS_PAIRING, now),
    "locked": _locked,
    "dial-failed": _dial_failed,
    "files-replaced": lambda gone, event, now, dice: try_later(gone, reasons.FILES_REPLACED, now, soon(gone, dice), event.detail),
    "database": lambda gone, event, now, _dice: try_later(gone, reasons.DATABASE_DAMAGED, now, DATABASE_RETRY, event.detail),
    "disk-full": lambda gone, event, now, _dice: try_later(gone, reasons.DISK_FULL, now, DISK_RETRY, event.detail),
}


def _stuck(snapshot: Snapshot, event: events.WorkerStuck, now: float, dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return kill(snapshot, reasons.WORKER_STUCK, now, dice, event.detail)


def _too_large(snapshot: Snapshot, event: events.WorkerTooLarge, now: float, dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return afresh(snapshot, reasons.WORKER_TOO_LARGE, now, dice, detail=f"{event.used // 2**20} MiB of {event.limit // 2**20}")


def _changed(snapshot: Snapshot, event: events.DatabaseLost | events.FilesReplaced, now: float, dice: float) -> Step:
    """The file may have been put there on purpose. If it is no good, the next worker says so."""
    if _deaf(snapshot):
        return snapshot, []
    reason = reasons.DATABASE_LOST if isinstance(event, events.DatabaseLost) else reasons.FILES_REPLACED
    return afresh(snapshot, reason, now, dice, detail=event.detail)


def _disk_full(snapshot: Snapshot, event: events.DiskFull, now: float, _dice: float) -> Step:
    full = replace(snapshot, disk_full=True)
    if snapshot.state not in LIVE:
        return full, []
    return end(full, State.WAITING, reasons.DISK_FULL, now, resume_at=now + DISK_RETRY, detail=event.detail)


def _disk_free(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    free = replace(snapshot, disk_full=False)
    if snapshot.reason is reasons.DISK_FULL and snapshot.worker is Worker.ABSENT and snapshot.state is State.WAITING:
        return connect(free, reasons.DISK_FULL, now)
    return free, []


def _network_back(snapshot: Snapshot, _event: Event, now: float, dice: float) -> Step:
    if snapshot.state is State.RECOVERING and now - snapshot.since >= NUDGE_PATIENCE and snapshot.resume_at is None:
        at = now + dice * NUDGE_SPREAD
        return replace(snapshot, resume_at=at), [SetTimer(Timer.GRACE, at - now)]
    if snapshot.timer == Timer.CONNECT:  # it may hang on a way that is gone; one that does not is about to succeed
        wait = max(0.0, snapshot.dialled_at + PATIENT_DEADLINE - now) + dice * NUDGE_SPREAD
        if now + wait < snapshot.dialled_at + CONNECT_DEADLINE:
            return replace(snapshot, failures=0), [SetTimer(Timer.CONNECT, wait)]
    if snapshot.state is State.WAITING and snapshot.reason in reasons.NETWORK:
        return sooner(snapshot, now, now + dice * NUDGE_SPREAD)
    return snapshot, []


def _woke(snapshot: Snapshot, event: events.Woke, now: float, dice: float) -> Step:
    """Alarms stood still meanwhile, and connections may have died without a word."""
    if snapshot.state is State.ONLINE:
        return _suspect(snapshot, reasons.WOKE, now, now - event.slept)
    if snapshot.state is State.RECOVERING:
        return afresh(snapshot, reasons.NOT_BACK, now, dice)
    if snapshot.timer == Timer.CONNECT:
        return snapshot, [SetTimer(Timer.CONNECT, WAKING_DEADLINE)]
    if snapshot.timer != Timer.RETRY or snapshot.resume_at is None:
        return snapshot, []
    soon = snapshot.reason in reasons.NETWORK or snapshot.resume_at <= now
    at = now + dice * NUDGE_SPREAD if soon else snapshot.resume_at
    return replace(snapshot, resume_at=at), [SetTimer(Timer.RETRY, at - now)]


def _timer_fired(snapshot: Snapshot, event: events.TimerFired, now: float, dice: float) -> Step:
    if event.name != snapshot.timer:
        return snapshot, []
    spent = replace(snapshot, timer=None)
    match event.name:
        case Timer.STEADY:
            return replace(spent, failures=0, losses=0, replaced=0, timer=Timer.QUIET), [SetTimer(Timer.QUIET, QUIET_AFTER)]
        case Timer.QUIET:
            return _listen(snapshot, now)
        case Timer.RETRY:
            return connect(spent, snapshot.reason, now)
        case Timer.CONNECT:
            return afresh(spent, reasons.NO_ANSWER, now, dice, at_once=False)
    return afresh(spent, reasons.NOT_BACK, now, dice, at_once=False)


# --- questions ----------------------------------------------------------------------------------------------------


def _deaf(snapshot: Snapshot) -> bool:
    """A session on its way down, or taken down, is not moved by the server's late words (a logout is: see `_logged_out`)."""
    return snapshot.state not in LIVE or snapshot.worker is not Worker.RUNNING


def _suspect(snapshot: Snapshot, reason: Reason, now: float, silent_since: float, detail: str = "") -> Step:
    """Ask WhatsApp; until it has answered, or has not, nothing changes. A patient question that is out is put again, impatiently."""
    deadline = PROBE_DEADLINE if reason in {reasons.PING_LOST, reasons.WOKE} else PATIENT_DEADLINE
    if snapshot.state is not State.ONLINE or (snapshot.suspected is not None and snapshot.answer_by <= now + deadline):
        return snapshot, []
    silent_since = min(now, max(silent_since, snapshot.since))  # before that it was another outage
    asked = replace(snapshot, suspected=silent_since, answer_by=now + deadline, aloud=True)
    return asked, [Probe(deadline), Report(snapshot.state, reason, "info", detail=detail)]


def _listen(snapshot: Snapshot, now: float) -> Step:
    """A long silence is a question. A session that nobody writes to answers it and stays untouched."""
    commands: list[Command] = [SetTimer(Timer.QUIET, QUIET_AFTER)]
    if now - snapshot.heard_at >= QUIET_AFTER and snapshot.suspected is None:
        snapshot = replace(snapshot, suspected=snapshot.heard_at, answer_by=now + PATIENT_DEADLINE, aloud=False)
        commands.append(Probe(PATIENT_DEADLINE))
    return pulse(snapshot, now, PULSE_EVERY, commands)


_DECISIONS: dict[type[Event], Callable[[Snapshot, Any, float, float], Step]] = {
    events.StartRequested: _start_requested,
    events.ReconnectRequested: lambda snapshot, _event, now, _dice: renew(snapshot, now),
    events.StopRequested: _stop_requested,
    events.TurnCame: _turn_came,
    events.Connected: _connected,
    events.Disconnected: _disconnected,
    events.StreamError: _stream_error,
    events.KeepAliveTimeout: _ping_lost,
    events.KeepAliveRestored: _answered,
    events.LineLost: _line_lost,
    events.ProbeAnswered: _answered,
    events.ProbeFailed: _unanswered,
    events.LibraryGaveUp: _gave_up,
    events.DialRefused: _dial_refused,
    events.LoggedOut: _logged_out,
    events.TemporaryBan: _banned,
    events.StreamReplaced: _replaced,
    events.ClientOutdated: _outdated,
    events.ConnectFailure: _refused,
    events.OfflineSyncPreview: _offline_preview,
    events.WorkerEnded: _worker_ended,
    events.WorkerStuck: _stuck,
    events.WorkerTooLarge: _too_large,
    events.DatabaseLost: _changed,
    events.FilesReplaced: _changed,
    events.DiskFull: _disk_full,
    events.DiskFree: _disk_free,
    events.NetworkBack: _network_back,
    events.Woke: _woke,
    events.TimerFired: _timer_fired,
}
