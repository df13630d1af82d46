"""A stand-in for the part of systemd that a service talks to."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from homes import Running
from unit_file import Unit

if TYPE_CHECKING:
    from homes import House

HERE = Path(__file__).parent


class ServiceManager:
    """systemd, for one service: it starts it with NOTIFY_SOCKET and WATCHDOG_USEC, and hears it. A context manager.

    ``heard``: all words so far, with the second (monotonic) they came at.
    """

    def __init__(self, unit: Path, house: House) -> None:
        self.unit = Unit(unit.read_text())
        self._file = unit
        self._house = house
        self._address = unit.parent / "notify"
        self._heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def __enter__(self) -> Self:
        self._socket.bind(str(self._address))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def start(self, *, confined: bool = False, **environment: str) -> Running:
        """Run the command of the unit, the unit's restrictions in force with ``confined``. What was heard before is forgotten."""
        self.heard()
        self._heard.clear()
        command = self.unit.command
        if confined:
            command = [sys.executable, str(HERE / "confine.py"), str(self._file), *command]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.unit.one("WorkingDirectory").removeprefix("-"),
            env=self._environment() | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        running = Running(process)
        self._house._running.append(running)
        return running

    def heard(self) -> list[str]:
        """All words since the start."""
        while True:
            try:
                datagram = self._socket.recv(65536).decode()
            except BlockingIOError:
                return [word for _, word in self._heard]
            self._heard += [(time.monotonic(), word) for word in datagram.splitlines()]

    def last(self, word: str) -> float:
        """When this word came last, 0.0 for never."""
        self.heard()
        return max((at for at, heard in self._heard if heard == word), default=0.0)

    def _environment(self) -> dict[str, str]:
        """What systemd gives to a service, and the sandbox."""
        name, _, value = self.unit.one("Environment").partition("=")
        return {
            "PATH": os.environ["PATH"],
            name: value,
            "NOTIFY_SOCKET": str(self._address),
            "WATCHDOG_USEC": str(int(self.unit.seconds("WatchdogSec") * 1e6)),
            "WASESS_SANDBOX": str(self._house.box.contract_path),
        }
