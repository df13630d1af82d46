"""A disk that loses its power: an ext4 of its own on a loop device, whose image is what a drive has got by now.

What a program has written, and the kernel not yet, is in memory alone and not in the image. So a copy of the image is the disk after a power cut:
mounted, with its journal played back, it holds what was brought to it (fsync, fdatasync, the journal's own commits) and nothing else. All
of it is the kernel's own work, memory-mapped files and renames as well. Nothing is written back by time (commit=300).

It can't show a drive that breaks its word about a flush, nor one that reorders what it holds in its cache between two flushes: whatever the
kernel has handed to the drive counts as written. Needs root, loop devices and mkfs.ext4.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.figure import BenchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

MEBIBYTES = 192
NO_LAZY_WORK = "lazy_itable_init=0,lazy_journal_init=0"  # which would go on writing to the image later
AS_LITTLE_AS_POSSIBLE = "loop,data=writeback,commit=300,noauto_da_alloc,noatime"
PATIENCE = 60.0
SYNCED, FORGOTTEN = "synced", "not-synced"


class LossyDisk:
    """Takes a folder over: as a context manager, the folder's content is on the disk until the block is left, and gone then."""

    def __init__(self, folder: Path, work: Path) -> None:
        """``folder`` is put on the disk; ``work`` is an empty folder on another one."""
        self._folder = folder
        self._work = work
        self._disk = work / "disk"
        self._image = work / "image"

    def __enter__(self) -> Self:
        original = self._work / "original"
        self._disk.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(MEBIBYTES << 20)
        _run("mkfs.ext4", "-q", "-F", "-E", NO_LAZY_WORK, str(self._image))
        self._folder.rename(original)
        self._folder.mkdir(mode=0o700)
        try:
            self._mount(bind=False)
            shutil.copytree(original, self._disk / "content", symlinks=True)
            _run("sync", "--file-system", str(self._disk))
            _run("mount", "--bind", str(self._disk / "content"), str(self._folder))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for place in (self._folder, self._disk):
            with suppress(BenchFailed):  # it may not be mounted
                _run("umount", "--lazy", str(place))

    def mark(self) -> None:
        """Write something that is synced, and something that is not: the next `cut` is to tell them apart."""
        for name in (SYNCED, FORGOTTEN):
            (self._disk / name).unlink(missing_ok=True)
        descriptor = os.open(self._disk, os.O_RDONLY)
        os.fsync(descriptor)
        with (self._disk / SYNCED).open("w") as file:
            file.write(SYNCED)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(descriptor)
        os.close(descriptor)
        (self._disk / FORGOTTEN).write_text(FORGOTTEN)

    def cut(self) -> bool:
        """Lose the power: whoever had files open must be dead. Returns whether what was `mark`ed is as it should be."""
        after = self._image.with_suffix(".after")
        _run("cp", "--sparse=always", str(self._image), str(after))
        for place in (self._folder, self._disk):
            _run("umount", str(place))  # the last one writes the rest to the old image
        after.replace(self._image)
        self._mount(bind=True)
        return (self._disk / SYNCED).read_text() == SYNCED and not self._has(FORGOTTEN)

    def _has(self, name: str) -> bool:
        file = self._disk / name
        return file.exists() and file.read_text() == name

    def _mount(self, *, bind: bool) -> None:
        _run("mount", "-o", AS_LITTLE_AS_POSSIBLE, str(self._image), str(self._disk))
        if bind:
            _run("mount", "--bind", str(self._disk / "content"), str(self._folder))


def obstacle(work: Path) -> str:
    """Why there can be no such disk here; empty when there can."""
    if os.geteuid() != 0:
        return "only root may mount a disk"
    folder = work / "content"
    folder.mkdir(parents=True)
    try:
        with LossyDisk(folder, work / "try") as disk:
            disk.mark()
            return "" if disk.cut() else "the disk does not forget what was not synced"
    except (BenchFailed, OSError) as error:
        return f"no disk can be mounted: {error}"


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BenchFailed(f"{_named(command)}: {done.stderr.strip() or done.returncode}")


def _named(command: Sequence[str]) -> str:
    return " ".join([command[0], Path(command[-1]).name])
