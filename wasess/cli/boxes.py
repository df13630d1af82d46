"""The inboxes of one or all sessions of a home, read beside the manager that fills them: messages in the order in which they came.

A box is looked at again only when somebody has changed its file, which SQLite tells at once (``PRAGMA data_version``). What can't be told
apart is read twice rather than never: a session that was renamed while it was followed begins anew, unless its reader has a name.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING

from wasess.cli.letterbox import open_mail
from wasess.delivery.rules import for_bots
from wasess.errors import StoreBusy, StoreError
from wasess.store.inbox import Inbox
from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasess.store.inbox import Item
    from wasess.store.mail import MailFile
    from wasess.store.sessions import Session

    Complain = Callable[[str, Exception], None]

COMPLAINS_AFTER = 2
BATCH = 100


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins: behind ``position``; None: where the ``reader`` has come. What came before ``moment`` (Unix time) is left out.

    ``reader`` is a name, empty for nobody whose position would be kept. ``patience``: seconds from its coming in which a message whose file is
    being fetched is waited for.
    """

    position: int | None = None
    moment: float = 0.0
    reader: str = ""
    patience: float = 0.0


class Box:
    """The inbox of one session.

    ``given``: the position of the last message that was handed out; ``done``: up to where the reader needs none again; ``noted``: what of
    that is on the disk.
    """

    def __init__(self, session: Session, start: Start) -> None:
        self.user = session.user
        self.given = self.done = self.noted = 0
        self._session = session
        self._start = start
        self._mail: MailFile | None = None
        self._inbox: Inbox | None = None
        self._file: tuple[int, int] | None = None
        self._seen = 0
        self._at = 0
        self._begun = False
        self._held = False

    def look(self) -> bool:
        """Whether there may be something new. Raises `errors.StoreError`."""
        file = self._identity()
        if file is None or file != self._file:
            self.close()
            self._file = None
        if file is not None and self._mail is None:
            self._open(file)
        if self._mail is None:
            return False
        (version,) = self._mail.execute("PRAGMA data_version").fetchone()
        changed = bool(version != self._seen) or self._held
        self._seen = version
        return changed

    def items(self) -> Iterator[Item]:
        """What has not been read yet, in order. Raises as `look`."""
        self._held = False
        while self._inbox is not None and (batch := self._inbox.items(after=self._at, limit=BATCH)):
            for item in batch:
                if self._is_fetched_soon(item):
                    self._held = True
                    return
                self._at = item.seq
                if item.received_at >= self._start.moment:
                    yield item

    def _is_fetched_soon(self, item: Item) -> bool:
        """Whether its file is on its way: without a bot a manager fetches it at once."""
        soon = item.received_at > time.time() - self._start.patience
        return soon and item.state == "unasked" and bool(item.raw) and for_bots(item.message)

    def note(self, now: float) -> None:
        """Bring to the disk how far the reader has come. Raises as `look`."""
        if self._mail is not None and self._inbox is not None and self.done > self.noted:
            with self._mail.transaction():
                self._inbox.advance(self._start.reader, self.done, now)
            self.noted = self.done

    def close(self) -> None:
        """Close the file; it is opened again when it is looked at."""
        if self._mail is not None:
            self._mail.close()
        self._mail, self._inbox = None, None

    def _open(self, file: tuple[int, int]) -> None:
        self._mail = open_mail(self._session)
        if self._mail is None:
            return
        self._inbox, self._seen = Inbox(self._mail), 0
        if file == self._file:  # it was closed because it could not be read
            return
        self._file = file
        self.given = self.done = self.noted = self._inbox.position(self._start.reader) if self._start.reader else 0
        chosen = self._start.position is not None or self._start.moment
        self._at = self.noted if self._begun or not chosen else self._start.position or 0
        self._begun = True

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = (self._session.folder / MAIL_NAME).lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class Boxes:
    """Those of all the sessions that ``sessions`` tells, each time anew.

    ``complain`` is told once of a box that can't be read twice in a row, and it is tried again each time; without it, that is raised. What is just
    being removed is overwritten first, and makes no sense for a moment.
    """

    def __init__(self, sessions: Callable[[], list[Session]], start: Start, complain: Complain | None) -> None:
        self.boxes: dict[str, Box] = {}
        self._sessions = sessions
        self._start = start
        self._complain = complain
        self._unreadable: Counter[str] = Counter()

    def new(self) -> Iterator[tuple[Box, Item]]:
        """What has come since the last time, the oldest first, and within a session always in its order. Raises as `Box.look`."""
        self._follow_sessions()
        changed = [box for box in self.boxes.values() if self._is_changed(box)]
        yield from merge(*map(self._of, changed), key=lambda pair: pair[1].received_at)

    def note(self, now: float) -> None:
        """Bring to the disk how far the reader has come; what can't be noted now is noted the next time. Raises as `Box.look`."""
        for box in self.boxes.values():
            try:
                box.note(now)
            except StoreBusy:
                continue
            except StoreError as error:
                self._pass_over(box, error)

    def close(self) -> None:
        """Close all files."""
        for box in self.boxes.values():
            box.close()

    def _follow_sessions(self) -> None:
        sessions = {session.user: session for session in self._sessions()}
        for user in self.boxes.keys() - sessions.keys():
            self.boxes.pop(user).close()
        for user in sessions.keys() - self.boxes.keys():
            self.boxes[user] = Box(sessions[user], self._start)

    def _is_changed(self, box: Box) -> bool:
        try:
            changed = box.look()
        except StoreError as error:
            self._pass_over(box, error)
            return False
        self._unreadable.pop(box.user, None)
        return changed

    def _of(self, box: Box) -> Iterator[tuple[Box, Item]]:
        try:
            for item in box.items():
                yield box, item
        except StoreError as error:
            self._pass_over(box, error)

    def _pass_over(self, box: Box, error: StoreError) -> None:
        if self._complain is None:
            raise error
        box.close()
        self._unreadable[box.user] += 1
        if self._unreadable[box.user] == COMPLAINS_AFTER:
            self._complain(box.user, error)
