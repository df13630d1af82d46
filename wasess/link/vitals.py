"""Looks at a worker's process from outside. /proc/PID/stat and statm are for everybody, even of a process that shows nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasess.link.port import Vitals

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def look(pid: int, vitals: Vitals) -> Vitals:
    """Return ``vitals`` with the process's state, CPU time and memory filled in; unchanged when there is nothing to see."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        statm = Path(f"/proc/{pid}/statm").read_bytes()
    except OSError:
        return vitals
    state, cpu = parse_stat(stat.decode(errors="replace"))
    return replace(vitals, state=state, cpu=cpu, memory=int(statm.split()[1]) * _PAGE)


def parse_stat(text: str) -> tuple[str, float]:
    """Return the state and the CPU seconds (user and system) in /proc/PID/stat; the name may hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return fields[0], (int(fields[11]) + int(fields[12])) / _TICKS
