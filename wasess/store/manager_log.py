"""The log that `wasess serve` keeps in a home, ``.log/serve.ndjson``: its names, and how it is read while it is written.

One JSON object a line; when the file is full it becomes ``serve.ndjson.1``, and the oldest goes. No user can be called ``.log``. The
fields of a line are those of `supervisor.report.fields_of`. Who writes it is `supervisor.log_file`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from wasess.store.guard import guard_folder, open_guarded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG_FOLDER = ".log"
LOG_NAME = "serve.ndjson"
LOG_BYTES = 2 * 2**20
OLD_LOGS = 3

Entry = dict[str, Any]


def log_path(home: Path) -> Path:
    """The file that is written now, whether or not it exists."""
    return home / LOG_FOLDER / LOG_NAME


def read_log(home: Path) -> Iterator[Entry]:
    """The lines of a home's log, the oldest first. Raises as `LogReader`."""
    with LogReader(home) as reader:
        yield from reader.entries()


class LogReader:
    """Reads the log of a home from its oldest line on, as a context manager. Lines that are no JSON object, as after a crash, are passed over.

    Raises `UnsafeHome` for a file or folder that is not as it must be.
    """

    def __init__(self, home: Path) -> None:
        self._path = log_path(home)
        self._file: BinaryIO | None = None
        self._half = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def entries(self) -> Iterator[Entry]:
        """All that is there by now. Called again, it goes on where it was, also when files have changed their names meanwhile."""
        while True:
            if self._file:
                yield from self._read(self._file)
            following = self._following()
            if following is None:
                return
            if self._file:  # what was written before it was put aside
                yield from self._read(self._file)
            self._close()
            self._file = following

    def _close(self) -> None:
        if self._file:
            self._file.close()
        self._file, self._half = None, b""

    def _read(self, file: BinaryIO) -> Iterator[Entry]:
        for line in file:
            self._half += line
            if line.endswith(b"\n"):
                entry, self._half = _entry(self._half), b""
                if entry is not None:
                    yield entry

    def _following(self) -> BinaryIO | None:
        """The file after the one being read, opened; None while that is the newest."""
        files = _files(self._path)
        if self._file:
            own = os.fstat(self._file.fileno()).st_ino
            inodes = [inode for _, inode in files]
            files = files[: inodes.index(own)] if own in inodes else files
        return _open(*files[-1]) if files else None


def _files(newest: Path) -> list[tuple[Path, int]]:
    """Path and inode of each file, the newest first; one that is renamed at this moment comes once."""
    found: dict[int, Path] = {}
    for path in (newest, *(newest.with_name(f"{newest.name}.{number}") for number in range(1, OLD_LOGS + 1))):
        try:
            found.setdefault(path.lstat().st_ino, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return [(path, inode) for inode, path in found.items()]


def _open(path: Path, inode: int) -> BinaryIO | None:
    """None when another file has got this name meanwhile: the next look finds it."""
    guard_folder(path.parent, tighten=False)
    with open_guarded(path) as descriptor:
        if descriptor is None or os.fstat(descriptor).st_ino != inode:
            return None
        return os.fdopen(os.dup(descriptor), "rb")


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
