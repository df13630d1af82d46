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
    """401/403/406 or device_removed: the library has deleted the device row. ``here``: we asked WhatsApp for it."""

    reason: int = 0
    on_connect: bool = False
    here: bool = False


@dataclass(frozen=True, slots=True)
class StreamReplaced(Event):
    """Another client logged in with the same credentials. The library does not redial.

    ``holder`` says who, as far as this machine can know: ``process 12 on this machine``, ``host web-2``; empty: unknown.
    """

    holder: str = ""


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
class MessageArrived(Event):
    """A message has come, whatever it says: the connection works."""


@dataclass(frozen=True, slots=True)
class Undecryptable(Event):
    """A message that could not be decrypted; the sender is asked to send it again."""

    id: str
    chat: str
    sender: str


@dataclass(frozen=True, slots=True)
class SpoolLost(Event):
    """The last word of a worker whose spool was replaced or cut: how many events it had written ``before`` it saw that, and how many ``after``."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class FilesReplaced(Event):
    """Files of the session are not those any more that its worker has open. ``detail`` says which, and what has become of it."""

    detail: str


@dataclass(frozen=True, slots=True)
class Missed(Event):
    """WhatsApp counts this message as taken, and the library has handed nothing over. ``cause``: see `store.gaps.Cause`."""

    id: str
    chat: str
    sender: str
    cause: str


@dataclass(frozen=True, slots=True)
class Departing(Event):
    """The reply with this key is about to go out under this id."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class ReceiptCame(Event):
    """Somebody has told WhatsApp what became of messages of ours. ``receipt``: ``delivered``, ``read``, ``played``, or WhatsApp's own word."""

    receipt: str
    sender: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedAgain(Event):
    """A device could not decrypt a message of ours and asked for it, and the library could not serve it. ``device``: its number, 0 for the phone."""

    id: str
    chat: str
    sender: str
    device: int


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
    (no device row), ``database`` (device.db can't be used; ``detail`` says why), ``disk-full`` (there was no room for more events;
    it drained, nothing was lost), ``crashed`` (a signal or an unexpected exit; ``detail`` names it).
    """

    cause: str
    detail: str = ""


# --- what is seen from outside ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LineLost(Event):
    """A suspicion: for seconds the worker has had no open connection, or what it sent was not even acknowledged by TCP."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeAnswered(Event):
    """WhatsApp answered the small request that `commands.Probe` sends."""


@dataclass(frozen=True, slots=True)
class ProbeFailed(Event):
    """It did not, in time."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class DialRefused(Event):
    """The library's own redial was answered with this HTTP status. The library dials on, and soon."""

    status: int


@dataclass(frozen=True, slots=True)
class LibraryGaveUp(Event):
    """The library said that it will not dial again (after a 515 it tries once)."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class WorkerStuck(Event):
    """The worker's process gives no sign of life."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class WorkerTooLarge(Event):
    """The worker uses more memory than it may. Both in bytes."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class DatabaseLost(Event):
    """device.db was unlinked, replaced or truncated under the worker, or is damaged."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseBusy(Event):
    """The library found device.db locked by somebody else; it tries again by itself."""


@dataclass(frozen=True, slots=True)
class DiskFull(Event):
    """The home's file system has no room left: what WhatsApp hands over now could not be kept."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class DiskFree(Event):
    """It has room again."""


@dataclass(frozen=True, slots=True)
class NetworkBack(Event):
    """Another session has just come online: the network works."""


@dataclass(frozen=True, slots=True)
class Woke(Event):
    """The machine, or the manager, stood still for ``slept`` seconds: connections may be dead without having said so."""

    slept: float = 0.0


# --- time and people ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimerFired(Event):
    """A wake-up the machine asked for."""

    name: str


@dataclass(frozen=True, slots=True)
class TurnCame(Event):
    """A place among those that may dial (`commands.AskTurn`)."""


@dataclass(frozen=True, slots=True)
class StartRequested(Event):
    """Bring the session up (manager start, or an operator). Unix times, 0 when unknown.

    ``paired_at``: when the phone was linked; ``banned_until``: before that nothing is dialled.
    """

    paired_at: float = 0.0
    banned_until: float = 0.0


@dataclass(frozen=True, slots=True)
class ReconnectRequested(Event):
    """Replace the connection at once, whatever is thought of it. A human asked; a ban, and a logout, it does not change."""


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """Take the session down (manager stop, or an operator)."""
