"""A wasess command as a process of its own, and the processes below it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.drill import told
from wasess.drill.row import Broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.drill.told import Told

LOOKS_EVERY = 0.01
GONE_WITHIN = 5.0
LONGEST_LINE = 1 << 20
PR_SET_CHILD_SUBREAPER = 36


async def until(condition: Callable[[], object], what: str | Callable[[], str], seconds: float) -> float:
    """Wait until a condition holds; return how many seconds that took. Raises `Broken` with ``what`` did not happen."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise Broken(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(LOOKS_EVERY)
    return time.monotonic() - began


class Command:
    """A running wasess command. ``log``: its lines on stderr; ``out``: those on stdout; ``told``: those of them that are events."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self.began = time.time()
        self.log: list[str] = []
        self.out: list[str] = []
        self.told: list[Told] = []
        self._reading = [asyncio.create_task(self._read_log()), asyncio.create_task(self._read_out())]

    @classmethod
    async def start(cls, *words: str, folder: Path, environment: dict[str, str], under: tuple[str, ...] = ()) -> Command:
        """Start ``UNDER python WORDS`` in a session of its own: Ctrl+C is for the drill, which ends what it has started."""
        process = await asyncio.create_subprocess_exec(
            *(*under, sys.executable, *words),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    @property
    def last_words(self) -> str:
        """Its last line on stderr, or on stdout; advice is none."""
        said = [line for line in self.log if not line.startswith("  next:")]
        return (said or self.out or ["it said nothing"])[-1].strip()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def over(self, seconds: float) -> int:
        """Wait for its end; return the exit code (negative: a signal)."""
        await until(lambda: not self.alive, lambda: f"it ended; it said: {self.last_words}", seconds)
        await asyncio.wait(self._reading, timeout=1)
        return self.process.returncode or 0

    async def close(self) -> None:
        """End it and everything below it, now."""
        below = family(self.pid)
        for pid in (self.pid, *below):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(Broken):
            await until(lambda: not self.alive and not living(below), "the end", GONE_WITHIN)
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _read_log(self) -> None:
        assert self.process.stderr  # noqa: S101 - asked for above
        while line := await self.process.stderr.readline():
            self.log.append(line.decode(errors="replace").rstrip("\n"))

    async def _read_out(self) -> None:
        assert self.process.stdout  # noqa: S101 - asked for above
        while line := await self.process.stdout.readline():
            self.out.append(line.decode(errors="replace").rstrip("\n"))
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self.told.append(told.read(self.out[-1]))


def _state_and_parent(entry: Path) -> tuple[str, str]:
    """Of a process or a thread, from its folder in /proc (proc(5), stat)."""
    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    return state, parent


def parents() -> dict[int, int]:
    """The parent of every living process; a zombie does not live."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = _state_and_parent(entry)
                if state not in "ZX":
                    found[int(entry.name)] = int(parent)
    return found


def stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped, or it is gone. A SIGSTOP reaches one thread, and the others when that one has its turn."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return all(_state_and_parent(thread)[0] in "TtZX" for thread in threads)
    except OSError:
        return not Path(f"/proc/{pid}").exists()


def family(pid: int) -> set[int]:
    """The living descendants of a process."""
    children: dict[int, list[int]] = {}
    for process, parent in parents().items():
        children.setdefault(parent, []).append(process)
    found: set[int] = set()
    unseen = [pid]
    while unseen:
        unseen += (more := children.get(unseen.pop(), []))
        found.update(more)
    return found


def living(pids: set[int]) -> set[int]:
    """Those of the processes that still live."""
    return pids & parents().keys()


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind, so that it can be found and ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def end_descendants() -> None:
    """Kill everything below this process, and bury it."""
    deadline = time.monotonic() + GONE_WITHIN
    while (left := family(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(LOOKS_EVERY)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # noqa: ASYNC222 - it does not wait
            pass
