"""Looks at a session's credentials before its process is started: whether there is a device to log in with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.errors import Locked, StoreError, WasessError
from wasess.store.device import NoRoom
from wasess.words import _, mark

if TYPE_CHECKING:
    from wasess.store.sessions import Session

NO_DEVICE = mark("there is no device in device.db")


def obstacle(session: Session) -> tuple[str, str]:
    """Why there is no device to log in with: the cause with which the process ends at once (`core.events.WorkerEnded`), and words.

    Both are empty when there is one. Good credentials are protected, and bad ones are put back where they can be: it writes to the disk.
    """
    try:
        found = session.protected_credentials()
        lost = "" if found.device else session.lost_credentials(found, session.record.load()) or NO_DEVICE
    except Locked:
        return "", ""  # a predecessor writes to it; the worker waits for that one, and never shows a QR anyway
    except WasessError as error:
        cause = "disk-full" if isinstance(error, NoRoom) else "database" if isinstance(error, StoreError) else "no-device"
        return cause, str(error)
    return ("no-device" if lost == NO_DEVICE else "database" if lost else ""), _(lost)
