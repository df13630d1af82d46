"""The one door to a running WhatsApp session. Implemented by `link.host` (real) and `link.scripted` (tests, drills)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from wasess.core.message import Message, Reply


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """``mode="pair"`` makes a new device (QR); ``"run"`` logs in with the stored one and never shows a QR.

    ``obstacle``: why there is nothing to log in with (`store.preflight.obstacle`); the process says so and ends at once. ``outdated``: WhatsApp
    refused the client version that was announced last.
    """

    user: str
    folder: Path
    mode: Literal["run", "pair"]
    obstacle: tuple[str, str] = "", ""
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class LinkSignal:
    """What a link tells its keeper.

    ``kind``: ``started`` (value: pid; detail: where its events begin in the spool) · ``qr`` (value: the code; never log it) · ``spooled`` (look into the spool) · ``log`` (value:
    ``LEVEL text``, secrets removed; it quotes strangers, so nothing is read from it) · ``hint`` (value, detail: what the library means
    by such a line) · ``passkey`` · ``ended`` (value, detail: `core.events.WorkerEnded`; always the last).
    """

    kind: Literal["started", "qr", "spooled", "log", "hint", "passkey", "ended"]
    value: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the process is, seen from outside; nothing is asked of it. Zero and empty mean unknown.

    ``beat_age``: seconds since it last said that it lives. ``state``: the kernel's letter (R, S, D, T, Z). ``cpu``: seconds used.
    ``memory``: resident bytes. ``line_age``: seconds without an open connection. ``unacked_age``: seconds since it sent bytes that
    the other end's kernel has not acknowledged.
    """

    beat_age: float = 0.0
    state: str = ""
    cpu: float = 0.0
    memory: int = 0
    line_age: float = 0.0
    unacked_age: float = 0.0


class Link(Protocol):
    """A running session. Any call may raise `errors.WorkerFailed`; none blocks the event loop."""

    def signals(self) -> AsyncIterator[LinkSignal]:
        """Everything that happens, in order; ends after ``ended``. One consumer only."""

    async def send(self, to: str, reply: Reply, quoted: Message | None = None, key: str = "", kept: str = "") -> str:
        """Send, a file after its upload; return the message id once the server has acknowledged it (up to 75 s).

        ``quoted``: the message that the reply quotes or reacts to. ``key``: noted with the id in the spool before it goes out.
        ``kept``: the name of the copy of its file (`store.outgoing_files`): nothing else is sent, whatever path the reply has.
        """

    async def download(self, raw: bytes, path: Path, most: int) -> int:
        """Fetch the file of a message (its event from the spool) to a path in the session's folder (up to 5 minutes); return its bytes.

        The session's process has no part in it. One of more than ``most`` bytes, or of more than its sender says, is not fetched.
        Also raises `errors.FileUnavailable` and `errors.FileForged` (for good), `errors.NetworkDown` and `errors.StoreError`.
        """

    async def votes(self, raw: bytes) -> tuple[str, ...]:
        """Read a vote (its event from the spool): the SHA-256 in hex of each option that is chosen."""

    async def mark_read(self, chat: str, sender: str, ids: Sequence[str]) -> None:
        """Tell the sender of these messages that they were read."""

    async def typing(self, chat: str, *, on: bool) -> None:
        """Show a chat that an answer is being written, or no longer."""

    async def probe(self) -> None:
        """Ask WhatsApp for something small; return once it has answered (up to 75 s: set a deadline)."""

    async def presence(self, *, available: bool) -> None:
        """Say that this device is in use, or not."""

    def vitals(self) -> Vitals:
        """Look at the process."""

    async def pairing_code(self, phone: str) -> str:
        """Ask for an 8-character code to type into the phone (international number, digits only). Pair mode, after the first qr."""

    async def logout(self) -> None:
        """Unlink this device at WhatsApp; the library deletes the device row."""

    async def stop(self) -> None:
        """Drain and end: disconnect, wait until the callback is idle, exit. At most 5 s, then kill."""

    def kill(self) -> None:
        """End the process at once."""


class LinkHost(Protocol):
    """Starts links."""

    async def start(self, spec: LinkSpec) -> Link:
        """Start a session's process. Failures of the session arrive as ``ended``, not as exceptions."""

    async def close(self) -> None:
        """End every link and whatever the host runs."""
