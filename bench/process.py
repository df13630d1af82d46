"""What the kernel says about a process: memory, CPU time, children."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.figure import BenchFailed

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MEBIBYTE = 1 << 20
# Memory that moves by less than this is at rest: Go and Python both still touch a page now and then.
STEADY = 0.01
STEADY_WITHIN = 60.0
LOOKS_EVERY = 0.25


def children(pid: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
            except OSError:
                continue  # gone meanwhile
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far, to 10 ms."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MiB: all resident pages, and these with shared ones divided among those who share them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError as error:
        raise BenchFailed("only root may look at a worker's memory (it made itself undumpable)") from error
    kibibytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines[1:])}
    return kibibytes["Rss"] / 1024, kibibytes["Pss"] / 1024


def resident(pid: int) -> float:
    """RSS in MiB, for everybody to read. Raises `OSError` when it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEBIBYTE


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status. Raises `OSError` when it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_files(pid: int) -> int:
    """How many descriptors it has. Raises `PermissionError` for a worker unless we are root, another `OSError` when it is gone."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a Path for each entry would cost more than the count


def runs(pid: int, word: str) -> bool:
    """Whether its command line holds this word."""
    try:
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def at_rest(pids: list[int], seconds: float) -> tuple[dict[int, tuple[float, float]], dict[int, float]]:
    """Wait until the PSS of these processes has been steady for ``seconds``.

    Returns the memory of each (as `memory`), and the share of a core each used in that time (0.01 is one percent). Raises `BenchFailed`.
    """
    deadline = time.monotonic() + STEADY_WITHIN
    base, since, used = _total(pids), time.monotonic(), {pid: cpu_seconds(pid) for pid in pids}
    while time.monotonic() - since < seconds:
        if time.monotonic() > deadline:
            raise BenchFailed(f"the memory did not come to rest within {STEADY_WITHIN:.0f} s")
        time.sleep(min(LOOKS_EVERY, seconds))
        now = _total(pids)
        if abs(now - base) > STEADY * base:
            base, since, used = now, time.monotonic(), {pid: cpu_seconds(pid) for pid in pids}
    passed = time.monotonic() - since
    return {pid: memory(pid) for pid in pids}, {pid: (cpu_seconds(pid) - used[pid]) / passed for pid in pids}


def _total(pids: list[int]) -> float:
    return sum(memory(pid)[1] for pid in pids)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
