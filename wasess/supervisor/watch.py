"""Looks at what does not tell by itself: a worker's process, its database file, the room on the disk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wasess.core.events import DatabaseLost, DiskFree, DiskFull, LineLost
from wasess.core.vitals import Look, following, judge
from wasess.store.device import DEVICE_NAME
from wasess.store.disk import changed, identity, room
from wasess.store.look import trouble
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.clock import Clock
    from wasess.core.events import Event
    from wasess.link.port import Link
    from wasess.store.disk import Identity

SUSPICION_AGAIN_AFTER = 30.0
FREE_AGAIN = 1.25  # times the reserve; less would be full again in a moment


class Watch:
    """Of one session. A fault of a worker is told once; `begin` with every new worker."""

    def __init__(self, clock: Clock, memory_limit: int) -> None:
        self._clock = clock
        self._memory_limit = memory_limit
        self._before: Look | None = None
        self._database: Path | None = None
        self._identity: Identity | None = None
        self._size = 0
        self._not_before: dict[type[Event], float] = {}

    def begin(self, folder: Path) -> None:
        """A new worker has been started on this session's folder."""
        self._before = None
        self._not_before = {}
        self._database = folder / DEVICE_NAME
        self._identity = identity(self._database)
        self._size = 0

    def look(self, link: Link) -> list[Event]:
        """What is wrong since the last look. Reads /proc and a file's first bytes; asks nothing of anybody.

        0.07 ms for the one and 0.02 ms for the other: a hundred sessions once a second take a hundredth of a core.
        """
        vitals = link.vitals()
        look = Look(self._clock.steady(), vitals.beat_age, vitals.state, vitals.cpu, vitals.memory, vitals.line_age, vitals.unacked_age)
        look = following(self._before, look)
        found = judge(self._before, look, self._memory_limit)
        self._before = look
        return [event for event in (found, self._look_at_database()) if event is not None and self._is_news(event)]

    def confirm(self, said: DatabaseLost) -> DatabaseLost | None:
        """What is wrong with the database of which the library has said that it is lost; None when it is well. Takes up to a second."""
        if self._database is None:
            return None
        what = trouble(self._database, self._identity, said.detail)
        return DatabaseLost(said.detail) if what else None

    def _look_at_database(self) -> Event | None:
        if self._database is None or self._identity is None:
            return None
        try:
            what = changed(self._identity, self._database) or self._cut(self._database)
        except OSError:  # the disk fails: the library finds out, and says so
            return None
        return DatabaseLost(f"device.db {what}") if what else None

    def _cut(self, database: Path) -> str:
        """The library's database never becomes shorter. In WAL mode its header does not tell: the pages may still be beside it."""
        size = database.stat().st_size
        if size < self._size:
            return _("was truncated")
        self._size = size
        return ""

    def _is_news(self, event: Event) -> bool:
        """A suspicion may come again, but not every second: WhatsApp is asked each time. The rest ends the worker."""
        now = self._clock.steady()
        if now < self._not_before.get(type(event), 0.0):
            return False
        self._not_before[type(event)] = now + SUSPICION_AGAIN_AFTER if isinstance(event, LineLost) else math.inf
        return True


class DiskWatch:
    """Of a home's file system. ``reserve``: bytes that must stay free."""

    def __init__(self, path: Path, reserve: int) -> None:
        self._path = path
        self._reserve = reserve
        self._full = False

    def look(self) -> DiskFull | DiskFree | None:
        """Tell when it has become full, and when there is room again. A file system that does not say has nothing to tell."""
        try:
            free = room(self._path)
        except OSError:
            return None
        if not self._full and free < self._reserve:
            self._full = True
            return DiskFull(
                _("{free} MiB free, {reserve} MiB are kept in reserve").format(free=free // 2**20, reserve=self._reserve // 2**20)
            )
        if self._full and free >= self._reserve * FREE_AGAIN:
            self._full = False
            return DiskFree()
        return None
