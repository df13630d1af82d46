"""What systemd is told: that the manager is ready, how it is, and that it lives (sd_notify(3), ``Type=notify``, ``WatchdogSec=``)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Notifier:
    """Speaks to the socket that ``NOTIFY_SOCKET`` names; without one it says nothing. Never raises, never waits."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str) -> None:
        """The start is over."""
        self._say(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._say(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog. Call it only with a proof at hand."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1\nSTATUS=draining")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
                channel.connect(self._address)
                channel.send(text.encode())
        except OSError:
            return  # systemd is busy, or gone; the next word may come through


def _address(name: str) -> str | bytes:
    """A path, or with ``@`` in front a name in the abstract namespace."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return name if name.startswith("/") else ""
