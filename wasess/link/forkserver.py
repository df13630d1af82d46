"""The fork server: a small single-threaded process that forks workers. Run by `link.nursery`, never by hand.

It has imported everything a worker needs but the library (a loaded Go runtime can't be forked), so a worker starts in
milliseconds and shares these pages with its siblings. Its environment is the workers': Go reads what was given at exec.

On its socket (SOCK_SEQPACKET, one JSON object a message)::

    in:   {"number": N, "order": {...}} with three descriptors: control socket, wake eventfd, output pipe
    out:  {"number": N, "pid": P} with the child's pidfd, or {"number": N, "error": TEXT}
          {"pid": P, "status": S}            S as `os.waitstatus_to_exitcode` gives it: negative for a signal

When the host is gone (its end closes), the workers see the same on their own sockets and drain; the fork server leaves with the
last of them, after 4 s at most, killing what remains.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from wasess.link import worker
from wasess.words import language, speak

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE = 4.0
MESSAGE_SIZE = 65536
HANDED_OVER = 3  # descriptors with each request


def serve(channel: socket.socket) -> None:
    """Fork on request until the host is gone and the children are, too."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # the host decides when workers end
    children: set[int] = set()
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(readable, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == readable:
                os.read(readable, 4096)
                _reap(channel, children)
            elif not _obey(channel, children):
                _leave(children)
                return


def _obey(channel: socket.socket, children: set[int]) -> bool:
    """Carry out one request; False when the host is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_SIZE, 3, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return False
    if not data:
        return False
    request = json.loads(data)
    number, order = request["number"], request["order"]
    try:
        _require_all(descriptors)
        pid = os.fork()
        if pid == 0:
            _become(order, descriptors)
        children.add(pid)
        # Opened here, where an ended child stays until it is reaped: the host could come too late, and get another process.
        descriptors.append(os.pidfd_open(pid))
        _tell(channel, {"number": number, "pid": pid}, descriptors[-1:])
    except OSError as error:
        _tell(channel, {"number": number, "error": str(error)})
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return True


def _require_all(descriptors: list[int]) -> None:
    """The kernel drops those that this process has no room for."""
    if len(descriptors) != HANDED_OVER:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _become(order: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """The child's first steps: nothing of the server's stays open, nothing of its signals stays set."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control, wake, output = descriptors
        _close_all_but({0, 1, 2, control, wake, output})
        os.dup2(output, 1)  # the library prints there whatever it likes
        os.dup2(output, 2)
        os.close(output)
        worker.main(order, socket.socket(fileno=control), wake)
    except BaseException as error:  # noqa: BLE001 - there is nobody above; the host reads it as the last words
        os.write(2, f"fatal error: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(70)


def _close_all_but(kept: set[int]) -> None:
    low = 0
    for descriptor in sorted(kept):
        if low < descriptor:  # CPython 3.11 takes an empty range at 0 for everything there is
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _reap(channel: socket.socket, children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _tell(channel, {"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _leave(children: set[int]) -> None:
    deadline = time.monotonic() + GRACE
    while children:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        children.discard(pid)
        if time.monotonic() > deadline:
            for child in children:
                os.kill(child, signal.SIGKILL)
            return
        if not pid:
            time.sleep(0.02)


def _tell(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    try:
        socket.send_fds(channel, [json.dumps(message).encode()], descriptors)
    except OSError:
        return  # the host is gone: the next read says so


def main(descriptor: int, files: int = 0) -> None:
    """Serve on an inherited socket. ``files``: the soft limit of those that may be open (0: the host's), since a child closes all up to it."""
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.umask(0o077)
    speak(language(os.environ))
    gc.disable()  # a collection would write to pages that the workers share; nothing here makes cycles
    gc.freeze()
    with socket.socket(fileno=descriptor) as channel:
        serve(channel)


if __name__ == "__main__":
    main(int(sys.argv[1]))
