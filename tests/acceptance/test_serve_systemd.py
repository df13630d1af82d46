"""`wasess serve` under systemd, as systemd sees it: a socket that hears of readiness, and of life as long as there is some."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from homes import House, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.acceptance

WATCHDOG_SECONDS = 2.0


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.heard: list[str] = []
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def listen(self) -> list[str]:
        """All words so far."""
        while True:
            try:
                self.heard += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def fed(self) -> int:
        """How often the watchdog was."""
        return self.listen().count("WATCHDOG=1")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path / "notify")
    with closing(systemd.socket):
        yield systemd


async def test_a_service_is_ready_when_its_sessions_are_up_lives_and_says_when_it_ends(tmp_path: Path, systemd: Systemd):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve(environment=systemd.environment)
        await until(lambda: "READY=1" in systemd.listen(), lambda: f"ready:\n{serve.text}")
        assert "STATUS=2 of 2 sessions online" in systemd.heard
        assert house.device("alice").online
        assert house.device("bob").online
        fed = systemd.fed()
        took = await until(lambda: systemd.fed() >= fed + 3, "the watchdog was fed", 3 * WATCHDOG_SECONDS)
        assert took < 3 * WATCHDOG_SECONDS
        serve.signal(signal.SIGTERM)
        assert await serve.over() == 0
        assert systemd.listen()[-2:] == ["STOPPING=1", "STATUS=draining"]
        assert systemd.heard.count("READY=1") == 1


async def test_a_service_that_stands_still_is_silent_and_speaks_again_when_it_goes_on(tmp_path: Path, systemd: Systemd):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve(environment=systemd.environment)
        await until(systemd.fed, "the watchdog was fed")
        await until(lambda: "READY=1" in systemd.listen(), "ready")
        serve.signal(signal.SIGSTOP)
        fed, stopped = systemd.fed(), time.monotonic()
        await until(lambda: time.monotonic() - stopped > 2 * WATCHDOG_SECONDS, "systemd's patience at an end")
        assert systemd.fed() <= fed + 1  # one was perhaps on its way
        fed = systemd.fed()
        serve.signal(signal.SIGCONT)
        await until(lambda: systemd.fed() > fed, lambda: f"life:\n{serve.text}")
        house.box.say("carol", "alice", "hello")
        await until(lambda: house.device("alice").receipted, "a message came")


async def test_without_systemd_nothing_is_missed(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
        await house.online(serve, "alice")
        serve.signal(signal.SIGTERM)
        assert await serve.over() == 0
