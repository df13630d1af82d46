"""What waits because WhatsApp refused a message: a chat, first messages, or everything. In memory: after a start each is tried once again."""

from __future__ import annotations

from wasess.core import reasons, refusals
from wasess.core.refusals import Refusal


class Holds:
    """Of one session. Moments are those of one steady clock, in seconds."""

    def __init__(self) -> None:
        self._chats: dict[str, tuple[float, int]] = {}  # until when, and how many refusals in a row
        self._all = 0.0, 0
        self._locked_until = 0.0

    def refused(self, kind: Refusal, chat: str, now: float, dice: float) -> bool:
        """A message to a chat was refused; return whether that is the first such refusal after a time without."""
        before = self.problem(now)
        if kind is Refusal.TIMELOCK:
            self._locked_until = now + refusals.locked_for(dice)
            self._chats[chat] = self._locked_until, 0
        elif kind is Refusal.TOO_MANY:
            until, count = self._all
            if now >= until:  # those that were under way with it say nothing new
                self._all = now + refusals.pause(count, dice), count + 1
        else:
            _until, count = self._chats.get(chat, (0.0, 0))
            self._chats[chat] = now + refusals.pause(count, dice), count + 1
        return self.problem(now) != before

    def wait(self, chat: str, now: float) -> float:
        """The seconds for which nothing goes to a chat; 0 when it may."""
        return max(0.0, self._all[0] - now, self._chats.get(chat, (0.0, 0))[0] - now)

    def wait_of_first(self, now: float) -> float:
        """The seconds for which no first message goes out."""
        return max(0.0, self._locked_until - now)

    def wrote(self, chat: str) -> None:
        """Its person has written: what goes there is an answer."""
        if self._chats.get(chat, (0.0, 1))[1] == 0:
            del self._chats[chat]

    def went_out(self, chat: str, now: float) -> None:
        """A message to this chat was taken. One that was under way when WhatsApp said that there are too many ends no pause."""
        self._chats.pop(chat, None)
        if now >= self._all[0]:
            self._all = 0.0, 0

    def problem(self, now: float) -> str:
        """A code of `core.reasons`, empty when nothing waits. What was refused last time is one until something is taken."""
        if now < self._locked_until:
            return reasons.FIRST_MESSAGES_LOCKED.code
        delayed = self._all[1] or any(count for _until, count in self._chats.values())
        return reasons.SENDS_DELAYED.code if delayed else ""
