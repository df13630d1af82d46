"""Who may be served next: many lines (one for each chat), each served one thing at a time, all in turn.

A line is *ready* (in the queue of those who wait for their turn), *busy* (a task of its own serves it) or *asleep* (until a moment). What the
lines hold is not known here: a line that has nothing more is forgotten, and added again when something comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from wasess.core.clock import Alarm, Clock

    Work = Coroutine[None, None, float | None]

Key = TypeVar("Key", bound="Hashable")

AFTER_A_BUG = 5.0
AT_A_TIME = 50  # lines begun before others on the event loop get their turn

logger = logging.getLogger(__name__)


class Turns(Generic[Key]):
    """Needs a running event loop.

    ``begin(key)`` starts a line's next thing: it returns the work to be done, the seconds for which the line is to sleep, or None when it has
    nothing more. The work returns the seconds to sleep before the next thing, 0 for none, or None when the line has nothing more; what was
    added meanwhile counts. ``may_begin(key)``: whether the first in the queue may be served now; when that changes, call `go_on`.
    ``ended(key)`` is called after every work, however it ended.
    """

    def __init__(
        self,
        clock: Clock,
        begin: Callable[[Key], Work | float | None],
        may_begin: Callable[[Key], bool],
        ended: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        self._clock = clock
        self._begin = begin
        self._may_begin = may_begin
        self._ended = ended
        self._lines: dict[Key, Alarm | None] = {}
        self._ready: deque[Key] = deque()
        self._tasks: dict[Key, asyncio.Task[float | None]] = {}
        self._added: set[Key] = set()  # while they were served: what they had nothing of may have come after they had looked
        self._quiet = asyncio.Event()
        self._going_on = False

    @property
    def busy(self) -> int:
        """How many lines are served at this moment."""
        return len(self._tasks)

    def add(self, key: Key) -> None:
        """This line has something; one that is known, or sleeps, keeps its place."""
        if key not in self._lines:
            self._queue(key)
        elif key in self._tasks:
            self._added.add(key)

    def wake(self, key: Key | None = None) -> None:
        """Let a line that sleeps (all of them, without one) be ready now."""
        for one in [key] if key is not None else list(self._lines):
            alarm = self._lines.get(one)
            if alarm is not None:
                alarm.cancel()
                self._queue(one)

    def go_on(self) -> None:
        """Begin whatever may begin now."""
        begun = 0
        while self._ready and self._may_begin(self._ready[0]):
            if begun == AT_A_TIME:
                self._go_on_soon()
                return
            begun += 1
            self._start(self._ready.popleft())

    async def drop(self, unwanted: Callable[[Key], bool] = lambda _key: True) -> None:
        """Forget these lines at once, in the midst of what is done for them."""
        gone = [key for key in self._lines if unwanted(key)]
        for key in gone:
            alarm = self._lines.pop(key)
            if alarm is not None:
                alarm.cancel()
        self._ready = deque(key for key in self._ready if key in self._lines)
        doomed = [self._tasks[key] for key in gone if key in self._tasks]
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)

    async def finish(self, patience: float) -> None:
        """Begin nothing more, and wait up to ``patience`` seconds for what is done now."""
        self._may_begin = lambda _key: False
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._tasks:
                    self._quiet.clear()
                    await self._quiet.wait()

    def _queue(self, key: Key) -> None:
        self._lines[key] = None
        self._ready.append(key)
        self.go_on()

    def _start(self, key: Key) -> None:
        try:
            work = self._begin(key)
        except Exception:  # a bug in one line's thing is none of whoever has added another
            logger.exception("a line failed")
            work = AFTER_A_BUG
        if work is None:
            del self._lines[key]
        elif isinstance(work, (float, int)):
            self._sleep(key, work)
        else:
            task = self._tasks[key] = asyncio.create_task(work)
            task.add_done_callback(lambda done: self._finished(key, done))

    def _sleep(self, key: Key, seconds: float) -> None:
        if seconds > 0:
            self._lines[key] = self._clock.call_later(seconds, lambda: self._queue(key))
        else:
            self._lines[key] = None
            self._ready.append(key)
            self._go_on_soon()

    def _finished(self, key: Key, task: asyncio.Task[float | None]) -> None:
        del self._tasks[key]
        added = key in self._added
        self._added.discard(key)
        self._ended(key)
        self._quiet.set()
        if key in self._lines and not task.cancelled():
            self._go_to_sleep(key, task, added=added)
        self._go_on_soon()

    def _go_to_sleep(self, key: Key, task: asyncio.Task[float | None], *, added: bool) -> None:
        error = task.exception()
        if error is not None:
            logger.error("a line failed", exc_info=error)
            self._sleep(key, AFTER_A_BUG)
        elif (pause := task.result()) is not None:
            self._sleep(key, pause)
        elif added:
            self._sleep(key, 0.0)
        else:
            del self._lines[key]

    def _go_on_soon(self) -> None:
        """Not at once: a begin that ends at once would lead here again, deeper and deeper."""
        if not self._going_on:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._going_on = False
        self.go_on()
