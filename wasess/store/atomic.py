"""Replaces a file so that a reader, or a crash at any instant, meets the old content or the new one and nothing between."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ABANDONED_AFTER = 60.0


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` (mode 0600) with ``data``.

    With ``durable`` the new content also survives a power cut once this returns; without, only the death of the process.
    Temporary files of killed writers, older than a minute, are removed.
    """
    temporary = path.parent / f".{path.name}.{threading.get_native_id()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)
    _remove_abandoned(path)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` (created, replaced, removed) survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    limit = time.time() - ABANDONED_AFTER
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(FileNotFoundError):
            if temporary.stat().st_mtime < limit:
                temporary.unlink()
