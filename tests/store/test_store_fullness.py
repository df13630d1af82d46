"""A quota that is used up (EDQUOT) is what a full disk (ENOSPC) is, wherever somebody asks."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from wasess.link.suspicion import Suspicion
from wasess.store import device, mail
from wasess.store.fullness import means_full, no_room

if TYPE_CHECKING:
    from pathlib import Path

NO_QUOTA = [errno.ENOSPC, errno.EDQUOT]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refused)


def io_error(code: int = sqlite3.SQLITE_IOERR_WRITE) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("number", NO_QUOTA)
def test_a_used_up_quota_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    (tmp_path / "alice").mkdir()
    path = tmp_path / "alice" / "inbox.db"
    (path.parent / "device.db").touch()
    monkeypatch.chdir(path.parent)
    assert not no_room(path.parent, 4096)
    assert type(mail._explained(path, io_error())).__name__ == "StoreError"
    assert Suspicion("device.db").confirm("disk I/O error") == "database"
    refuse(monkeypatch, number)
    assert no_room(path.parent, 4096)
    assert type(mail._explained(path, io_error())).__name__ == "StoreFull"
    assert isinstance(device._explained(path.with_name("device.db"), io_error(), may_write=True), device.NoRoom)
    assert Suspicion("device.db").confirm("disk I/O error") == "disk-full"


def test_a_disk_that_fails_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch, errno.EIO)
    assert not no_room(tmp_path, 4096)
    assert not means_full(sqlite3.SQLITE_IOERR, tmp_path)
    assert not means_full(sqlite3.SQLITE_CORRUPT, tmp_path)
    assert means_full(sqlite3.SQLITE_FULL, tmp_path)
