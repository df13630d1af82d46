"""Brings a session's mail to the disk, and deletes what need not be held any more: events in the spool, copies of files, old texts."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from wasess.errors import StoreError
from wasess.store import row_check
from wasess.store.mail import MailFile
from wasess.store.media import delete_media, media_files
from wasess.store.outbox import Outbox
from wasess.store.outgoing_files import sweep
from wasess.store.spool import release

if TYPE_CHECKING:
    from pathlib import Path


def settle(folder: Path, *, forgot: bool = False) -> bool:
    """Bring to the disk what the manager has committed, and take out of the spool what it need not hold any more.

    ``forgot``: something was deleted; wipe it out of the WAL, and delete the files that came with it. Beside the manager: for a thread. Returns whether all
    of that is done; what is not, is done by a later call.
    """
    with suppress(StoreError, OSError), closing(MailFile(folder, create=False)) as mail:
        place = row_check.place_in(mail)
        done = mail.checkpoint()
        if done and place:
            release(folder, place)
        done = sweep(folder, Outbox(mail).kept) and done
        if forgot:
            _delete_files(folder, mail)
            done = mail.wipe() and done
        return done
    return False


def _delete_files(folder: Path, mail: MailFile) -> None:
    """Delete the files whose messages have lost their texts; also those that a crash, or a file that was set aside, has left behind."""
    held = "SELECT 1 FROM messages WHERE seq = ? AND body IS NOT NULL"
    delete_media(folder, [found.name for found in media_files(folder) if not mail.rows(held, (found.position,))])
