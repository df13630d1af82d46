"""The lock on a home or on a session: ``flock`` on a file that also says who holds it.

Light on purpose (the worker takes the lock itself). The kernel frees the lock when its holder dies, however it dies; the text in
the file is believed only while the kernel says that the lock is held. Lock files are never unlinked while they may be in use:
two processes could then hold "the same" lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from wasess.errors import Locked, UnsafeHome
from wasess.store.guard import beginning
from wasess.words import _

if TYPE_CHECKING:
    from types import TracebackType

# Over these, flock is local to one machine, or emulated by POSIX locks that vanish when any descriptor of the file is closed.
NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"})
RETRY_EVERY = 0.02
PROBES_END_WITHIN = 1.0
SIGNS_WITHIN = 0.5
LARGEST_PID = 2**22  # proc(5), pid_max

_held: set[FileLock] = set()


class Holder(NamedTuple):
    """Who holds a lock. ``pid`` is 0 when the file does not say; ``since`` is Unix time in seconds."""

    pid: int
    host: str
    boot_id: str
    purpose: str
    since: float

    def is_this_process(self) -> bool:
        """Whether the calling process is the holder."""
        return (self.pid, self.host, self.boot_id) == (os.getpid(), os.uname().nodename, _boot_id())

    def __str__(self) -> str:
        if not self.pid:
            return _("another process")
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        if self.host == os.uname().nodename:
            return _("process {pid} ({purpose}, since {since})").format(pid=self.pid, purpose=_(self.purpose), since=since)
        return _("process {pid} on {host} ({purpose}, since {since})").format(
            pid=self.pid, host=self.host, purpose=_(self.purpose), since=since
        )


NOBODY_KNOWN = Holder(0, "", "", "", 0.0)


class FileLock:
    """A held lock; a context manager that releases it.

    The descriptor is close-on-exec, and a forked child drops its copy. To hand the lock to a program on purpose, give
    ``fileno()`` to ``subprocess`` as one of ``pass_fds``, and end without releasing: the lock lasts as long as that program.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _held.add(self)

    @classmethod
    def acquire(cls, path: str | os.PathLike[str], purpose: str, wait: float = 0) -> Self:
        """Take the lock at ``path``, creating the file (0600); wait up to ``wait`` seconds for the holder to let go.

        ``purpose`` is what others are told: "serve", "pairing". Raises `errors.Locked` naming the holder, and
        `errors.UnsafeHome` on a network file system or when ``path`` is a link.
        """
        name = os.fspath(path)
        now = time.monotonic()
        deadline, probes_deadline = now + wait, now + max(wait, PROBES_END_WITHIN)
        while True:
            descriptor = _open(name)
            if _take(descriptor) and _is_at(descriptor, name):
                _write_holder(descriptor, purpose)
                return cls(descriptor)
            # A shared lock is only somebody asking who holds it: that ends by itself.
            patience = deadline if _held_exclusively(descriptor) else probes_deadline
            os.close(descriptor)
            if time.monotonic() >= patience:
                raise _locked(name)
            time.sleep(RETRY_EVERY)

    def keep(self, path: str | os.PathLike[str], purpose: str) -> bool:
        """Take the lock anew where ``path`` does not lead to it any more; returns whether it does not. Raises as `acquire`: somebody else may have it."""
        if self.is_at(path):
            return False
        fresh = FileLock.acquire(path, purpose)
        os.close(self._descriptor)
        self._descriptor = fresh._descriptor  # noqa: SLF001 - of the same class
        _held.discard(fresh)
        return True

    def release(self) -> None:
        """Let go, for every process that has the descriptor. May be called twice."""
        if self._descriptor >= 0:
            # Closing is not enough: a program that is just being started holds a copy until its exec is through.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._drop()

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Whether ``path`` still leads to it: else it keeps nobody out any more."""
        return _is_at(self._descriptor, os.fspath(path))

    def fileno(self) -> int:
        """Return the open descriptor, -1 after `release`."""
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _drop(self) -> None:
        _held.discard(self)
        os.close(self._descriptor)
        self._descriptor = -1


def holder(path: str | os.PathLike[str]) -> Holder | None:
    """Tell who holds the lock at ``path`` now; None when nobody does, or nobody can: it is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return read_holder(os.pread(descriptor, 4096, 0)) if _is_file(descriptor) and _held_exclusively(descriptor) else None
    finally:
        os.close(descriptor)


def last_host(path: str | os.PathLike[str]) -> str:
    """Name the last other host that the lock at ``path`` was ever taken on; empty when there is none.

    A folder that was copied or moved brings its lock file along.
    """
    try:
        return _elsewhere(beginning(path))
    except OSError:
        return ""


