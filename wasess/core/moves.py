"""How a session gets from one state to the next: what every such change brings with it, whoever decides it (`core.machine`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wasess.core import backoff, reasons
from wasess.core.commands import (
    AskTurn,
    BeginOutage,
    ClearTimer,
    EndOutage,
    KillWorker,
    Record,
    Report,
    SetTimer,
    ShowPresence,
    StopWorker,
)
from wasess.core.snapshot import Snapshot, Timer, Worker
from wasess.core.states import RESTING, State

if TYPE_CHECKING:
    from wasess.core.commands import Command
    from wasess.core.reasons import Reason

    Step = tuple[Snapshot, list[Command]]

DISK_RETRY = 30.0


def connect(snapshot: Snapshot, reason: Reason, now: float) -> Step:
    """Ask for a turn to dial. A retry keeps the reason of the failure it follows, so that the same trouble is told once."""
    if snapshot.disk_full:
        retry = (Timer.RETRY, DISK_RETRY)
        return move(snapshot, State.WAITING, reasons.DISK_FULL, now, timer=retry, resume_at=now + DISK_RETRY)
    first = snapshot.state in RESTING or snapshot.reason is reasons.SESSION_LOCKED
    begun = replace(snapshot, worker=Worker.QUEUED, restarts=snapshot.restarts + (not first))
    after, commands = move(begun, State.CONNECTING, reason, now)
    return after, [AskTurn(), *commands]


def renew(snapshot: Snapshot, now: float) -> Step:
    """Replace the connection because a human asks for it: what has failed so far is forgiven, and nothing waits for its time.

    Left alone is what dialling can't help: a ban would last longer, a logout needs a phone, a full disk needs room.
    """
    if snapshot.state in RESTING or snapshot.reason is reasons.BANNED or snapshot.disk_full or snapshot.worker is Worker.QUEUED:
        return snapshot, []
    forgiven = replace(snapshot, failures=0, losses=0, replaced=0, locked=0)
    if snapshot.worker is Worker.ABSENT:
        return connect(forgiven, reasons.RECONNECTING, now)
    return end(forgiven, State.WAITING, reasons.RECONNECTING, now, resume_at=now)


def kill(snapshot: Snapshot, reason: Reason, now: float, dice: float, detail: str) -> Step:
    """End a worker that does not answer any more, whatever it had in hand, and start another one."""
    failed, resume_at = _failed(snapshot, now, dice, at_once=True)
    after, commands = move(replace(failed, worker=Worker.ENDING), State.WAITING, reason, now, resume_at=resume_at, detail=detail)
    return after, [KillWorker(), *commands]


def afresh(snapshot: Snapshot, reason: Reason, now: float, dice: float, *, at_once: bool = True, detail: str = "") -> Step:
    """Drain a worker that still obeys, and start another one. Killed, it would lose what is decrypted and not yet in the spool."""
    failed, resume_at = _failed(snapshot, now, dice, at_once=at_once)
    return end(failed, State.WAITING, reason, now, resume_at=resume_at, detail=detail)


def _failed(snapshot: Snapshot, now: float, dice: float, *, at_once: bool) -> tuple[Snapshot, float]:
    """One failure more, and when to try again; ``at_once``: the first try does not wait, later ones ever longer."""
    wait = 0.0 if at_once and not snapshot.failures else backoff.delay(snapshot.failures, dice)
    return replace(snapshot, failures=snapshot.failures + 1), now + wait


def end(snapshot: Snapshot, state: State, reason: Reason, now: float, *, resume_at: float | None, detail: str = "") -> Step:
    """Take the worker down gently and go on from ``state`` once it is gone."""
    if snapshot.worker is Worker.RUNNING:
        after, commands = move(replace(snapshot, worker=Worker.ENDING), state, reason, now, resume_at=resume_at, detail=detail)
        return after, [StopWorker(), *commands]
    if snapshot.worker is Worker.QUEUED:
        snapshot = replace(snapshot, worker=Worker.ABSENT)
    timer = None if resume_at is None or snapshot.worker is Worker.ENDING else (Timer.RETRY, max(0.0, resume_at - now))
    return move(snapshot, state, reason, now, timer=timer, resume_at=resume_at, detail=detail)


def try_later(gone: Snapshot, reason: Reason, now: float, wait: float, detail: str) -> Step:
    """The worker has ended by itself; start another one in ``wait`` seconds."""
    failed = replace(gone, failures=gone.failures + 1)
    return move(failed, State.WAITING, reason, now, timer=(Timer.RETRY, wait), resume_at=now + wait, detail=detail)


def soon(gone: Snapshot, dice: float) -> float:
    """As long as a try after an accident waits: the first not at all, later ones ever longer."""
    return backoff.delay(gone.failures, dice) if gone.failures else 0.0


def slowly(snapshot: Snapshot, reason: Reason, now: float, dice: float, detail: str) -> Step:
    """The server said no: try again in minutes."""
    resume_at = now + backoff.slow_delay(snapshot.failures, dice)
    return end(replace(snapshot, failures=snapshot.failures + 1), State.WAITING, reason, now, resume_at=resume_at, detail=detail)


def resume(gone: Snapshot, now: float) -> Step:
    """The worker that was told to end has ended."""
    if gone.resume_at is None:
        return gone, []
    if gone.resume_at <= now and gone.state is State.WAITING:
        return connect(gone, gone.reason, now)
    return replace(gone, timer=Timer.RETRY), [SetTimer(Timer.RETRY, max(0.0, gone.resume_at - now))]


def sooner(snapshot: Snapshot, now: float, at: float) -> Step:
    """Put the next try of a waiting session to another moment, an earlier one or the same."""
    if snapshot.resume_at is None or at > snapshot.resume_at:
        return snapshot, []
    sooner_then = replace(snapshot, resume_at=at)
    return sooner_then, [SetTimer(Timer.RETRY, at - now)] if snapshot.timer == Timer.RETRY else []


def pulse(snapshot: Snapshot, now: float, every: float, commands: list[Command]) -> Step:
    """Be seen, unless that was less than ``every`` seconds ago."""
    if snapshot.pulsed_at is not None and now - snapshot.pulsed_at < every:
        return snapshot, commands
    return replace(snapshot, pulsed_at=now), [*commands, ShowPresence()]


def move(
    snapshot: Snapshot,
    state: State,
    reason: Reason,
    now: float,
    *,
    timer: tuple[str, float] | None = None,
    resume_at: float | None = None,
    detail: str = "",
) -> Step:
    """Enter ``state``: exchange the timer, tell people, keep the change if it is one, and open or close the outage."""
    commands: list[Command] = []
    if snapshot.timer is not None and (timer is None or timer[0] != snapshot.timer):
        commands.append(ClearTimer(snapshot.timer))
    if timer is not None:
        commands.append(SetTimer(*timer))
    news = reason is not snapshot.reason
    commands.append(Report(state, reason, reason.level if news else "debug", snapshot.failures, resume_at, detail))
    if news or reason is reasons.BANNED:  # the end of a ban must outlive the manager
        commands.append(Record(state, reason, now, snapshot.restarts, resume_at))
    moved = replace(snapshot, state=state, reason=reason, since=now, timer=timer[0] if timer else None, resume_at=resume_at)
    return _account(moved, snapshot, now, commands)


def _account(moved: Snapshot, before: Snapshot, now: float, commands: list[Command]) -> Step:
    """An outage lasts from the last sign of life to the next login; a start is none."""
    if moved.state is State.ONLINE:
        closed = replace(moved, outage=False, attempts=0, suspected=None)
        return closed, [*commands, EndOutage(now, before.attempts)]
    moved = replace(moved, suspected=None)
    if before.outage or (moved.state is State.CONNECTING and moved.reason is reasons.STARTING):
        return moved, commands
    began = now if before.suspected is None else before.suspected
    return replace(moved, outage=True), [*commands, BeginOutage(began, moved.reason)]
