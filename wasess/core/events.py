"""What can happen to a session, as values. `link.translate` makes them from the library's events, timers and the host add theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasess.core.message import Message


@dataclass(frozen=True, slots=True)
class Event:
    """Anything `core.machine` is told."""


# --- what the library says (from the spool) -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paired(Event):
    """The phone accepted the link. ``jid`` and ``lid`` include the device number: ``491701234567:3@s.whatsapp.net``."""

    jid: str
    lid: str = ""


@dataclass(frozen=True, slots=True)
class PairError(Event):
    """The pairing was refused by this side (bad signature, other number)."""

    detail: str


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """Logged in: the server said <success> and the pre-key round is over."""


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The socket ended; the library redials by itself."""


@dataclass(frozen=True, slots=True)
class KeepAliveTimeout(Event):
    """A ping got no answer in 10 s. ``count`` in a row; ``last_success`` in Unix seconds."""

    count: int
    last_success: float


@dataclass(frozen=True, slots=True)
class KeepAliveRestored(Event):
    """Pings are answered again."""


@dataclass(frozen=True, slots=True)
class LoggedOut(Event):
    """401/403/406 or device_removed: the library has deleted the device row."""

    reason: int = 0
    on_connect: bool = False


@dataclass(frozen=True, slots=True)
class StreamReplaced(Event):
    """Another client logged in with the same credentials. The library does not redial."""


@dataclass(frozen=True, slots=True)
class TemporaryBan(Event):
    """402. ``expires_in`` in seconds from now, 0 when the server did not say."""

    ban_code: int
    expires_in: float


@dataclass(frozen=True, slots=True)
class ConnectFailure(Event):
    """Another <failure>. The library does not redial."""

    reason: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClientOutdated(Event):
    """405. The library does not redial."""


@dataclass(frozen=True, slots=True)
class StreamError(Event):
    """A <stream:error> the library does not know."""

    stream_code: str


@dataclass(frozen=True, slots=True)
class OfflineSyncPreview(Event):
    """What the server kept while we were away."""

    total: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class OfflineSyncCompleted(Event):
    """All that was kept has been delivered."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """A decrypted message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Undecryptable(Event):
    """A message that could not be decrypted; the sender is asked to send it again."""

    id: str
    chat: str
    sender: str


@dataclass(frozen=True, slots=True)
class OtherEvent(Event):
    """An event nothing depends on. ``event_code`` is neonize's number for it."""

    event_code: int


# --- what the worker process does ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """The child process runs and holds the session's lock."""

    pid: int


@dataclass(frozen=True, slots=True)
class WorkerEnded(Event):
    """The child process is gone.

    ``cause``: ``stopped`` (asked to), ``dial-failed`` (the first connection was refused; ``detail`` is the library's text),
    ``library-returned`` (the event pump died), ``locked`` (another process holds the session), ``no-device``
    (no device row), ``crashed`` (a signal or an unexpected exit; ``detail`` names it).
    """

    cause: str
    detail: str = ""


# --- time and people ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimerFired(Event):
    """A wake-up the machine asked for."""

    name: str


@dataclass(frozen=True, slots=True)
class StartRequested(Event):
    """Bring the session up (manager start, or an operator)."""


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """Take the session down (manager stop, or an operator)."""
