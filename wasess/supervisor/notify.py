"""What systemd is told: that the manager is ready, how it is, and that it lives (sd_notify(3), ``Type=notify``, ``WatchdogSec=``)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_STATUS = 1000  # characters


class Notifier:
    """Speaks to the socket that ``NOTIFY_SOCKET`` names; without one it says nothing. Never raises, never waits.

    What does not get through is dropped, but for ``READY`` and ``STOPPING``: these go with the next word that does.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watched = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        self._patience = _seconds(environ.get("WATCHDOG_USEC", ""))
        self._owed = ""

    @property
    def watchdog_interval(self) -> float | None:
        """How often to call `alive`, in seconds: half of what systemd waits, as sd_watchdog_enabled(3) advises. None: it does not wait."""
        return self._patience / 2 if self._address and self._watched and self._patience else None

    def ready(self, status: str) -> None:
        """The start is over."""
        self._owed = "READY=1\n"
        self.status(status)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._say("STATUS=" + " ".join(text.splitlines())[:LONGEST_STATUS])  # a second line would be another word

    def alive(self) -> None:
        """Feed the watchdog. Call it only with a proof at hand."""
        if self._watched:
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._owed = "STOPPING=1\n"
        self.status(_("draining"))

    def _say(self, words: str) -> None:
        if self._address and _sent(self._address, (self._owed + words).encode(errors="replace")):
            self._owed = ""


def _sent(address: str | bytes, datagram: bytes) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            channel.connect(address)
            channel.send(datagram)
    except (OSError, ValueError):  # systemd is busy, or gone; ValueError: no address at all
        return False
    return True


def _address(name: str) -> str | bytes:
    """A path, or with ``@`` in front a name in the abstract namespace."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return name if name.startswith("/") else ""


def _seconds(microseconds: str) -> float:
    """0.0 for what is no positive number."""
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0
