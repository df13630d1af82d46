"""The door to whatever answers messages: `delivery.function`, `delivery.webhook` and `delivery.program` implement it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

from wasess.store.outgoing_files import NOWHERE, Sources

if TYPE_CHECKING:
    from wasess.core.message import Message, Reply


class Verdict(Enum):
    """How asking the bot about one message ended."""

    ANSWERED = "answered"  # with replies, or with none
    RAISED = "raised"  # it said no to this message
    STUCK = "stuck"  # this message took longer than the deadline; the bot was started again
    DIED = "died"  # the bot ended while it had this message, perhaps because of it
    RESTARTED = "restarted"  # the bot was started again because of another message
    FAULT = "fault"  # wasess itself failed on this message: a bug
    AWAY = "away"  # nobody is there to take any message: it is no fault of this one


@dataclass(frozen=True, slots=True)
class Outcome:
    """``replies``: what is to be sent, in order. ``detail`` says what went wrong, without a word of the message.

    ``files``: where the files may be that the replies name.
    ``wait``: seconds that the bot asks to be left alone for, after RAISED or AWAY; 0 when it did not say.
    """

    verdict: Verdict
    replies: tuple[Reply, ...] = ()
    detail: str = ""
    wait: float = 0.0
    files: Sources = field(default=NOWHERE, compare=False)


class Bot(Protocol):
    """Answers messages, several at a time."""

    @property
    def at_once(self) -> int:
        """How many it takes at a time."""

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds before each further try of a message that it failed on (before jitter); after the last one it is a dead letter."""

    async def ask(self, message: Message) -> Outcome:
        """Give the bot one message; never raises for the bot's faults. One on this machine waits for ever while it can't be started."""

    async def close(self) -> None:
        """End the bot at once. What it was asked is RESTARTED."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something people should know. ``session`` is empty when it concerns the bot as a whole; no message text in ``sentence``."""

    code: str
    sentence: str
    session: str = ""
    level: Literal["info", "warning", "error"] = "warning"


Tell = Callable[[Trouble], None]
