"""What the stand-in saw: who is online, who dialled when, what arrived. The judge of every figure about faults."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the stand-in's history. ``at`` is Unix time; ``what`` is a word such as dialled, connected, active, disconnected."""

    at: float
    user: str
    what: str


@dataclass(frozen=True, slots=True)
class Truth:
    """The stand-in's facts at one moment. ``devices`` are those of the sessions, by user; ``received`` the texts each account got."""

    devices: dict[str, dict[str, Any]]
    received: dict[str, list[str]]
    history: list[Fact]

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Truth:
        """Read the answer to the verb ``state``."""
        accounts = facts["accounts"]
        return cls(
            {device["user"]: device for account in accounts for device in account["devices"]},
            {account["name"]: [message["text"] for message in account["received"]] for account in accounts},
            [Fact(fact["at"], fact["user"], fact["what"]) for fact in facts["history"]],
        )

    def active(self, since: float = 0.0) -> dict[str, float]:
        """Which sessions are online and active now, and have become so after ``since``; each with the moment it did."""
        there = {user for user, device in self.devices.items() if device["online"] and device["active"]}
        return {fact.user: fact.at for fact in self.history if fact.what == "active" and fact.user in there and fact.at >= since}

    def times(self, what: str, since: float) -> list[float]:
        """When something happened to anybody, in order."""
        return sorted(fact.at for fact in self.history if fact.what == what and fact.at >= since)

    def disturbed(self, since: float) -> Counter[str]:
        """How often each session dialled, logged in, or lost a connection."""
        signs = {"dialled", "connected", "disconnected", "logged-in"}
        return Counter(fact.user for fact in self.history if fact.what in signs and fact.at >= since)


def most_within(moments: Iterable[float], seconds: float) -> int:
    """The largest number of moments in any window of this length (its end not included)."""
    ordered = sorted(moments)
    return max((bisect_left(ordered, moment + seconds) - index for index, moment in enumerate(ordered)), default=0)
