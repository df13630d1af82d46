"""A manager of a home that keeps no session: it holds the lock and says what the test wants on the control socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from wasess.cli.app import run
from wasess.control.address import listening
from wasess.control.server import serving
from wasess.core import reasons
from wasess.core.live import Live, ManagerInfo
from wasess.core.states import State

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.store.sessions import Home

LONG_AGO = 90_000.0
ENDS_WITHIN = 10.0
PID = 4711


def live(
    user: str, state: State = State.ONLINE, reason: reasons.Reason = reasons.ONLINE, detail: str = "", heard: float | None = 1.0
) -> Live:
    """A session that has been so for a day; ``heard``: seconds since WhatsApp was heard of, None when it never was."""
    now = time.time()
    proven_at = None if heard is None else now - heard
    return Live(user, state, reason.code, detail, now - LONG_AGO, None, 0, 0, proven_at, PID, 0, None, None, 0)


@dataclass
class StandIn:
    """A `control.door.Manager` that can only be asked how it is. ``asked``: how often it was."""

    sessions: dict[str, Live] = field(default_factory=dict)
    asked: int = 0
    started_at: float = field(default_factory=lambda: time.time() - LONG_AGO)
    ready: bool = True

    def keep(self, *lives: Live) -> None:
        """Say this of these sessions from now on."""
        self.sessions = dict(sorted({**self.sessions, **{found.user: found for found in lives}}.items()))

    def info(self) -> ManagerInfo:
        self.asked += 1
        online = sum(found.state is State.ONLINE for found in self.sessions.values())
        return ManagerInfo(PID, "0", "sandbox", self.started_at, ready=self.ready, kept=len(self.sessions), online=online)

    def lives(self) -> list[Live]:
        return list(self.sessions.values())


@contextmanager
def managed(home: Home, *lives: Live) -> Iterator[StandIn]:
    """A manager that answers inside the ``with`` block."""
    manager = StandIn()
    manager.keep(*lives)
    answering, ended = threading.Event(), asyncio.Event()

    async def serve(loop_known: list[asyncio.AbstractEventLoop]) -> None:
        loop_known.append(asyncio.get_running_loop())
        async with serving(home.path, manager, pytest.fail):  # type: ignore[arg-type]  # the commands are not asked for
            answering.set()
            await ended.wait()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve(loops)))
    with home.lock("serve"):
        thread.start()
        assert answering.wait(ENDS_WITHIN)
        try:
            yield manager
        finally:
            loops[0].call_soon_threadsafe(ended.set)
            thread.join(ENDS_WITHIN)
            assert not thread.is_alive()


@contextmanager
def held(home: Home, seconds_ago: float = LONG_AGO) -> Iterator[None]:
    """A manager that took the home so long ago, and does not listen."""
    with home.lock("serve"):
        lock = home.path / ".lock"
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"since": time.time() - seconds_ago}) + "\n")
        yield


@contextmanager
def mute(home: Home) -> Iterator[None]:
    """A manager that takes every connection and never says a word."""
    with held(home), listening(home.path):
        yield


@contextmanager
def babbling(home: Home, answer: bytes) -> Iterator[None]:
    """A manager that answers everything with these bytes."""
    with held(home), listening(home.path) as listener:
        listener.setblocking(True)
        thread = threading.Thread(target=_answer_all, args=(listener, answer))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(2)
            thread.join(ENDS_WITHIN)
            assert not thread.is_alive()


def _answer_all(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            channel, _ = listener.accept()
        except OSError:  # shut down
            return
        with channel:
            channel.settimeout(ENDS_WITHIN)
            try:
                channel.recv(65536)
                channel.sendall(answer)
            except OSError:  # the other side has heard enough
                continue


def said(document: object, status: str = "200 OK") -> bytes:
    """A document as a manager would send it."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"HTTP/1.0 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def typist(command: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Types this command with the arguments it gets; returns the exit code, and what was printed on stdout and stderr."""

    def typed(*arguments: str) -> tuple[int, str, str]:
        code = run([command, *arguments])
        return code, *capsys.readouterr()

    return typed


def changed(found: Live, **more: object) -> Live:
    """The same with other values."""
    return replace(found, **more)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a folder: a command that only looks changes nothing of it."""
    return {str(path): ((status := path.lstat()).st_mtime_ns, status.st_size, status.st_mode) for path in folder.rglob("*")}
