"""Memory and open files of the manager, the fork server and the workers, every few seconds: a CSV file, and how steeply they grow."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from bench.figure import BenchFailed, Figure
from bench.process import open_files, resident
from bench.slope import per_hour, percent_per_hour

if TYPE_CHECKING:
    from pathlib import Path

    from bench.manager import Manager

WARM_UP = 180.0
# A shorter run is printed but not judged: its slope is that of its noise, times sixty.
JUDGED_FROM = 1200.0
RSS_LIMIT_PERCENT = 5  # an hour; the soak promise of FAULTS.md 5.2, P9
FILES_LIMIT = 1  # an hour and process


@dataclass(frozen=True, slots=True)
class Sample:
    """Unix time; MiB; numbers of descriptors. None: not there at that moment, or (the workers' files) not for us to see."""

    at: float
    manager_rss: float
    manager_files: int
    fork_server_rss: float | None
    fork_server_files: int | None
    workers: int
    workers_rss: float
    workers_files: int | None
    load: float = 0.0  # of the whole machine, over a minute


class Sampler:
    """Takes samples of one manager and writes them to ``file`` as they come."""

    def __init__(self, manager: Manager, file: Path) -> None:
        self.samples: list[Sample] = []
        self.file = file
        self._manager = manager
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerow(field.name for field in fields(Sample))

    def take(self) -> Sample:
        """Take one. Raises `BenchFailed` when the manager has ended."""
        self._manager.check()
        sample = _sample(self._manager)
        self.samples.append(sample)
        with self.file.open("a", newline="") as stream:
            csv.writer(stream).writerow(astuple(sample))
        return sample


def figures(samples: list[Sample], sessions: int, command: str, source: Path) -> list[Figure]:
    """Level and slope of each, after a warm-up. The workers are summed up at those moments when none was missing."""
    began, ended = (samples[0].at, samples[-1].at) if samples else (0.0, 0.0)
    settled = [sample for sample in samples if sample.at - began >= min(WARM_UP, (ended - began) / 4)]
    judged = bool(settled) and ended - settled[0].at >= JUDGED_FROM
    complete = [sample for sample in settled if sample.workers == sessions]
    found: list[Figure] = []
    for name, those, count in (("manager", settled, 1), ("fork server", settled, 1), ("workers", complete, sessions)):
        word = name.replace(" ", "_")
        rss = _points(those, f"{word}_rss")
        files = _points(those, f"{word}_files")
        title = name if count == 1 else f"sum of {count} {name}"
        for what, points, unit, slope, slope_unit, limit in (
            ("RSS", rss, "MiB", percent_per_hour(rss), "%/h", RSS_LIMIT_PERCENT),
            ("open files", files, "", per_hour(files), "/h", FILES_LIMIT * count),
        ):
            if points:
                values = tuple(value for _, value in points)
                found.append(Figure(f"{title}: {what}", values, unit, command))
                found.append(
                    Figure(f"{title}: {what}, slope", (slope,), slope_unit, command, limit if judged else None, source=str(source))
                )
    return found


def _points(samples: list[Sample], name: str) -> list[tuple[float, float]]:
    return [(sample.at, value) for sample in samples if (value := getattr(sample, name)) is not None]


def _sample(manager: Manager) -> Sample:
    server: int | None = None
    workers: list[int] = []
    try:
        server = manager.fork_server
        workers = manager.workers
    except (BenchFailed, OSError):
        pass  # it was killed a moment ago
    measured = [found for pid in workers if (found := _measure(pid)) is not None]
    rss, files = (_measure(server) if server else None) or (None, None)
    hidden = any(count is None for _, count in measured)
    return Sample(
        time.time(),
        resident(manager.pid),
        open_files(manager.pid),
        rss,
        files,
        len(measured),
        sum(memory for memory, _ in measured),
        None if hidden else sum(count or 0 for _, count in measured),
        os.getloadavg()[0],
    )


def _measure(pid: int) -> tuple[float, int | None] | None:
    """MiB and descriptors, None for what only root may see; None for all when the process is gone."""
    try:
        memory = resident(pid)
        return memory, open_files(pid)
    except PermissionError:
        return resident(pid), None
    except OSError:
        return None
