"""Tells when somebody whom the bot answers is a machine that answers the bot: two of them would go on for ever. Pure.

What counts is a *round*: an answer of ours went out, and the next message of the same sender came within moments. A person who taps through a menu
makes some in a row, and then pauses; a machine does not. So a sender is suspected after `Brake.limit` rounds in a row without a pause of `QUICK`
seconds, when most came faster than anybody reads (`MACHINE`), or when they went on for twice as many seconds, or else after twice as many rounds.
A slower machine (two language models who thank each other) is suspected after ten times as many rounds without a pause of `PATIENT` seconds.

A suspicion is no proof: whoever writes on without waiting for us (a backlog, a program that reports, somebody who forwards a hundred pictures)
has each message come behind some answer of ours, too. So the answers to a suspect are held back, each for about two of his usual intervals. Whoever
writes all the same is not caused by us, and is left alone for four times as many rounds. Who is silent as long as we are, and writes within moments
after each answer, `PROOFS` times in a row (twice as often where a person could be as fast), is answered no more: the chat is braked until
somebody releases it.

In a group the rounds of each sender are counted apart, and a message that comes within moments after somebody else's proves nothing.
RapidPro counts 20 equal answers within 5 minutes, others any 20 within one: both stop people who are quick, and neither two bots that vary their words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

QUICK = 3.5  # seconds: bots that pretend to type take 1 to 3
PATIENT = 60.0
MACHINE = 0.3  # nobody reads an answer and writes the next message within
SLOWER = 10  # times as many rounds within `PATIENT`
OWN = 4  # another session of this home is suspected after so many times fewer rounds
PROOFS = 3
MOST_DOUBTS = 6
FARTHER = 4  # times as many rounds until the next suspicion of who was cleared of one
FARTHEST = 16
SHORTEST_WATCH, LONGEST_HOLD = 0.5, 45.0
MOST_KEPT = 500

Key = tuple[str, str]


class Sign(Enum):
    """What a message says about its sender."""

    NOTHING = auto()
    CLEARED = auto()  # he writes whether we answer or not: what was held back may go on
    MACHINE = auto()  # he answers us, as we answer him


@dataclass(slots=True)
class _Run:
    """Rounds in a row, none of which came later than ``within`` seconds after our answer.

    ``overlaps``: messages that came while one was not answered yet. With several under way, nobody knows which answer a message is the reaction to.
    """

    within: float
    rounds: int = 0
    fast: int = 0
    began: float = 0.0
    lags: float = 0.0
    overlaps: int = 0

    def count(self, lag: float, now: float) -> None:
        if not self.rounds:
            self.began = now - lag
        self.rounds += 1
        self.fast += lag < MACHINE
        self.lags += lag

    def end(self) -> None:
        self.rounds = self.fast = self.overlaps = 0
        self.lags = 0.0


@dataclass(slots=True)
class _Exchange:
    """With one sender in one chat. ``open``: an answer of ours has gone out since his last message.

    ``settles``: how long after an answer he may still be reacting to it; ``hold``: how long answers are held back; 0 without a suspicion.
    ``held``: his message that is being answered was held back for as long; ``tested``: it is answered. ``stirred``: he wrote meanwhile, perhaps to
    somebody else in the group; ``doubts``: how often that was so.
    """

    answered_at: float
    arrived_at: float = 0.0
    open: bool = True
    own: bool = False
    farther: int = 1
    quick: _Run = field(default_factory=lambda: _Run(QUICK))
    patient: _Run = field(default_factory=lambda: _Run(PATIENT))
    settles: float = 0.0
    hold: float = 0.0
    held_until: float | None = None
    held: bool = False
    tested: bool = False
    stirred: bool = False
    proofs: int = 0
    doubts: int = 0

    def suspect(self, run: _Run, now: float, *, group: bool) -> None:
        mean, interval = run.lags / run.rounds, (now - run.began) / run.rounds
        several = group or 4 * run.overlaps >= run.rounds
        self.settles = QUICK if several else 1.5 * mean + 0.05
        self.hold = min(self.settles + max(2 * interval, SHORTEST_WATCH), LONGEST_HOLD)

    def acquit(self) -> None:
        self.hold, self.held_until = 0.0, None
        self.held = self.tested = self.stirred = False
        self.proofs = self.doubts = 0

    def clear(self) -> Sign:
        self.acquit()
        self.quick.end()
        self.patient.end()
        self.farther = min(self.farther * FARTHER, FARTHEST)
        return Sign.CLEARED


@dataclass(slots=True)
class _Chat:
    """When we have written last in a chat, who of the others has, and when somebody other than him has."""

    ours_at: float = 0.0
    last_by: str = ""
    last_at: float = 0.0
    other_at: float = 0.0

    def note(self, by: str, now: float) -> None:
        if by != self.last_by:
            self.last_by, self.other_at = by, self.last_at
        self.last_at = now

    def but_for(self, sender: str) -> float:
        """When anybody but him and us has."""
        return self.other_at if self.last_by == sender else self.last_at


class Brake:
    """Of one session. ``limit``: see above; 0: never. Moments are those of a steady clock; they do not go back.

    A ``sender`` is the address of somebody in a group, and empty in a chat of two. What is kept is bounded: the exchange that has rested longest
    is forgotten for a new one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._exchanges: dict[Key, _Exchange] = {}
        self._chats: dict[str, _Chat] = {}

    def answered(self, chat: str, sender: str, now: float) -> None:
        """An answer of ours to this sender goes out."""
        if not self._limit:
            return
        self._chat(chat).ours_at = now
        key = chat, sender
        exchange = self._exchanges.pop(key, None)
        if exchange is None:
            exchange = _Exchange(now)
            if len(self._exchanges) >= MOST_KEPT:
                del self._exchanges[next(iter(self._exchanges))]
        exchange.answered_at, exchange.open = now, True
        if exchange.held:
            exchange.held, exchange.tested = False, True
        self._exchanges[key] = exchange

    def arrived(self, chat: str, sender: str, now: float, *, own: bool = False) -> Sign:
        """A message has come that the bot may answer. ``own``: from another session of this home."""
        if not self._limit:
            return Sign.NOTHING
        exchange, room = self._exchanges.get((chat, sender)), self._chat(chat)
        room.note(sender, now)
        if exchange is None:
            return Sign.NOTHING
        quiet = now - max(exchange.answered_at, exchange.arrived_at)
        exchange.arrived_at = now
        if quiet >= PATIENT and exchange.held_until is None:
            del self._exchanges[chat, sender]
            return Sign.NOTHING
        exchange.own = own
        if exchange.open:
            return self._round((chat, sender), exchange, quiet, now)
        if exchange.held_until is not None:
            return self._while_held(exchange, room, sender, now)
        if quiet >= QUICK:
            exchange.quick.end()
        exchange.quick.overlaps += 1
        return Sign.NOTHING

    def hold(self, chat: str, sender: str, now: float) -> float:
        """The seconds for which a message of this sender is to wait before the bot gets it; 0 for nearly everybody."""
        exchange = self._exchanges.get((chat, sender))
        if exchange is None or not exchange.hold or exchange.held:
            return 0.0
        if exchange.held_until is None:
            exchange.held_until = now + exchange.hold
        if now >= exchange.held_until:
            exchange.held_until, exchange.held = None, True
            return 0.0
        return exchange.held_until - now

    def _while_held(self, exchange: _Exchange, room: _Chat, sender: str, now: float) -> Sign:
        """He writes although we are silent: unless he still reacts to what we have said before. In a group it may be to what others say: a doubt."""
        if now - room.ours_at <= exchange.settles:
            return Sign.NOTHING
        if now - room.but_for(sender) > exchange.settles:
            return exchange.clear()
        exchange.stirred = True
        return Sign.NOTHING

    def _round(self, key: Key, exchange: _Exchange, lag: float, now: float) -> Sign:
        exchange.open = False
        if not key[1]:  # in a busy group everybody's next message comes within a minute
            exchange.patient.count(lag, now)
        if lag < QUICK:
            exchange.quick.count(lag, now)
        else:
            exchange.quick.end()
        run = self._suspected(exchange, now)
        if run is None:
            waits = exchange.held_until is not None
            exchange.acquit()
            return Sign.CLEARED if waits else Sign.NOTHING
        if not exchange.hold:
            exchange.suspect(run, now, group=bool(key[1]))
        elif exchange.tested:
            return self._tested(key, exchange)
        return Sign.NOTHING

    def _tested(self, key: Key, exchange: _Exchange) -> Sign:
        """He was silent as long as we were, and wrote within moments after our answer; or there is a doubt about the first."""
        exchange.doubts += exchange.stirred
        exchange.proofs += not exchange.stirred
        exchange.tested = exchange.stirred = False
        certain = exchange.own or 2 * exchange.quick.fast > exchange.quick.rounds
        if exchange.proofs == (PROOFS if certain else 2 * PROOFS):
            del self._exchanges[key]
            return Sign.MACHINE
        return exchange.clear() if exchange.doubts == MOST_DOUBTS else Sign.NOTHING

    def _suspected(self, exchange: _Exchange, now: float) -> _Run | None:
        """The rounds for which he is."""
        limit = max(1, self._limit // OWN) if exchange.own else self._limit
        limit *= exchange.farther
        quick, patient = exchange.quick, exchange.patient
        if quick.rounds >= limit:
            enough = exchange.own or 2 * quick.fast >= quick.rounds or now - quick.began >= 2 * limit or quick.rounds >= 2 * limit
            if enough:
                return quick
        return patient if patient.rounds >= SLOWER * limit else None

    def _chat(self, chat: str) -> _Chat:
        found = self._chats.pop(chat, None)
        if found is None:
            found = _Chat()
            if len(self._chats) >= MOST_KEPT:
                del self._chats[next(iter(self._chats))]
        self._chats[chat] = found
        return found
