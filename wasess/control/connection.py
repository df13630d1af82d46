"""HTTP over the unix socket of a home."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from wasess.control.address import connected

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Connection", "HTTPException"]


class Connection(HTTPConnection):
    """A connection to the manager; ``timeout``: seconds that each step may take."""

    def __init__(self, home: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._home = home
        self._within = timeout

    def connect(self) -> None:
        """See `http.client.HTTPConnection`."""
        self.sock = connected(self._home, self._within)
