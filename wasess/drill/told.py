"""What a manager told programs (``serve --events``), read back: values, and questions to a list of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SLACK = 0.002
"""A notice's time is told in milliseconds."""


@dataclass(frozen=True, slots=True)
class Told:
    """One line. Times are Unix seconds; the other fields are those of `supervisor.report.EventReporter`."""

    at: float
    event: str
    session: str
    state: str
    code: str
    reason: str
    action: str
    level: str
    attempt: int
    next_retry_at: float | None

    def __str__(self) -> str:
        """For people: the shortest that says it."""
        return f"{self.state or self.event} {self.code}".strip()


def read(line: str) -> Told:
    """Read a line. Raises ValueError, KeyError or TypeError when it is none of serve's."""
    fields = json.loads(line)
    return Told(
        at=_moment(fields["ts"]),
        event=str(fields["event"]),
        session=str(fields["session"]),
        state=str(fields["state"]),
        code=str(fields["code"]),
        reason=str(fields["reason"]),
        action=str(fields["action"]),
        level=str(fields["level"]),
        attempt=int(fields["attempt"]),
        next_retry_at=None if fields["next_retry_at"] is None else _moment(fields["next_retry_at"]),
    )


def about(told: Iterable[Told], user: str, since: float) -> list[Told]:
    """What was told of a session from a moment on, in order."""
    return [line for line in told if line.session == user and line.at >= since - SLACK]


def first(told: Iterable[Told], user: str, since: float, fits: Callable[[Told], bool]) -> Told | None:
    """The first of these that fits."""
    return next(filter(fits, about(told, user, since)), None)


def is_trouble(line: Told) -> bool:
    """Whether it says that something is wrong, or may be: any other state than online, a suspicion, a complaint."""
    return line.event in {"state", "trouble", "reconnect_on"} and not (line.state == "online" and line.code in {"ONLINE", "ANSWERED"})


def in_words(told: Iterable[Told]) -> str:
    """The states and codes in order, repetitions once."""
    words = [str(line) for line in told if line.event in {"state", "trouble"}]
    return " > ".join(word for place, word in enumerate(words) if not place or words[place - 1] != word) or "nothing was told"


def _moment(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()
