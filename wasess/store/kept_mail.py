"""Moves an ``inbox.db`` that can't be used out of the way, into the session's folder ``kept``; nothing of it is changed or lost."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wasess.errors import StoreError
from wasess.store.guard import FOLDER_MODE
from wasess.store.names import KEPT_NAME, database_files
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

KEPT_ENDING = "-inbox"


def kept_mail(folder: Path) -> list[Path]:
    """The folders of the damaged files that were set aside, and are still there."""
    return sorted((folder / KEPT_NAME).glob(f"*{KEPT_ENDING}"))


def set_aside(folder: Path, name: str) -> Path:
    """Move the database of this name, and what SQLite keeps beside it; return where it is now. Raises `errors.StoreError`."""
    kept = folder / KEPT_NAME / f"{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%S.%fZ}{KEPT_ENDING}"
    try:
        kept.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        kept.mkdir(mode=FOLDER_MODE)
        for file in database_files(name):
            with suppress(FileNotFoundError):
                (folder / file).rename(kept / file)
    except OSError as error:
        raise StoreError(
            _("The messages of {user!r} are damaged, and can't be moved to {folder}: {problem}.").format(
                user=folder.name, folder=kept, problem=error.strerror
            ),
            hint=f"wasess diagnose {folder.name}",
        ) from error
    return kept
