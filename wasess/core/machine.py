"""Everything that is decided about one session: ``step(snapshot, event, now, dice) -> (snapshot, commands)``.

::

    NEW ──start──▶ CONNECTING ──Connected──▶ ONLINE ──Disconnected──▶ RECOVERING
                    ▲   │  │                  ▲  │                      │    │
                    │   │  │                  └──│─────── Connected ────┘    │
              retry │   │  └── no login in 45 s ─┤                           │
                    │   │      worker gone       └── 2 pings lost ──┐  not back in 45 s
                    │   │                                           │        │
                    └── WAITING ◀───────────────────────────────────┴────────┘

    from any of them:   LoggedOut, no device  ▶ LOGGED_OUT   until a human pairs again
                        TemporaryBan          ▶ PAUSED       until it is over
                        StreamReplaced        ▶ PAUSED       a minute, three times; then until a human
                        ClientOutdated        ▶ OUTDATED     an hour, for ever
                        ConnectFailure        ▶ WAITING      minutes, for ever
                        StopRequested         ▶ STOPPED      (LOGGED_OUT stays: the fact outlives the manager)

Rules that hold everywhere: a worker is started only when none lives; a state without a worker has a timer, unless only a human
can help; a network fault never ends the tries. The library redials first (it is back in 10 ms after a reset), wasess replaces the
worker when that has not helped. The 515 after a pairing is the library's own affair: a second `Connected` changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from wasess.core import backoff, events, reasons
from wasess.core.commands import ClearTimer, Deliver, KillWorker, Record, Report, SetTimer, StartWorker, StopWorker
from wasess.core.states import LIVE, RESTING, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.commands import Command
    from wasess.core.events import Event
    from wasess.core.reasons import Reason

CONNECT_DEADLINE = 45.0  # a proxy that never answers the HTTP upgrade hangs the library for ever
RECOVERY_GRACE = 45.0  # the library has dialled at 0, 2, 6, 12, 20, 30 and 42 s by then
STEADY_AFTER = 60.0  # online for so long, the failures before it are forgotten
ZOMBIE_PINGS = 2  # the second lost ping: about 70 s, where the library takes 200 s
REPLACED_RETRY = 60.0
REPLACED_TRIES = 3
OUTDATED_RETRY = 3600.0
BAN_UNKNOWN = 3600.0  # the server did not say how long
LOCKED_RETRY = 0.25  # a predecessor that was killed lets go within moments...
LOCKED_PATIENT_RETRY = 1.0  # ...a `connect` in minutes
LOCKED_QUICK_TRIES = 8


class Worker(Enum):
    """What is known of the session's process."""

    ABSENT = "absent"  # none lives
    RUNNING = "running"  # asked for, or alive
    ENDING = "ending"  # told to end; its WorkerEnded is still to come