def read_holder(text: bytes) -> Holder:
    """Read what `FileLock.acquire` wrote: one line of JSON. Text that can't be read gives a holder without a pid."""
    try:
        fields: dict[str, Any] = json.loads(text.partition(b"\n")[0])
        found = Holder(int(fields["pid"]), str(fields["host"]), str(fields["boot_id"]), str(fields["purpose"]), float(fields["since"]))
        time.localtime(found.since)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return NOBODY_KNOWN
    return found if 0 < found.pid <= LARGEST_PID and found.purpose else NOBODY_KNOWN


def filesystem_type(mountinfo: str, device: int) -> str:
    """Find the file system type of ``device`` (an ``st_dev``) in the text of ``/proc/self/mountinfo``; empty when not listed."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2:3] == [number]:
            return source.split()[0]
    return ""


def _open(name: str) -> int:
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if os.path.islink(name):  # noqa: PTH114 - pathlib is not loaded in the worker for this
            raise UnsafeHome(
                _("{name} is a symbolic link; nothing was changed.").format(name=name), hint=_("Remove the link and try again.")
            ) from error
        if isinstance(error, IsADirectoryError):
            raise _refusal(name, _("is not a file")) from error
        raise
    status = os.fstat(descriptor)
    if fault := _fault(status):
        os.close(descriptor)
        raise _refusal(name, fault)
    kind = filesystem_type(_mountinfo(), status.st_dev)
    if kind in NETWORK_FILESYSTEMS:
        os.close(descriptor)
        raise UnsafeHome(
            _("{name} is on a network file system ({kind}), where locks do not keep two machines apart; nothing was changed.").format(
                name=name, kind=kind
            ),
            hint=_("Use a home on a local disk: --home FOLDER or WASESS_HOME."),
        )
    return descriptor


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _fault(status: os.stat_result) -> str:
    """What keeps this from being a lock; empty when nothing does."""
    if not stat.S_ISREG(status.st_mode):
        return _("is not a file")
    return _("has a second name (hard link) elsewhere") if status.st_nlink > 1 else ""


def _refusal(name: str, what: str) -> UnsafeHome:
    return UnsafeHome(_("{path} {what}; nothing was changed.").format(path=name, what=what), hint=_("Remove it and try again."))


def _mountinfo() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return ""


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held_exclusively(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _is_at(descriptor: int, name: str) -> bool:
    """Whether the file was not removed together with its session before the lock was ours."""
    try:
        found = os.stat(name, follow_symlinks=False)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _write_holder(descriptor: int, purpose: str) -> None:
    me = Holder(os.getpid(), os.uname().nodename, _boot_id(), purpose, time.time())
    elsewhere = _elsewhere(os.pread(descriptor, 4096, 0))
    text = json.dumps({**me._asdict(), "elsewhere": elsewhere} if elsewhere else me._asdict()).encode() + b"\n"
    # In this order a reader never meets an empty or a half text.
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _elsewhere(text: bytes) -> str:
    """The host of the holder that a lock file names if that is not this one, else the one which that holder remembered."""
    me, found = os.uname().nodename, read_holder(text)
    if found.host not in {"", me} and found.boot_id != _boot_id():  # a container's name may change on one machine
        return found.host
    try:
        remembered = json.loads(text.partition(b"\n")[0]).get("elsewhere", "")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return remembered if isinstance(remembered, str) and remembered != me else ""


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - as above
            return file.read().strip()
    except OSError:
        return ""


def _locked(name: str) -> Locked:
    folder, file = os.path.split(os.path.abspath(name))  # noqa: PTH100 - as above
    session = os.path.basename(folder)  # noqa: PTH119 - as above
    subject = _("The home {folder}").format(folder=folder) if file.startswith(".") else _("The session {user!r}").format(user=session)
    found = _signed_holder(name)
    if found is None:
        return Locked(_("{subject} was in use a moment ago; nothing was changed.").format(subject=subject), hint=_("Try again."))
    what = _("process {pid}").format(pid=found.pid) if found.pid else _("that process")
    return Locked(
        _("{subject} is in use by {holder}; nothing was changed.").format(subject=subject, holder=found),
        hint=_("Wait until {holder} ends, or stop it; then try again.").format(holder=what),
    )


def _signed_holder(name: str) -> Holder | None:
    """Tell the holder. One that took a new lock file this moment has not written its name yet: give it time."""
    deadline = time.monotonic() + SIGNS_WITHIN
    while (found := holder(name)) and not found.pid and time.monotonic() < deadline:
        time.sleep(RETRY_EVERY)
    return found


def _drop_inherited() -> None:
    for lock in tuple(_held):
        lock._drop()  # noqa: SLF001 - the other half of the class: without unlocking, which would be for the parent too


os.register_at_fork(after_in_child=_drop_inherited)
