"""What is called the same in more than one place, of the files in a session's folder. Imported by the worker: light."""

from __future__ import annotations

RUNNING_NAME = "running"
"""There from the start of a worker until it has handed over everything that it has decrypted."""

KEPT_NAME = "kept"
"""The folder of what was set aside."""

OUTGOING_NAME = "outgoing"
"""The folder of the copies of the files that are to be sent."""

JOURNALS = ("-wal", "-journal")
"""What SQLite adds to the name of a database for what is not in it yet, or is to be taken back."""

SIDE_FILES = (*JOURNALS, "-shm")
"""The same for all files that belong to it."""


def database_files(name: str) -> tuple[str, ...]:
    """A database by its name, and the files that belong to it."""
    return (name, *(name + suffix for suffix in SIDE_FILES))
