"""The machine as a conversation: ``told`` is what happens to the session, the commands are what it wants done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasess.core.commands import BeginOutage, Command, EndOutage, Record, Report, SetTimer
from wasess.core.events import (
    ClientOutdated,
    Connected,
    Disconnected,
    DiskFull,
    Event,
    KeepAliveTimeout,
    LoggedOut,
    StartRequested,
    StopRequested,
    StreamReplaced,
    TemporaryBan,
    TimerFired,
    TurnCame,
    WorkerEnded,
    WorkerStarted,
)
from wasess.core.machine import step
from wasess.core.snapshot import Snapshot, Timer

if TYPE_CHECKING:
    from wasess.core.states import State

ACCOUNTS = (Report, Record, BeginOutage, EndOutage)
BOOTED = 1000.0


@dataclass
class Talk:
    """A session, its time and its luck. ``commands``: all that the last event made it want; ``book``: every outage's begin and end."""

    now: float = BOOTED
    dice: float = 0.5
    session: Snapshot = field(default_factory=Snapshot)
    commands: list[Command] = field(default_factory=list)
    book: list[Command] = field(default_factory=list)

    def tell(self, *told: Event) -> list[Command]:
        """Return what the last event made it want done; what people and files are told is left out."""
        for event in told:
            self.session, self.commands = step(self.session, event, self.now, self.dice)
            self.book += [command for command in self.commands if isinstance(command, (BeginOutage, EndOutage))]
        return [command for command in self.commands if not isinstance(command, ACCOUNTS)]

    def after(self, seconds: float, *told: Event) -> list[Command]:
        self.now += seconds
        return self.tell(*told)

    @property
    def where(self) -> tuple[State, str]:
        return self.session.state, self.session.reason.code

    @property
    def delay(self) -> float | None:
        """For how long the last event has set a timer."""
        return next((command.delay for command in self.commands if isinstance(command, SetTimer)), None)

    @property
    def report(self) -> Report:
        (report,) = (command for command in self.commands if isinstance(command, Report))
        return report


def started() -> Talk:
    """It has asked for its turn to dial."""
    talk = Talk()
    talk.tell(StartRequested())
    return talk


def connecting() -> Talk:
    talk = started()
    talk.tell(TurnCame(), WorkerStarted(7))
    return talk


def online() -> Talk:
    talk = connecting()
    talk.tell(Connected())
    return talk


def steady() -> Talk:
    talk = online()
    talk.after(60, TimerFired(Timer.STEADY))
    return talk


def suspected() -> Talk:
    """A ping was lost, and the probe is out."""
    talk = steady()
    talk.after(40, KeepAliveTimeout(1, talk.now))
    return talk


def recovering() -> Talk:
    talk = steady()
    talk.after(40, Disconnected())
    return talk


def waiting() -> Talk:
    talk = connecting()
    talk.tell(WorkerEnded("dial-failed", "no route"))
    return talk


def ending() -> Talk:
    """The worker was killed, and is not gone yet."""
    talk = recovering()
    talk.after(50, TimerFired(Timer.GRACE))
    return talk


def stopping() -> Talk:
    talk = online()
    talk.tell(StopRequested())
    return talk


def without_room() -> Talk:
    return ended(online, DiskFull("0 MiB free"))


def ended(prepare, event: Event) -> Talk:
    talk = prepare()
    talk.tell(event, WorkerEnded("stopped"))
    return talk


def left_alone() -> Talk:
    """It was taken over again and again."""
    talk = connecting()
    for _ in range(3):
        talk.tell(StreamReplaced(), WorkerEnded("stopped"))
        talk.after(60, TimerFired(Timer.RETRY), TurnCame())
    talk.tell(StreamReplaced(), WorkerEnded("stopped"))
    return talk


PREPARED = {
    "new": Talk,
    "queued": started,
    "connecting": connecting,
    "online": online,
    "steady": steady,
    "suspected": suspected,
    "recovering": recovering,
    "waiting": waiting,
    "ending": ending,
    "disk full": without_room,
    "banned": lambda: ended(online, TemporaryBan(101, 600)),
    "replaced": lambda: ended(online, StreamReplaced()),
    "left alone": left_alone,
    "outdated": lambda: ended(connecting, ClientOutdated()),
    "logged out": lambda: ended(online, LoggedOut(401)),
    "stopping": stopping,
    "stopped": lambda: ended(online, StopRequested()),
}
EVERYWHERE = tuple(PREPARED)
UP = ("online", "steady", "suspected")
RUNNING = ("connecting", *UP, "recovering")
LIVE = ("queued", *RUNNING)
DOWN = tuple(name for name in EVERYWHERE if name not in LIVE)
