"""The host's end of the fork server: starts it, asks it for workers, hears how they ended, starts another when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wasess
from wasess.errors import WorkerFailed
from wasess.link import wheel
from wasess.link.forkserver import MESSAGE_SIZE
from wasess.store.open_files import usual
from wasess.words import _, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasess.link.contract import Contract

# How long the fork server may take to leave once its socket is closed: its own grace, and a little.
LEAVES_WITHIN = 5.0
FORKS_WITHIN = 10.0
# From a worker's death to the fork server's word about it.
REAPS_WITHIN = 1.0

# Without site-packages and the user's startup files it starts in half the time; it needs the standard library and wasess alone.
BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from wasess.link.forkserver import main; main(*map(int, sys.argv[2:]))"

# What a worker sees of our environment. The library reads the proxy and certificate settings, and only when it talks to
# the real WhatsApp: under a contract the contract alone says where to go.
KEPT = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
KEPT_OUTSIDE_A_SANDBOX = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
# Measured with 12 idle workers: 12.3 MB PSS each, against 13.5 MB with Go's defaults on two cores, and no slower to come up.
# The memory limit is a soft one, for files: three of 64 MiB one after the other take 228 MiB at their peak, against 343 MiB without it.
GO_SETTINGS = {"GOMAXPROCS": "1", "GOGC": "50", "GOMEMLIMIT": "96MiB"}
# neonize marks every message to a person as sent by an AI bot unless told not to; a linked device of a person does not.
LIBRARY_SETTINGS = {"NEONIZE_BOT_TAG": "off"}


def environment(ours: Mapping[str, str], contract: Contract | None) -> dict[str, str]:
    """The workers' environment, complete at exec: Go reads nothing that is set later. They speak our language."""
    kept = KEPT if contract else (*KEPT, *KEPT_OUTSIDE_A_SANDBOX)
    found = {name: ours[name] for name in kept if name in ours}
    if contract:
        found["SSL_CERT_FILE"] = str(contract.ca_file)
    return told(found) | GO_SETTINGS | LIBRARY_SETTINGS


class Child:
    """A forked worker. ``exited`` holds its exit code (negative: a signal), None when the fork server did not live to say it.

    The pidfd says that the process is gone and kills it whatever happens to the fork server, and never hits another process.
    """

    def __init__(self, nursery: Nursery, pid: int, handle: int) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._nursery = nursery
        self._loop = asyncio.get_running_loop()
        self._handle = handle
        self._loop.add_reader(handle, self._died)

    def kill(self) -> None:
        """End it at once; nothing happens when it is gone."""
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def reaped(self, status: int | None) -> None:
        """Take the fork server's word; the first one counts."""
        self._let_go()
        if not self.exited.done():
            self.exited.set_result(status)

    def _died(self) -> None:
        self._let_go()
        self._loop.call_later(REAPS_WITHIN if self._nursery.alive else 0, self.reaped, None)

    def _let_go(self) -> None:
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1


class Nursery:
    """One fork server process. ``alive`` turns False when it is gone; then make another."""

    def __init__(self, library: Path, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.library = library
        self.alive = True
        self._process = process
        self._channel = channel
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel, self._read)

    @classmethod
    async def start(cls, contract: Contract | None) -> Nursery:
        """Check the library, then start the server. Raises `errors.WorkerFailed` or `errors.UnsupportedPlatform`."""
        library = await asyncio.to_thread(_checked_library)
        root = str(Path(wasess.__file__).parent.parent)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220 - returns once the exec is done, a few milliseconds
                    [sys.executable, "-I", "-S", "-c", BOOTSTRAP, root, str(theirs.fileno()), str(usual())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment(os.environ, contract),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl+C is the supervisor's to handle
                )
            except OSError as error:
                ours.close()
                raise WorkerFailed(_("The fork server can't be started: {error}.").format(error=error)) from error
        ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
        return cls(library, process, ours)

    async def fork(self, order: dict[str, Any], descriptors: list[int]) -> Child:
        """Start a worker with ``order`` and its three descriptors. Raises `errors.WorkerFailed`."""
        self._numbers += 1
        number = self._numbers
        asked: asyncio.Future[Child] = self._loop.create_future()
        self._asked[number] = asked
        request = json.dumps({"number": number, "order": order}).encode()
        try:
            socket.send_fds(self._channel, [request], descriptors)
            async with asyncio.timeout(FORKS_WITHIN):
                return await asked
        except TimeoutError as error:
            raise WorkerFailed(_("The fork server does not answer.")) from error
        except OSError as error:
            raise WorkerFailed(_("The fork server can't be reached: {error}.").format(error=error)) from error
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """Let the server and what remains of its workers go."""
        self._gone()
        try:
            await asyncio.to_thread(self._process.wait, LEAVES_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _read(self) -> None:
        while True:
            try:
                data, handles, _, _ = socket.recv_fds(self._channel, MESSAGE_SIZE, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, handles = b"", []
            if not data:
                self._gone()
                return
            self._hear(json.loads(data), handles)

    def _hear(self, message: dict[str, Any], handles: list[int]) -> None:
        if "status" in message:
            child = self._children.pop(message["pid"], None)
            if child:
                child.reaped(message["status"])
            return
        asked = self._asked.get(message["number"])
        if "pid" in message and not handles:  # this process has no descriptor left: the worker drains when it hears nobody
            if asked and not asked.done():
                asked.set_exception(WorkerFailed(_("A worker can't be forked: {error}.").format(error=os.strerror(errno.EMFILE))))
        elif "pid" in message:
            child = self._children[message["pid"]] = Child(self, message["pid"], *handles)
            if asked and not asked.done():
                asked.set_result(child)
            else:
                child.kill()  # whoever asked has given up
        elif asked and not asked.done():
            asked.set_exception(WorkerFailed(_("A worker can't be forked: {error}.").format(error=message["error"])))

    def _gone(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._channel)
        self._channel.close()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(WorkerFailed(_("The fork server died.")))
        self._children.clear()  # each hears of its own end by itself


def _checked_library() -> Path:
    path = wheel.library()
    wheel.verify(path)
    return path
