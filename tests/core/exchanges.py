"""A chat in virtual time: our bot, the brake, and others who write. Events come in the order of their times; nothing is random but by a seed."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING

from wasess.core.brake import Brake, Sign

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT = "chat"
TRAVEL = 0.005  # seconds from one side to the other


class Room:
    """One chat. Our bot takes ``thinks`` seconds for an answer of ``replies`` messages, one message after the other, as the dispatcher does.

    ``others`` react to what they see: ``others[name](room, by)`` is called for each message of somebody else's, ``by`` is None for ours.
    """

    def __init__(self, limit: int = 20, *, thinks: float = 0.01, replies: int = 1, group: bool = False, own: bool = False) -> None:
        self.brake = Brake(limit)
        self.thinks = thinks
        self.replies = replies
        self.group = group
        self.own = own
        self.now = 0.0
        self.answers = 0
        self.braked_by = ""
        self.braked_at = 0.0
        self.longest_hold = 0.0
        self.others: dict[str, Callable[[str | None], None]] = {}
        self._waiting: deque[str] = deque()
        self._busy = False
        self._woken = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), action))

    def say(self, name: str, after: float = 0.0) -> None:
        """Somebody writes."""
        self.after(after + TRAVEL, lambda: self._arrive(name))

    def run(self, seconds: float) -> Room:
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until and not self.braked_by:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        return self

    def _arrive(self, name: str) -> None:
        sign = self.brake.arrived(CHAT, name if self.group else "", self.now, own=self.own)
        if sign is Sign.MACHINE:
            self.braked_by, self.braked_at = name, self.now
        self._waiting.append(name)
        if sign is Sign.CLEARED:
            self._woken += 1
            self._busy = False
        self._serve()
        for other, reacts in self.others.items():
            if self.group and other != name:
                reacts(name)

    def _serve(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        hold = self.brake.hold(CHAT, self._waiting[0] if self.group else "", self.now)
        self.longest_hold = max(self.longest_hold, hold)
        turn = self._woken
        if hold:
            self.after(hold, lambda: self._awake(turn))
        else:
            self.after(self.thinks, self._answer)

    def _awake(self, turn: int) -> None:
        if turn == self._woken:
            self._busy = False
            self._serve()

    def _answer(self) -> None:
        name = self._waiting.popleft()
        for _ in range(self.replies):
            self.answers += 1
            self.brake.answered(CHAT, name if self.group else "", self.now)
            for other, reacts in self.others.items():
                self.after(TRAVEL, lambda reacts=reacts, other=other: reacts(None) if other in self.others else None)  # type: ignore[misc]  # mypy knows no default of a lambda
        self._busy = False
        self._serve()