class Timer:
    """The names in `SetTimer` and `TimerFired`."""

    CONNECT = "connect"
    GRACE = "grace"
    STEADY = "steady"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All the machine remembers of one session. ``since`` and ``resume_at`` are Unix time, as ``now`` is.

    ``resume_at`` is the time of the next try, None when there will be none without a human. ``failures`` counts tries in a row that
    did not lead to a steady session.
    """

    state: State = State.NEW
    reason: Reason = reasons.NEVER_STARTED
    since: float = 0.0
    worker: Worker = Worker.ABSENT
    timer: str | None = None
    resume_at: float | None = None
    failures: int = 0
    replaced: int = 0
    locked: int = 0
    restarts: int = 0

    @property
    def resting(self) -> bool:
        """Only a human (or the manager's start) moves it on."""
        return self.state in RESTING or self.reason is reasons.REPLACED_FOR_GOOD


Step = tuple[Snapshot, list["Command"]]


def step(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    """What follows from ``event`` at Unix time ``now``; ``dice`` is uniform in [0, 1). An event that changes nothing gives no commands."""
    if isinstance(event, events.MessageReceived):
        return snapshot, [Deliver(event.message)]
    decide = _DECISIONS.get(type(event))
    return decide(snapshot, event, now, dice) if decide else (snapshot, [])


# --- people -----------------------------------------------------------------------------------------------------


def _start_requested(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.worker is Worker.RUNNING:
        return snapshot, []
    forgiven = replace(snapshot, failures=0, replaced=0, locked=0)
    if snapshot.worker is Worker.ENDING:
        return _move(forgiven, State.WAITING, reasons.STARTING, now, resume_at=now)
    return _connect(forgiven, reasons.STARTING, now)


def _stop_requested(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.state is State.LOGGED_OUT:
        return snapshot, []
    return _end(snapshot, State.STOPPED, reasons.STOPPED, now, resume_at=None)


# --- what the server says ---------------------------------------------------------------------------------------


def _connected(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if snapshot.worker is not Worker.RUNNING or snapshot.state is State.ONLINE:
        return snapshot, []
    return _move(replace(snapshot, locked=0), State.ONLINE, reasons.ONLINE, now, timer=(Timer.STEADY, STEADY_AFTER))


def _disconnected(snapshot: Snapshot, event: Event, now: float, _dice: float) -> Step:
    """Also for a stream error: without a close by the server the library would sit on a dead stream."""
    if snapshot.state is not State.ONLINE:
        return snapshot, []
    detail = f"stream error {event.stream_code}".rstrip() if isinstance(event, events.StreamError) else ""
    return _move(snapshot, State.RECOVERING, reasons.CONNECTION_LOST, now, timer=(Timer.GRACE, RECOVERY_GRACE), detail=detail)


def _ping_lost(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    if not isinstance(event, events.KeepAliveTimeout) or event.count < ZOMBIE_PINGS or snapshot.state is not State.ONLINE:
        return snapshot, []
    return _replace_worker(snapshot, reasons.ZOMBIE, now, dice, first_at_once=True)


def _logged_out(snapshot: Snapshot, event: Event, now: float, _dice: float) -> Step:
    if snapshot.state is State.LOGGED_OUT:
        return snapshot, []
    detail = f"reason {event.reason}" if isinstance(event, events.LoggedOut) and event.reason else ""
    return _end(snapshot, State.LOGGED_OUT, reasons.LOGGED_OUT, now, resume_at=None, detail=detail)


def _banned(snapshot: Snapshot, event: Event, now: float, _dice: float) -> Step:
    if not isinstance(event, events.TemporaryBan) or _deaf(snapshot):
        return snapshot, []
    until = now + (event.expires_in if event.expires_in > 0 else BAN_UNKNOWN)
    return _end(snapshot, State.PAUSED, reasons.BANNED, now, resume_at=until, detail=f"code {event.ban_code}")


def _replaced(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    if snapshot.replaced >= REPLACED_TRIES:
        return _end(snapshot, State.PAUSED, reasons.REPLACED_FOR_GOOD, now, resume_at=None)
    counted = replace(snapshot, replaced=snapshot.replaced + 1)
    return _end(counted, State.PAUSED, reasons.REPLACED, now, resume_at=now + REPLACED_RETRY)


def _outdated(snapshot: Snapshot, _event: Event, now: float, _dice: float) -> Step:
    if _deaf(snapshot):
        return snapshot, []
    return _end(snapshot, State.OUTDATED, reasons.OUTDATED, now, resume_at=now + OUTDATED_RETRY)


def _refused(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    if not isinstance(event, events.ConnectFailure) or _deaf(snapshot):
        return snapshot, []
    resume_at = now + backoff.slow_delay(snapshot.failures, dice)
    failed = replace(snapshot, failures=snapshot.failures + 1)
    return _end(failed, State.WAITING, reasons.REFUSED, now, resume_at=resume_at, detail=f"{event.reason} {event.detail}".strip())


# --- what the worker does ---------------------------------------------------------------------------------------


def _worker_ended(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    if not isinstance(event, events.WorkerEnded) or snapshot.worker is Worker.ABSENT:
        return snapshot, []
    gone = replace(snapshot, worker=Worker.ABSENT)
    if snapshot.worker is Worker.ENDING:
        return _resume(gone, now)
    if event.cause == "no-device":
        return _move(gone, State.LOGGED_OUT, reasons.NEEDS_PAIRING, now)
    if event.cause == "locked":
        return _locked(gone, now, event.detail)
    if event.cause == "dial-failed":
        return _try_later(gone, reasons.NETWORK_DOWN, now, backoff.delay(gone.failures, dice), event.detail)
    wait = backoff.delay(gone.failures, dice) if gone.failures else 0.0
    return _try_later(gone, reasons.WORKER_LOST, now, wait, f"{event.cause}: {event.detail}".removesuffix(": "))


def _locked(gone: Snapshot, now: float, detail: str) -> Step:
    """Not a failure of the session's: the count of failures stays."""
    wait = LOCKED_RETRY if gone.locked < LOCKED_QUICK_TRIES else LOCKED_PATIENT_RETRY
    counted = replace(gone, locked=gone.locked + 1)
    return _move(counted, State.WAITING, reasons.SESSION_LOCKED, now, timer=(Timer.RETRY, wait), resume_at=now + wait, detail=detail)


def _timer_fired(snapshot: Snapshot, event: Event, now: float, dice: float) -> Step:
    if not isinstance(event, events.TimerFired) or event.name != snapshot.timer:
        return snapshot, []
    spent = replace(snapshot, timer=None)
    if event.name == Timer.STEADY:
        return replace(spent, failures=0, replaced=0), []
    if event.name == Timer.RETRY:
        return _connect(spent, snapshot.reason, now)
    reason = reasons.NO_ANSWER if event.name == Timer.CONNECT else reasons.NOT_BACK
    return _replace_worker(spent, reason, now, dice)


# --- moves ------------------------------------------------------------------------------------------------------


def _deaf(snapshot: Snapshot) -> bool:
    """A session on its way down, or taken down, is not moved by the server's late words (a logout is: see `_logged_out`)."""
    return snapshot.state not in LIVE


def _connect(snapshot: Snapshot, reason: Reason, now: float) -> Step:
    """Start the worker. A retry keeps the reason of the failure it follows, so that the same trouble is told once."""
    first = snapshot.state in RESTING or snapshot.reason is reasons.SESSION_LOCKED
    begun = replace(snapshot, worker=Worker.RUNNING, restarts=snapshot.restarts + (not first))
    after, commands = _move(begun, State.CONNECTING, reason, now, timer=(Timer.CONNECT, CONNECT_DEADLINE))
    return after, [StartWorker(), *commands]


def _replace_worker(snapshot: Snapshot, reason: Reason, now: float, dice: float, *, first_at_once: bool = False) -> Step:
    """Kill a worker that does not answer and try again: what it had acknowledged is in the spool long since."""
    wait = 0.0 if first_at_once and not snapshot.failures else backoff.delay(snapshot.failures, dice)
    failed = replace(snapshot, worker=Worker.ENDING, failures=snapshot.failures + 1)
    after, commands = _move(failed, State.WAITING, reason, now, resume_at=now + wait)
    return after, [KillWorker(), *commands]


def _end(snapshot: Snapshot, state: State, reason: Reason, now: float, *, resume_at: float | None, detail: str = "") -> Step:
    """Take the worker down gently and go on from ``state`` once it is gone."""
    if snapshot.worker is Worker.RUNNING:
        after, commands = _move(replace(snapshot, worker=Worker.ENDING), state, reason, now, resume_at=resume_at, detail=detail)
        return after, [StopWorker(), *commands]
    timer = None if resume_at is None or snapshot.worker is Worker.ENDING else (Timer.RETRY, max(0.0, resume_at - now))
    return _move(snapshot, state, reason, now, timer=timer, resume_at=resume_at, detail=detail)


def _try_later(gone: Snapshot, reason: Reason, now: float, wait: float, detail: str) -> Step:
    failed = replace(gone, failures=gone.failures + 1)
    return _move(failed, State.WAITING, reason, now, timer=(Timer.RETRY, wait), resume_at=now + wait, detail=detail)


def _resume(gone: Snapshot, now: float) -> Step:
    """The worker that was told to end has ended."""
    if gone.resume_at is None:
        return gone, []
    wait = max(0.0, gone.resume_at - now)
    return replace(gone, timer=Timer.RETRY), [SetTimer(Timer.RETRY, wait)]


def _move(
    snapshot: Snapshot,
    state: State,
    reason: Reason,
    now: float,
    *,
    timer: tuple[str, float] | None = None,
    resume_at: float | None = None,
    detail: str = "",
) -> Step:
    """Enter ``state``: exchange the timer, tell people, and keep the change if it is one."""
    commands: list[Command] = []
    if snapshot.timer is not None and (timer is None or timer[0] != snapshot.timer):
        commands.append(ClearTimer(snapshot.timer))
    if timer is not None:
        commands.append(SetTimer(*timer))
    news = reason is not snapshot.reason
    commands.append(Report(state, reason, reason.level if news else "debug", snapshot.failures, resume_at, detail))
    if news:
        commands.append(Record(state, reason, now, snapshot.restarts))
    moved = replace(snapshot, state=state, reason=reason, since=now, timer=timer[0] if timer else None, resume_at=resume_at)
    return moved, commands


_DECISIONS: dict[type[Event], Callable[[Snapshot, Event, float, float], Step]] = {
    events.StartRequested: _start_requested,
    events.StopRequested: _stop_requested,
    events.Connected: _connected,
    events.Disconnected: _disconnected,
    events.StreamError: _disconnected,
    events.KeepAliveTimeout: _ping_lost,
    events.LoggedOut: _logged_out,
    events.TemporaryBan: _banned,
    events.StreamReplaced: _replaced,
    events.ClientOutdated: _outdated,
    events.ConnectFailure: _refused,
    events.WorkerEnded: _worker_ended,
    events.TimerFired: _timer_fired,
}
