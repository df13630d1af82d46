"""What a session had before a pairing, so that a failed pairing leaves exactly that behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.errors import AlreadyLinked, DeviceDamaged
from wasess.store.device import DEVICE_NAME
from wasess.store.names import database_files
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.records import SessionRecord
    from wasess.store.sessions import Session

LETS_GO_WITHIN = 2.0  # how long a worker that was told to end may still hold the lock
DEVICE_FILES = database_files(DEVICE_NAME)


@dataclass(frozen=True, slots=True)
class Before:
    """``kept``: the folder the old credentials were moved to, None when there were none."""

    session: Session
    existed: bool
    kept: Path | None
    record: SessionRecord | None

    @classmethod
    def make_room(cls, session: Session, *, force: bool) -> Before:
        """Prepare a session for a pairing. With ``force``, or when WhatsApp has unlinked it, its old credentials are set aside.

        Raises `AlreadyLinked` for good credentials without ``force``, `Locked` when another process uses the session, and what
        reading the session raises. Then nothing was changed.
        """
        existed = session.exists()
        session.create()
        with session.lock("connect"):
            record = session.record.load()
            reason = "relink" if force else "unlinked" if _unlinked(session) else ""
            return cls(session, existed, session.set_aside(reason) if reason else None, record)

    def put_back(self) -> None:
        """Undo it all: the old credentials are back, and a session that was new is gone."""
        with self.session.lock("connect", LETS_GO_WITHIN):
            if not self.existed:
                self.session.remove()
                return
            for name in DEVICE_FILES:
                (self.session.folder / name).unlink(missing_ok=True)
            if not self.kept:
                return
            for name in reversed(DEVICE_FILES):  # a journal must be there before its database is
                with suppress(FileNotFoundError):
                    (self.kept / name).rename(self.session.folder / name)
            self.kept.rmdir()


def _unlinked(session: Session) -> bool:
    """Whether the credentials in the way are those of a device that WhatsApp has unlinked. Raises when they are good, or damaged."""
    try:
        found = session.credentials()
    except DeviceDamaged as error:
        raise DeviceDamaged(
            str(error), hint=_("to link again, keeping the damaged file aside: wasess connect {user} --force").format(user=session.user)
        ) from error
    if found.device:
        sentence = _("{user} is linked already (phone {phone})").format(user=session.user, phone=shortened(found.device.phone))
        raise AlreadyLinked(
            sentence,
            hint=_("wasess serve; to link again, keeping the old credentials: wasess connect {user} --force").format(user=session.user),
        )
    return found.unlinked


def shortened(phone: str) -> str:
    """A phone number nobody can call: ``491701234567`` becomes ``49***67``."""
    return f"{phone[:2]}***{phone[-2:]}" if len(phone) > 4 else "***"
