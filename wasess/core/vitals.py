"""Decides from two looks at a worker's process whether something is wrong with it. Pure.

A machine that is busy makes healthy processes late, so lateness alone proves nothing: a process that wants to run and is not let is
not stuck. Time in which nobody looked is held against nobody: then the whole machine, or a whole group of processes, may have stood
still. What is unknown (0, empty) gives no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core.events import LineLost, WorkerStuck, WorkerTooLarge

if TYPE_CHECKING:
    from wasess.core.events import Event

STOPPED_AFTER = 1.0  # a process that a signal has stopped: the kernel says so, there is no doubt
ASLEEP_AFTER = 2.0  # it beats once a second; asleep for so long, without using the CPU, it will not wake up by itself
BLOCKED_AFTER = 5.0  # the kernel waits for a disk, or for memory: that may end
STARVED_AFTER = 20.0
LINE_AFTER = 5.0
EVERY = 1.0  # how far apart looks are meant to be
APART = 0.9  # seconds between two looks that can be compared
LATE = 3.0  # when we ourselves come so late, everybody else had no time either


@dataclass(frozen=True, slots=True)
class Look:
    """One look, at a steady moment; the other fields are those of `link.port.Vitals`.

    ``excused``: so many of the seconds since the last beat do not count, because nobody looked (`following`).
    """

    at: float
    beat_age: float = 0.0
    state: str = ""
    cpu: float = 0.0
    memory: int = 0
    line_age: float = 0.0
    unacked_age: float = 0.0
    excused: float = 0.0

    @property
    def silence(self) -> float:
        """For how many seconds it could have beaten and did not."""
        return max(0.0, self.beat_age - self.excused)


def following(before: Look | None, now: Look) -> Look:
    """Return ``now`` with what has to be excused: by how much it came later than it should, and what was excused since the last beat.

    Before the first look nobody looked at all, and after a long pause everybody begins anew.
    """
    gap = 0.0 if before is None else now.at - before.at
    if before is None or gap > LATE:
        return replace(now, excused=now.beat_age)
    carried = before.excused if now.beat_age >= gap else 0.0  # else it has beaten since
    return replace(now, excused=carried + max(0.0, gap - EVERY))


def judge(before: Look | None, now: Look, memory_limit: int) -> Event | None:
    """What is wrong, the worst first; None when nothing is, or nothing can be said. ``memory_limit`` in bytes, 0 for none."""
    if before is None or now.at - before.at > LATE:
        return None
    if stuck := _stuck(before, now):
        return WorkerStuck(stuck)
    if memory_limit and now.memory > memory_limit:
        return WorkerTooLarge(now.memory, memory_limit)
    if now.unacked_age >= LINE_AFTER:
        return LineLost("what was sent is not even acknowledged")
    return LineLost("no connection is open") if now.line_age >= LINE_AFTER else None


def _stuck(before: Look, now: Look) -> str:
    silent = f"silent for {now.beat_age:.0f} s"
    states = {before.state, now.state}
    if now.state in {"T", "t"} and now.silence >= STOPPED_AFTER:
        return f"stopped by a signal, {silent}"
    idle = states <= {"S", "D"} and now.cpu == before.cpu and now.at - before.at >= APART
    patience = BLOCKED_AFTER if "D" in states else ASLEEP_AFTER
    if idle and min(before.beat_age + now.at - before.at, now.silence) >= patience:
        return silent
    return silent if now.silence >= STARVED_AFTER else ""
