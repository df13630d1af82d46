"""What is remembered of one session between two events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.states import RESTING, State

if TYPE_CHECKING:
    from wasess.core.reasons import Reason


class Worker(Enum):
    """What is known of the session's process."""

    ABSENT = "absent"  # none lives
    QUEUED = "queued"  # none lives; a `TurnCame` is to come
    RUNNING = "running"  # asked for, or alive; a `WorkerEnded` is to come
    ENDING = "ending"  # told to end; its `WorkerEnded` is still to come


class Timer:
    """The names in `SetTimer` and `TimerFired`."""

    CONNECT = "connect"
    GRACE = "grace"
    STEADY = "steady"
    QUIET = "quiet"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All the machine remembers of one session. Moments are in the seconds of ``now``, which never jump (`supervisor.clock`).

    ``resume_at``: the next try; None when there will be none without a human. ``failures``: tries in a row that did not lead to a
    steady session; ``losses``: connections lost since it was steady last. ``suspected``: since when nothing was heard, while a
    probe is out; None when nothing is suspected. ``answer_by``: when that probe will have failed; ``aloud``: people were told of it.
    ``attempts``: workers started since it was online last. ``heard_at``: the last word of the library's; ``pulsed_at``: the last
    `ShowPresence`. ``dialled_at``: when the last worker was started.
    """

    state: State = State.NEW
    reason: Reason = reasons.NEVER_STARTED
    since: float = 0.0
    worker: Worker = Worker.ABSENT
    timer: str | None = None
    resume_at: float | None = None
    failures: int = 0
    losses: int = 0
    replaced: int = 0
    locked: int = 0
    restarts: int = 0
    attempts: int = 0
    suspected: float | None = None
    answer_by: float = 0.0
    aloud: bool = False
    heard_at: float = 0.0
    pulsed_at: float | None = None
    paired_at: float = 0.0
    disk_full: bool = False
    outage: bool = False
    dialled_at: float = 0.0

    @property
    def resting(self) -> bool:
        """Only a human (or the manager's start) moves it on."""
        return self.state in RESTING or self.reason is reasons.REPLACED_FOR_GOOD
