"""What a worker asks of the operating system for itself. Imported by the worker: light."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from wasess.store.names import RUNNING_NAME

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def mark_running(mode: str) -> bool:
    """Mark that a worker runs; False when a predecessor's mark is still there, and its device is to be used."""
    try:
        os.close(os.open(RUNNING_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError:
        return mode == "pair"
    return True


def terminated_by(number: int) -> int:
    """A descriptor that becomes readable on a signal. Go's threads may catch it; none of them wakes Python's main thread."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(number, lambda *_: None)
    return readable


def limit_files(wanted: int) -> None:
    """At most so many descriptors, for good: what leaks them ends this session instead of the machine."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def control_process(option: int, value: int) -> None:
    """prctl(2) with one of the options above."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
