"""Looks at a process of this machine from outside: /proc/PID/stat and statm are for everybody."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasess.store.lock import Holder

STOPPED = frozenset({"T", "t"})
ENDED = frozenset({"Z", "X"})
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Glance:
    """``state``: the letter of proc(5). ``memory``: bytes that are resident."""

    state: str
    memory: int

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger holds it."""
        return self.state in STOPPED


def glance(pid: int) -> Glance | None:
    """None when there is no such process (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    state = stat.rpartition(")")[2].split()[0]
    return None if state in ENDED else Glance(state, pages * _PAGE)


def holder_facts(holder: Holder | None) -> dict[str, Any] | None:
    """Who holds a lock, as JSON."""
    if holder is None:
        return None
    return {"pid": holder.pid or None, "host": holder.host, "purpose": holder.purpose, "since": holder.since or None}
