"""Has the files of messages fetched, each by a process of its own (`link.fetch_process`), so that no stranger's file costs a session anything.

One host is asked, over TLS, by the path that the message says: nobody who sends a file chooses a host, a port or a scheme. It is the one that
WhatsApp's own clients write into their messages (and Baileys uses for all). whatsmeow asks the server for a list of hosts first; that needs
the session's connection, and any host of the list has every file.

A thread for each process: it opens the file, waits and keeps the file, all of which may block.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wasess.errors import FileForged, FileUnavailable, NetworkDown, StoreError, WorkerFailed
from wasess.link.requests import sealed_size
from wasess.store.media import NewFile
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wasess.link.contract import Contract
    from wasess.link.requests import WantedFile

HOST = "mmg.whatsapp.net"
# For all sessions. A process needs 12 MiB of its own, and 18 that it shares with its like.
MAX_PROCESSES = 4
# What nobody needs longer for: connecting, then 2 Mbit/s.
CONNECTS_WITHIN = 30.0
BYTES_PER_SECOND = 2**18
LONGEST_ANSWER = 4096
CLOSES_WITHIN = 5.0

PROXIES = frozenset({"http", "socks5", "socks5h"})
# As in `link.nursery`: without the user's startup files it starts in half the time.
BOOTSTRAP = "import sys; sys.path.extend(sys.argv[1:]); from wasess.link.fetch_process import main; main()"
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
KEPT_OUTSIDE_A_SANDBOX = ("SSL_CERT_FILE", "SSL_CERT_DIR")

ENDED = mark("The session ended before it could answer.")
NOT_FETCHED = mark("The file was not fetched: {detail}.")


class Fetcher:
    """Of one host. With a ``contract`` files come from that stand-in, through its proxy; else through the proxy of the environment, if there is one."""

    def __init__(self, contract: Contract | None) -> None:
        self._contract = contract
        self._pool = ThreadPoolExecutor(MAX_PROCESSES, "fetcher")
        self._jobs: set[_Job] = set()
        self._closed = False

    async def fetch(self, user: str, folder: Path, wanted: WantedFile, path: Path) -> int:
        """Write a file below the session's folder, all of it or nothing; return its size.

        Raises `errors.FileForged`, `errors.FileUnavailable`: for good; `errors.NetworkDown`, `errors.StoreError`, `errors.WorkerFailed`: for now.
        """
        if self._closed:
            raise WorkerFailed(_(ENDED))
        job = _Job(self._order(user, wanted), _environment(os.environ, self._contract), folder, path)
        self._jobs.add(job)
        future = self._pool.submit(job.run)
        work = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not future.cancel():
                job.stop()
                await asyncio.wait({work})  # milliseconds; whoever stops a session may want to move its folder next
            raise
        finally:
            self._jobs.discard(job)

    async def close(self) -> None:
        """End what is under way, and what waits for its turn."""
        self._closed = True
        for job in tuple(self._jobs):
            job.stop()
        with suppress(TimeoutError):  # a disk that hangs is nothing to wait for
            async with asyncio.timeout(CLOSES_WITHIN):
                await asyncio.to_thread(self._pool.shutdown)

    def _order(self, user: str, wanted: WantedFile) -> dict[str, Any]:
        proxy = self._contract.proxy_for(user) if self._contract else environment_proxy(os.environ)
        if proxy and proxy.partition("://")[0] not in PROXIES:
            raise FileUnavailable(
                _(NOT_FETCHED).format(detail=_("no file can be fetched through a proxy of this kind: use http:// or socks5://"))
            )
        largest = min(wanted.declared or wanted.allowed, wanted.allowed)
        return {
            "host": HOST,
            "target": wanted.target,
            "proxy": proxy,
            "ca_file": str(self._contract.ca_file) if self._contract else "",
            "key": wanted.key.hex(),
            "words": wanted.words,
            "sealed_digest": wanted.sealed_digest.hex(),
            "digest": wanted.digest.hex(),
            "most": sealed_size(largest) if wanted.key else largest,
            "largest": largest,
            "deadline": int(CONNECTS_WITHIN + largest / BYTES_PER_SECOND),
            "parent": os.getpid(),
        }


class _Job:
    """One file. `run` in a thread, `stop` from any other."""

    def __init__(self, order: dict[str, Any], environment: dict[str, str], folder: Path, path: Path) -> None:
        self._order = order
        self._environment = environment
        self._folder = folder
        self._path = path
        self._starting = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        try:
            file = NewFile(self._folder, self._path)
        except OSError as error:
            raise _unwritten(error.strerror) from error
        try:
            _require_whole(self._ask(file.descriptor), self._order)
            size = os.fstat(file.descriptor).st_size
            file.keep()
        except OSError as error:
            raise _unwritten(error.strerror) from error
        finally:
            file.close()
        return size

    def stop(self) -> None:
        """End the process, or let none be started."""
        with self._starting:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _ask(self, descriptor: int) -> bytes:
        deadline = time.monotonic() + self._order["deadline"]
        process = self._start(descriptor)
        with process:
            try:
                return _talk(process, json.dumps(self._order | {"descriptor": descriptor}).encode(), deadline)
            finally:
                process.kill()

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._stopped:
                raise WorkerFailed(_(ENDED))
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", BOOTSTRAP, *filter(os.path.isabs, sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=self._environment,
                    cwd="/",
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
            except OSError as error:
                raise WorkerFailed(_(NOT_FETCHED).format(detail=error.strerror)) from error
            return self._process


def _talk(process: subprocess.Popen[bytes], order: bytes, deadline: float) -> bytes:
    """Give it its order; return the beginning of what it says until it ends. Raises `errors.NetworkDown`."""
    assert process.stdin is not None  # noqa: S101 - both are pipes: narrows a type that subprocess leaves open
    assert process.stdout is not None  # noqa: S101 - as above
    try:
        process.stdin.write(order)  # no longer than what a pipe holds
        process.stdin.close()
    except BrokenPipeError:
        return b""
    answer, poll = b"", select.poll()
    poll.register(process.stdout, select.POLLIN)
    while len(answer) < LONGEST_ANSWER:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise NetworkDown(_(NOT_FETCHED).format(detail=_("not all of it came in time")))
        piece = os.read(process.stdout.fileno(), LONGEST_ANSWER)
        if not piece:
            break
        answer += piece
    return answer


def _require_whole(answer: bytes, order: dict[str, Any]) -> None:
    """Raise what the process has to say, unless the file is there."""
    fault, detail = "", _("the process that fetches it ended")
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        said = json.loads(answer)
        if "size" in said:
            return
        if "fault" in said:
            fault, detail = str(said["fault"]), str(said.get("detail", ""))
    if fault == "long":
        raise FileForged(
            _(NOT_FETCHED).format(detail=_("it has more than the {most} bytes that were declared").format(most=order["largest"]))
        )
    if fault == "forged":
        raise FileForged(_(NOT_FETCHED).format(detail=_("it is not the file that its sender speaks of: {problem}").format(problem=detail)))
    if fault == "refused":
        raise FileUnavailable(_(NOT_FETCHED).format(detail=_("WhatsApp does not give it out: {problem}").format(problem=detail)))
    if fault == "disk":
        raise _unwritten(detail)
    if fault == "network":
        raise NetworkDown(_(NOT_FETCHED).format(detail=detail.removesuffix(".")))
    raise WorkerFailed(_(NOT_FETCHED).format(detail=detail))


def _unwritten(problem: str | None) -> StoreError:
    return StoreError(_("The file could not be written: {problem}.").format(problem=problem))


def environment_proxy(environ: Mapping[str, str], host: str = HOST) -> str:
    """The proxy that the library would take for this host (Go's httpproxy): a URL, empty for none."""
    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""
    skipped = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").lower().split(",")
    names = [name.strip().removeprefix("*").removeprefix(".") for name in skipped if name.strip()]
    if any(not name or f".{host}".endswith(f".{name}") for name in names):
        return ""
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _environment(ours: Mapping[str, str], contract: Contract | None) -> dict[str, str]:
    kept = KEPT if contract else (*KEPT, *KEPT_OUTSIDE_A_SANDBOX)
    return {name: ours[name] for name in kept if name in ours}
