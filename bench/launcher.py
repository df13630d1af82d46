"""Runs one command and prints its wall time (s), the peak of its RSS (KiB) and its exit code; what it writes on stdout is dropped.

A program of its own, and a small one: to the kernel, the peak of a process (wait4(2)) includes what its parent had in memory when it was
started. A bench that has linked 200 sessions would measure itself. Started as ``python -I -S``, this one has less than any command of ours.
"""

from __future__ import annotations

import os
import sys
import time


def main(command: list[str]) -> None:
    """Start it, wait for it, tell."""
    dropped = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=dropped)
    _, status, used = os.wait4(pid, 0)
    passed = time.perf_counter() - began
    print(passed, used.ru_maxrss, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
