from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from wasess.supervisor.notify import LONGEST_STATUS, Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(name.replace("@", "\0", 1))

    def heard(self) -> list[str]:
        words = []
        while True:
            try:
                words.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return words

    def notifier(self, **more: str) -> Notifier:
        return Notifier({"NOTIFY_SOCKET": self.name} | more)


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@wasess-test-{os.getpid()}-{tmp_path.name}"
    systemd = Systemd(name)
    with closing(systemd.socket):
        yield systemd


def test_a_manager_from_its_start_to_its_end(systemd: Systemd):
    notifier = systemd.notifier()
    notifier.ready("3 of 4 sessions online")
    notifier.alive()
    notifier.status("4 of 4 sessions online")
    notifier.stopping()
    assert systemd.heard() == [
        "READY=1\nSTATUS=3 of 4 sessions online",
        "WATCHDOG=1",
        "STATUS=4 of 4 sessions online",
        "STOPPING=1\nSTATUS=draining",
    ]


@pytest.mark.parametrize(
    ("text", "said"), [("two\nlines\r\nREADY=1", "two lines READY=1"), ("\udcff", "?"), ("a" * 9999, "a" * LONGEST_STATUS)]
)
def test_a_status_is_one_line_whatever_is_in_it(systemd: Systemd, text: str, said: str):
    systemd.notifier().status(text)
    assert systemd.heard() == [f"STATUS={said}"]


def test_a_full_socket_keeps_nobody_waiting_and_being_ready_is_not_lost(systemd: Systemd):
    notifier = systemd.notifier()
    for _ in range(5000):  # more than any kernel keeps for a socket that nobody reads
        notifier.alive()
    notifier.ready("late")
    assert not [words for words in systemd.heard() if words != "WATCHDOG=1"]
    notifier.alive()
    notifier.alive()
    assert systemd.heard() == ["READY=1\nWATCHDOG=1", "WATCHDOG=1"]


def test_a_socket_that_vanishes_is_no_trouble(systemd: Systemd):
    notifier = systemd.notifier()
    systemd.socket.close()
    notifier.ready("nobody hears it")
    notifier.alive()
    notifier.stopping()


@pytest.mark.parametrize("name", ["", "relative", "vsock:2:1234", "/" + "a" * 200, "@", "@" + "a" * 200, "/nowhere/at/all", "/a\0b"])
def test_what_is_no_address_is_no_trouble(name: str):
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "x"})
    notifier.ready("")
    notifier.alive()
    assert notifier.watchdog_interval is None


def test_without_systemd_nothing_is_said_and_nothing_expected():
    notifier = Notifier({"WATCHDOG_USEC": "30000000"})
    notifier.ready("")
    assert notifier.watchdog_interval is None


@pytest.mark.parametrize(
    ("microseconds", "interval"), [("30000000", 15.0), ("500000", 0.25), ("0", None), ("-5", None), ("", None), ("²", None)]
)
def test_the_watchdog_is_fed_twice_in_its_time(systemd: Systemd, microseconds: str, interval: float | None):
    assert systemd.notifier(WATCHDOG_USEC=microseconds).watchdog_interval == interval
    assert systemd.notifier(WATCHDOG_USEC=microseconds, WATCHDOG_PID=str(os.getpid())).watchdog_interval == interval


def test_the_watchdog_of_another_process_is_not_fed(systemd: Systemd):
    notifier = systemd.notifier(WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getppid()))
    assert notifier.watchdog_interval is None
    notifier.alive()
    assert systemd.heard() == []
