"""The door to whatever answers messages. `delivery.function` implements it; a webhook or a program can be another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from wasess.core.message import Message


class Verdict(Enum):
    """How asking the bot about one message ended."""

    ANSWERED = "answered"  # with a text, or with none
    RAISED = "raised"  # it said no to this message
    STUCK = "stuck"  # this message took longer than the deadline; the bot was started again
    DIED = "died"  # the bot ended while it had this message, perhaps because of it
    RESTARTED = "restarted"  # the bot was started again because of another message


@dataclass(frozen=True, slots=True)
class Outcome:
    """``text`` is the reply, None for no reply. ``detail`` says what went wrong, without a word of the message."""

    verdict: Verdict
    text: str | None = None
    detail: str = ""


class Bot(Protocol):
    """Answers messages, several at a time."""

    async def ask(self, message: Message) -> Outcome:
        """Give the bot one message. Waits for ever while the bot can't be started; never raises for the bot's faults."""

    async def close(self) -> None:
        """End the bot at once. What it was asked is RESTARTED."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something people should know. ``session`` is empty when it concerns the bot as a whole; no message text in ``sentence``."""

    code: str
    sentence: str
    session: str = ""
    level: Literal["warning", "error"] = "warning"


Tell = Callable[[Trouble], None]
