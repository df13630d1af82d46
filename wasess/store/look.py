"""A look at device.db when the library says that it is lost: nothing that stands in a log is believed alone.

``python -c BOOTSTRAP FOLDER-OF-WASESS DATABASE WORDS DEVICE INODE`` is the look of a worker, from a process of its own: 0 when all is well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wasess.store.disk import Identity, changed, writable
from wasess.store.integrity import Unchecked, faults

_NO_TABLE = "no such table: "


def trouble(path: Path, before: Identity | None, words: str) -> str:
    """What is wrong with the database at ``path`` that was ``before``, of which SQLite has said ``words``; empty when it is well.

    Where it can't be told, that is a trouble, too. Up to a second; never in the worker's own process.
    """
    try:
        if before is not None and (what := changed(before, path)):
            return what
        if not writable(path):
            return "can't be written"
        found = faults(path, words.removeprefix(_NO_TABLE) if words.startswith(_NO_TABLE) else "")
    except (OSError, Unchecked) as error:
        return str(error) or type(error).__name__
    return found[0] if found else ""


def main(database: str, words: str, device: str, inode: str) -> int:
    """Look; return the process's exit code."""
    return 1 if trouble(Path(database), Identity(int(device), int(inode)), words) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
