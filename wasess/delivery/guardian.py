"""The guardian of a bot's process: starts it, and ends it with all that it has started. Run by `delivery.launch`, by its path.

``python -I -S guardian.py CHANNEL MEMORY FILES COMMAND...``: CHANNEL is an inherited socket, MEMORY the bytes the bot may allocate (0: any
number), FILES the soft limit of the files that it may have open (0: the manager's).

It writes one line to the channel: ``0`` once the command runs, else the errno that says why it does not. From then on it waits:

* a byte on the channel: everything is killed at once;
* the end of the channel, which is how a manager that was killed looks: everything is killed after `ALONE` seconds;
* the bot has ended: what it has started gets `LINGERS` seconds.

It ends as the bot did: with its exit code, or by its signal. Orphans of the bot become its children (PR_SET_CHILD_SUBREAPER), so what has left
the process group ends too; it kills nothing but its own children, whose numbers nobody else can have. A parent-death signal alone would not do:
it reaches the bot only, is lost at a setuid program, and leaves a shell's `sleep` behind.

A process of its own, because the manager may be gone, and a small one: it imports nothing of wasess.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

ALONE = 1.0
LINGERS = 1.0
DIES_WITHIN = 2.0  # after SIGKILL; what then is left belongs to another user
KILLS_AGAIN_AFTER = 0.002
NOT_STARTED = 127
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# What Python or the guardian ignores; a bot gets what a process usually has.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class Guardian:
    """Of one command. ``channel``: the descriptor of the manager's socket."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._control = ctypes.CDLL(None).prctl
        self._bot = 0
        self._status: int | None = None  # of the bot, as waitpid gives it
        self._poll = select.poll()

    def guard(self, command: list[str], memory: int, files: int) -> NoReturn:
        """Start it, stay with it, end as it does."""
        os.set_inheritable(self._channel, False)  # noqa: FBT003 - the function's own signature
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self._control(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        ended = _woken_by(signal.SIGCHLD)
        problem = self._start(command, memory, files)
        _let_go_of_pipes()
        with suppress(OSError):
            os.write(self._channel, b"%d\n" % problem)
        self._poll.register(ended, select.POLLIN)
        self._poll.register(self._channel, select.POLLIN)
        self._stay(ended)
        _end_as(self._status)

    def _start(self, command: list[str], memory: int, files: int) -> int:
        """The errno that says why it was not started; 0."""
        readable, writable = os.pipe()
        guardian = os.getpid()
        self._bot = os.fork()
        if self._bot == 0:
            try:
                self._become(command, memory, files, guardian)
            except OSError as error:
                os.write(writable, b"%d" % (error.errno or 0))
            finally:
                os._exit(NOT_STARTED)
        os.close(writable)
        answer = os.read(readable, 16)  # nothing: the pipe was closed by the command's start
        os.close(readable)
        return int(answer or 0)

    def _become(self, command: list[str], memory: int, files: int, guardian: int) -> None:
        self._control(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian:
            os._exit(NOT_STARTED)
        signal.set_wakeup_fd(-1)
        for number in (*IGNORED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if memory:
            most = resource.getrlimit(resource.RLIMIT_DATA)[1]
            limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        if files:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (files if most == resource.RLIM_INFINITY else min(files, most), most))
        os.execv(command[0], command)  # noqa: S606 - without a shell is what is wanted

    def _stay(self, ended: int) -> None:
        """Return when nothing is left."""
        until = math.inf
        while self._reap():
            now = time.monotonic()
            if self._status is not None:
                until = min(until, now + LINGERS)
            if now >= until:
                self._kill_all()
                return
            for descriptor, _happened in self._poll.poll(None if until == math.inf else (until - now) * 1000 + 1):
                if descriptor == ended:
                    os.read(ended, 4096)
                else:
                    self._poll.unregister(self._channel)
                    until = min(until, now + (0 if self._told() else ALONE))

    def _told(self) -> bool:
        """Whether the manager has said something before it closed the channel."""
        try:
            return bool(os.read(self._channel, 1))
        except OSError:
            return False

    def _reap(self) -> bool:
        """Take note of those that have ended; False when there is no child any more."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                if pid == self._bot:
                    self._status = status
        return False

    def _kill_all(self) -> None:
        """The children, then theirs, which are ours then. Bounded: another user's (sudo's) can't be killed."""
        deadline = time.monotonic() + DIES_WITHIN
        while self._reap() and time.monotonic() < deadline:
            for pid in _children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(KILLS_AGAIN_AFTER)


def _woken_by(number: int) -> int:
    """A descriptor that becomes readable on a signal."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(number, lambda *_: None)
    return readable


def _let_go_of_pipes() -> None:
    """They are the bot's: who reads from it, or from our stderr, sees their end when it is the bot's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _children() -> Iterator[int]:
    """The processes whose parent we are."""
    ours = str(os.getpid())
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not loaded here
        if name.isdecimal():
            with suppress(OSError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib is not loaded here
                    fields = file.read().rpartition(b")")[2].split()
                if fields[1].decode() == ours:
                    yield int(name)


def _end_as(status: int | None) -> NoReturn:
    """End as the bot has; one that could not be killed leaves as if it had been."""
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    os._exit(128 - code)


if __name__ == "__main__":
    Guardian(int(sys.argv[1])).guard(sys.argv[4:], int(sys.argv[2]), int(sys.argv[3]))
