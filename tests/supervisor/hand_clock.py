from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False)
class HandAlarm:
    at: float
    callback: Callable[[], None]
    alarms: list[HandAlarm]

    def cancel(self) -> None:
        if self in self.alarms:
            self.alarms.remove(self)


class HandClock:
    """Stands still until `advance`. ``set_wall`` sets the wall clock, which nothing else may be moved by."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.wrong = 0.0
        self.alarms: list[HandAlarm] = []

    def now(self) -> float:
        return self.time + self.wrong

    def steady(self) -> float:
        return self.time

    def wall_of(self, steady: float) -> float:
        return steady + self.wrong

    def set_wall(self, by: float) -> None:
        self.wrong += by

    def call_later(self, delay: float, callback: Callable[[], None]) -> HandAlarm:
        alarm = HandAlarm(self.time + delay, callback, self.alarms)
        self.alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for alarm in [alarm for alarm in self.alarms if alarm.at <= self.time]:
            alarm.cancel()
            alarm.callback()
