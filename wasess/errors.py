"""Every error a user can meet, in one tree.

::

    WasessError
    ├── UsageError            2    the command line or a file of the user's is wrong
    │   └── BadUserId         2
    ├── StoreError            1    something on disk is not as it must be
    │   ├── UnsafeHome        1    modes, owner, symlink
    │   ├── StoreBusy         9    another process has a lock on a file
    │   ├── StoreFull         1    the disk, or a quota, has no room
    │   ├── RecordDamaged     1    session.json can't be read
    │   └── DeviceDamaged     1    device.db can't be read
    ├── Locked                9    another process holds the home or the session
    ├── AlreadyLinked         2    connect without --force
    ├── NotLinked             4    no credentials: a human must pair
    │   └── LoggedOut         4    there were credentials; WhatsApp took them back
    ├── PairingFailed         4    the pairing did not come to an end
    ├── Degraded              3    reconnecting; it heals by itself
    │   └── NetworkDown       3
    ├── Banned                5
    ├── Outdated              6
    ├── Replaced              7
    ├── ManagerNotRunning     8
    ├── PasskeyNeeded        10
    ├── SandboxError          1    a stand-in's contract is wrong, or it does not answer
    ├── WorkerFailed          1    the child process could not do its work
    │   └── SendRefused       1    WhatsApp does not take a message, or nobody could read it
    ├── FileUnavailable       1    the file of a message can't be had, now or later
    │   └── FileForged        1    ... because it is not what its sender says
    ├── UnsupportedPlatform   1
    └── Interrupted         130

Each says what happened, what is safe, and the next command to type. Exactly one ``except`` (``cli.app``) turns
them into text and an exit code.
"""

from __future__ import annotations

from typing import ClassVar


class WasessError(Exception):
    """What happened (``str(error)``), plus ``hint``: the next thing to do, an imperative sentence or a command."""

    code: ClassVar[str] = "UNEXPECTED"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(WasessError):
    """The command line, or a file the user names in it, is wrong."""

    code = "USAGE"
    exit_code = 2


class BadUserId(UsageError):
    """A user id that can't safely become a folder name."""

    code = "BAD_USER_ID"


class AlreadyLinked(UsageError):
    """`connect` on a session with good credentials."""

    code = "ALREADY_LINKED"


class StoreError(WasessError):
    """Something on disk is not as it must be; nothing was overwritten."""

    code = "STORE"


class UnsafeHome(StoreError):
    """Wrong modes, a foreign owner, or a link where a folder must be."""

    code = "UNSAFE_HOME"


class StoreBusy(StoreError):
    """Another process keeps a file locked: what was asked is tried again."""

    code = "STORE_BUSY"
    exit_code = 9
    retryable = True


class StoreFull(StoreError):
    """There is no room on the disk, or within a quota."""

    code = "STORE_FULL"
    retryable = True


class RecordDamaged(StoreError):
    """session.json can't be read."""

    code = "RECORD_DAMAGED"


class DeviceDamaged(StoreError):
    """device.db can't be read as whatsmeow's database."""

    code = "DEVICE_DAMAGED"


class Locked(WasessError):
    """Another process holds the home or the session."""

    code = "LOCKED"
    exit_code = 9
    retryable = True


class NotLinked(WasessError):
    """No credentials are stored: a human must pair."""

    code = "NOT_LINKED"
    exit_code = 4


class LoggedOut(NotLinked):
    """There were credentials; WhatsApp took them back."""

    code = "LOGGED_OUT"


class PairingFailed(WasessError):
    """The pairing did not come to a good end."""

    code = "PAIRING_FAILED"
    exit_code = 4
    retryable = True


class Degraded(WasessError):
    """The session is not up, and heals by itself."""

    code = "DEGRADED"
    exit_code = 3
    retryable = True


class NetworkDown(Degraded):
    """WhatsApp (or the stand-in) could not be reached."""

    code = "NETWORK_DOWN"


class Banned(WasessError):
    """Temporarily banned or rate-limited by WhatsApp."""

    code = "BANNED"
    exit_code = 5


class Outdated(WasessError):
    """WhatsApp refuses this version of the client library."""

    code = "OUTDATED"
    exit_code = 6


class Replaced(WasessError):
    """Another client uses the same credentials."""

    code = "REPLACED"
    exit_code = 7


class ManagerNotRunning(WasessError):
    """No `wasess serve` owns this home."""

    code = "MANAGER_NOT_RUNNING"
    exit_code = 8
    retryable = True


class PasskeyNeeded(WasessError):
    """WhatsApp asks for a passkey, which neonize 0.5.2 can't answer."""

    code = "PASSKEY_NEEDED"
    exit_code = 10


class SandboxError(WasessError):
    """A stand-in's contract file is wrong, or the stand-in does not answer."""

    code = "SANDBOX"


class WorkerFailed(WasessError):
    """The child process that holds the session could not do its work."""

    code = "WORKER_FAILED"
    retryable = True


class SendRefused(WorkerFailed):
    """A message reached nobody, and that is certain. ``status``: the server's code, 0 when there is none."""

    code = "SEND_REFUSED"

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class FileUnavailable(WasessError):
    """The file of a message is not to be had; another try would not change that."""

    code = "FILE_UNAVAILABLE"


class FileForged(FileUnavailable):
    """... because its sender says something else of it than what is there."""

    code = "FILE_FORGED"


class UnsupportedPlatform(WasessError):
    """This machine has no build of neonize's library."""

    code = "UNSUPPORTED_PLATFORM"


class Interrupted(WasessError):
    """Ctrl+C."""

    code = "INTERRUPTED"
    exit_code = 130
