"""What the machine wants done, as values. `supervisor.keeper` carries them out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasess.core.reasons import Level, Reason
    from wasess.core.states import State


@dataclass(frozen=True, slots=True)
class Command:
    """Anything `core.machine` asks for."""


@dataclass(frozen=True, slots=True)
class AskTurn(Command):
    """Wait for a place among those that may dial. A `TurnCame` follows, sooner or later."""


@dataclass(frozen=True, slots=True)
class StartWorker(Command):
    """Start the session's process. A `WorkerEnded` must follow sooner or later, whatever happens."""


@dataclass(frozen=True, slots=True)
class StopWorker(Command):
    """Drain and end the process; nothing it has acknowledged is lost."""


@dataclass(frozen=True, slots=True)
class KillWorker(Command):
    """End the process at once: it does not answer."""


@dataclass(frozen=True, slots=True)
class Probe(Command):
    """Ask WhatsApp for something small, beside everything else. A `ProbeAnswered` or, after ``deadline`` seconds, a `ProbeFailed` follows."""

    deadline: float


@dataclass(frozen=True, slots=True)
class ShowPresence(Command):
    """Be seen by WhatsApp for a moment, so that the device does not look abandoned, and leave the phone its notifications."""


@dataclass(frozen=True, slots=True)
class SetTimer(Command):
    """Send ``TimerFired(name)`` in ``delay`` seconds. At most one timer runs at a time."""

    name: str
    delay: float


@dataclass(frozen=True, slots=True)
class ClearTimer(Command):
    """Forget that timer; one that fires all the same is ignored."""

    name: str


@dataclass(frozen=True, slots=True)
class Report(Command):
    """Tell people. ``level`` is the reason's the first time and ``debug`` when the same reason repeats.

    ``attempt`` counts the failures in a row; ``next_try_at`` is Unix time; ``detail`` is the library's or the system's own text.
    """

    state: State
    reason: Reason
    level: Level
    attempt: int = 0
    next_try_at: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record(Command):
    """Keep the change on disk. Sent when the reason changes, so an outage of a day is one change, not a thousand."""

    state: State
    reason: Reason
    at: float
    restarts: int
    resume_at: float | None = None


@dataclass(frozen=True, slots=True)
class BeginOutage(Command):
    """Open an outage in the ledger. One is open at most."""

    at: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class EndOutage(Command):
    """Close the open one. ``attempts``: workers started meanwhile."""

    at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class AmendOutage(Command):
    """So many messages had been kept for us during the last outage."""

    recovered: int
