"""Whether the files that a worker works with are still those at their names, in its working directory. Imported by the worker: light."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.link.process import mark_running
from wasess.store.names import RUNNING_NAME
from wasess.words import _

if TYPE_CHECKING:
    from wasess.link.spool_file import SpoolFile
    from wasess.store.lock import FileLock

SPOOL = "spool.log"
LOCK = "lock"


def fault(spool: SpoolFile, lock: FileLock) -> str:
    """What makes the worker leave: a spool that the next one would not read, a lock that would not keep others out. Empty: nothing.

    The mark that it runs is put back. Three system calls.
    """
    if words := spool.fault():
        return f"{SPOOL} {words}"
    if not lock.is_at(LOCK):
        return f"{LOCK} {_('was replaced by another file') if os.path.lexists(LOCK) else _('was removed')}"
    if not os.path.lexists(RUNNING_NAME):
        with suppress(OSError):
            mark_running("pair")
            os.write(2, f"WARN Files: {RUNNING_NAME} {_('was removed')}\n".encode())
    return ""
