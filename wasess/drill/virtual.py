"""A session in virtual time: the machine that decides in production, with a server that is away. A day takes a moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasess.core import commands, events
from wasess.core.machine import step
from wasess.core.snapshot import Snapshot, Worker
from wasess.core.states import State

if TYPE_CHECKING:
    from random import Random

    from wasess.core.commands import Command
    from wasess.core.events import Event

DAY = 86400.0
LONGEST_PAUSE = 61.0  # the cap of the backoff, and the dial before it
DIAL_TAKES = 0.05
DRAIN_TAKES = 0.5


@dataclass(frozen=True, slots=True)
class Walk:
    """What a session did in virtual time. Seconds; ``last_reason`` is a code."""

    tries: int
    longest_pause: float
    detected: float
    recovered: float
    last_reason: str


@dataclass(slots=True)
class World:
    """One session, its clock and what is to come: (moment, event). The library's own redials all fail while the server is away."""

    dice: Random
    now: float = 1000.0
    snapshot: Snapshot = field(default_factory=Snapshot)
    server_up: bool = True
    tries: int = 0
    told: list[tuple[float, str]] = field(default_factory=list)
    _coming: list[tuple[float, int, Event]] = field(default_factory=list)
    _timer: tuple[float, int, Event] | None = None
    _number: int = 0

    def feed(self, event: Event) -> None:
        """Tell the machine, and do what it says."""
        self.snapshot, wanted = step(self.snapshot, event, self.now, self.dice.random())
        for command in wanted:
            self._carry_out(command)

    def later(self, delay: float, event: Event) -> None:
        """Let something happen."""
        self._coming.append(self._stamped(delay, event))

    def run(self, until: float) -> None:
        """Let time pass."""
        while (following := self._next()) is not None and following[0] <= until:
            self.now = following[0]
            if following is self._timer:
                self._timer = None
            else:
                self._coming.remove(following)
            self.feed(following[2])
        self.now = max(self.now, until)

    @property
    def next_at(self) -> float | None:
        """When the next thing happens; None when nothing ever will."""
        following = self._next()
        return None if following is None else following[0]

    def _next(self) -> tuple[float, int, Event] | None:
        return min(filter(None, [*self._coming, self._timer]), default=None, key=lambda item: item[:2])

    def _stamped(self, delay: float, event: Event) -> tuple[float, int, Event]:
        self._number += 1
        return self.now + max(0.0, delay), self._number, event

    def _carry_out(self, command: Command) -> None:
        match command:
            case commands.AskTurn():
                self.later(0.0, events.TurnCame())
            case commands.StartWorker():
                self.tries += 1
                self.later(DIAL_TAKES, events.Connected() if self.server_up else events.WorkerEnded("dial-failed", "connection refused"))
            case commands.StopWorker() | commands.KillWorker():
                self._coming = [item for item in self._coming if not isinstance(item[2], events.WorkerEnded | events.Connected)]
                self.later(DRAIN_TAKES, events.WorkerEnded("stopped"))
            case commands.Probe(deadline=deadline):
                answer = events.ProbeAnswered() if self.server_up else events.ProbeFailed("no answer")
                self.later(DIAL_TAKES if self.server_up else deadline, answer)
            case commands.SetTimer(name=name, delay=delay):
                self._timer = self._stamped(delay, events.TimerFired(name))
            case commands.ClearTimer():
                self._timer = None
            case commands.Report(state=state, reason=reason):
                self.told.append((self.now, f"{state} {reason.code}"))


def away_for_a_day(dice: Random) -> Walk:
    """The server is away for 24 h and a random bit; how soon is the session back?"""
    world = _online(dice)
    away_at = world.now
    world.server_up = False
    world.feed(events.Disconnected())
    detected = world.told[-1][0] - away_at
    back_at = away_at + DAY + dice.uniform(0, 120)
    longest, tries, before = 0.0, world.tries, away_at
    while (following := world.next_at) is not None and following <= back_at:
        world.run(following)
        if world.tries != tries:
            longest, tries, before = max(longest, world.now - before), world.tries, world.now
    last_reason = world.snapshot.reason.code
    world.now = back_at
    world.server_up = True
    while world.snapshot.state is not State.ONLINE and (following := world.next_at) is not None and following < back_at + 3600:
        world.run(following)
    recovered = world.now - back_at if world.snapshot.state is State.ONLINE else float("inf")
    return Walk(tries, longest, detected, recovered, last_reason)


def replaced_again_and_again(dice: Random) -> list[float | None]:
    """Another client takes the session over whenever it is back: the pauses before each try, None for "waits for a human"."""
    world = _online(dice)
    pauses: list[float | None] = []
    while len(pauses) < 10 and (not pauses or pauses[-1] is not None):
        world.feed(events.StreamReplaced())
        resume_at = world.snapshot.resume_at
        pauses.append(None if resume_at is None else resume_at - world.now)
        if resume_at is not None:
            world.run(resume_at + 5)
    return pauses


def waits_for_nobody(dice: Random) -> bool:
    """Whether a session whose tries after `replaced_again_and_again` are used up is left alone: no worker, nothing to come, for a day."""
    world = _online(dice)
    for _ in range(4):
        world.feed(events.StreamReplaced())
        world.run((world.snapshot.resume_at or world.now) + 5)
    tries = world.tries
    world.run(world.now + DAY)
    return world.tries == tries and world.snapshot.worker is Worker.ABSENT


def _online(dice: Random) -> World:
    """A session that has been online for more than a minute."""
    world = World(dice)
    world.feed(events.StartRequested())
    world.run(world.now + 100)
    return world
