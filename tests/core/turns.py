"""The gate of the virtual world: it gives out turns to dial as `supervisor.gate` does."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.core.pace import Pace

if TYPE_CHECKING:
    from world import Session, World

PARALLEL, PER_SECOND, PLACE_FOR = 8, 20.0, 1.0


class Gate:
    """So many at once, so many a second, in order."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pace = Pace.full(PER_SECOND, PARALLEL, 0.0)
        self._line: deque[Session] = deque()
        self._taken = 0
        self._waiting = False

    def ask(self, session: Session) -> None:
        self._line.append(session)
        self._admit()

    def _admit(self) -> None:
        world = self._world
        while self._line and self._taken < PARALLEL and not self._waiting:
            if wait := self._pace.wait(world.now):
                self._waiting = True
                world.later(wait, self._look_again)
                return
            self._pace, _ = self._pace.take(world.now)
            self._taken += 1
            world.later(0.0, self._call, self._line.popleft())

    def _look_again(self) -> None:
        self._waiting = False
        self._admit()

    def _call(self, session: Session) -> None:
        place = [True]
        session.places.append(place)
        self._world.later(PLACE_FOR, self.leave, place)
        session.feed(events.TurnCame())

    def leave(self, place: list[bool]) -> None:
        if place[0]:
            place[0] = False
            self._taken -= 1
            self._admit()
