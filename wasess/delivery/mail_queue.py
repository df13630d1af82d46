"""Runs work on a session's mailbox on a mail thread: one piece at a time, in the order in which it was asked for.

SQLite may wait for a lock, and a commit for the disk; on the event loop every session would wait with it. The threads are shared, and there are
as many as pieces of work run at the same moment: one session's slow disk takes one thread, and no other session's turn.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from wasess.errors import StoreError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from wasess.delivery.mailbox import Mailbox

Answer = TypeVar("Answer")
Job = tuple["Callable[[Mailbox], Any]", "asyncio.Future[Any]"]

# Far more than work at once as long as no disk hangs; the pool makes a thread only when all that it has are busy.
MAIL_THREADS = ThreadPoolExecutor(512, "mail")

logger = logging.getLogger(__name__)


class MailClosed(StoreError):
    """The session's mail was closed meanwhile: what was asked for has not been done."""

    code = "MAIL_CLOSED"


class MailQueue:
    """The mailbox of one session, which nobody else may use any more. Needs a running event loop.

    ``changes``: how many rows were written until now; ``damage``: see `Mailbox`. Both may be read at any time.
    """

    def __init__(self, mailbox: Mailbox, threads: Executor = MAIL_THREADS) -> None:
        self.user = mailbox.user
        self.changes = mailbox.changes
        self.damage = mailbox.damage
        self._mailbox = mailbox
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Job] = deque()
        self._guard = threading.Lock()
        self._running = False
        self._turn = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many messages wait for the bot."""
        return self._mailbox.inbox.waiting

    @property
    def damaged(self) -> int:
        """See `Mailbox.damaged`."""
        return self._mailbox.damaged

    @property
    def braked(self) -> bool:
        """Whether a chat is."""
        return bool(self._mailbox.brakes.chats)

    @property
    def idle(self) -> bool:
        """Whether nothing is being done, or waits to be."""
        return not self._running

    def fault(self) -> str:
        """See `store.mail.MailFile.fault`: it looks at the files from outside."""
        return self._mailbox.fault()

    async def do(self, work: Callable[[Mailbox], Answer]) -> Answer:
        """Run ``work`` and return what it returns. Raises what it raises, and `MailClosed` when it was not begun before `close`.

        Whoever stops waiting does not stop the work.
        """
        if self._closed:
            raise _closed(self.user)
        future = self._queue(work)
        answer: Answer = await asyncio.shield(future)
        return answer

    def soon(self, work: Callable[[Mailbox], None]) -> None:
        """Run ``work`` when its turn comes; what it raises is logged. Nothing is done after `close`."""
        if not self._closed:
            self._queue(work).add_done_callback(_log_failure)

    async def close(self, last: Callable[[Mailbox], Answer]) -> Answer:
        """Finish what is being done, refuse what waits, do the ``last`` thing, and close the mailbox. May be called once."""
        self._closed = True
        with self._guard:
            refused, self._jobs = self._jobs, deque()
        for _work, future in refused:
            _settle(future, None, _closed(self.user))
        try:
            answer: Answer = await self._queue(last)
            return answer
        finally:
            await self._queue(lambda mailbox: mailbox.close())

    def _queue(self, work: Callable[[Mailbox], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._guard:
            self._jobs.append((work, future))
            begins, self._running, turn = not self._running, True, self._turn
        if begins:
            try:
                self._threads.submit(self._work, turn).add_done_callback(partial(self._worked, turn))
            except RuntimeError as error:  # no further thread can be started
                self._fail(turn, error)
        return future

    def _worked(self, turn: int, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            self._fail(turn, error)

    def _fail(self, turn: int, error: BaseException) -> None:
        """Nothing works on the jobs: whoever waits is told. The executor may still begin with that turn, and is not let then."""
        with self._guard:
            if turn != self._turn:
                return
            refused, self._jobs = self._jobs, deque()
            self._turn += 1
            self._running = False
        for _work, future in refused:
            self._tell_waiting(future, None, _no_thread(self.user, error))

    def _work(self, turn: int) -> None:
        while True:
            with self._guard:
                if turn != self._turn:
                    return
                if not self._jobs:
                    self._running = False
                    return
                work, future = self._jobs.popleft()
            answer, error = None, None
            try:
                answer = work(self._mailbox)
            except BaseException as caught:  # noqa: BLE001 - whoever asked for it is told
                error = caught
            if not self._closed:  # else it may be what was done
                self.changes, self.damage = self._mailbox.changes, self._mailbox.damage
            self._tell_waiting(future, answer, error)

    def _tell_waiting(self, future: asyncio.Future[Any], answer: object, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, future, answer, error)
        except RuntimeError:  # the event loop is closed: nobody waits any more
            return


def _settle(future: asyncio.Future[Any], answer: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)
        future.exception()  # whoever waited may be gone, with the whole event loop: that is no error that nobody has seen


def _log_failure(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None and not isinstance(error, MailClosed):
        logger.error("work on a session's mail failed", exc_info=error)


def _no_thread(user: str, error: BaseException) -> StoreError:
    return StoreError(_("the mail of {user} can't be worked on: {error}").format(user=user, error=error))


def _closed(user: str) -> MailClosed:
    return MailClosed(_("the mail of {user} is closed").format(user=user))
