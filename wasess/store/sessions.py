"""The session store: the one door to ``auth_sessions/`` for every command.

A *home* is a folder (0700) with one folder for every user; a *session* is such a folder, complete in itself: moving it moves the
session. What is refused and what is tightened stands in `store.guard`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import unicodedata
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wasess.errors import BadUserId, NotLinked, UsageError
from wasess.store.atomic import sync_folder
from wasess.store.device import DEVICE_NAME, Credentials, Device, RollbackNeeded, is_protected, protect_device, read_credentials, roll_back
from wasess.store.guard import FILE_MODE, FOLDER_MODE, guard_file, guard_folder
from wasess.store.lock import FileLock, Holder, holder, last_host
from wasess.store.names import KEPT_NAME, RUNNING_NAME, database_files
from wasess.store.records import RecordFile
from wasess.store.spool import SPOOL_NAME
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    from wasess.store.records import SessionRecord

HOME_LOCK_NAME = ".lock"
SESSION_LOCK_NAME = "lock"
REALM_NAME = ".realm"
ALIVE_NAME = ".alive"
PAUSED_NAME = "paused"
# A worker that was told to end may take this long.
LETS_GO_WITHIN = 3.0
# A worker hands an event over within moments; one that hangs is killed within seconds.
HANDED_OVER_WITHIN = 300.0

Realm = Literal["whatsapp", "sandbox"]

_USER_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_WINDOWS_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
_REASON = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_SHRED_CHUNK = 1024 * 1024

logger = logging.getLogger(__name__)


def parse_user_id(text: str) -> str:
    """Return ``text`` when it is a user id: a folder name that means the same on every file system. Raises `BadUserId`."""
    shown = ascii(text if len(text) <= 70 else text[:67] + "...")
    plain = unicodedata.normalize("NFKC", text).casefold()
    if plain in _WINDOWS_NAMES:
        raise BadUserId(
            _("{shown} can't be a user id: Windows reserves this name.").format(shown=shown), hint=_("Add something to it, as in con-1.")
        )
    if _USER_ID.fullmatch(text) and plain == text:
        return text
    if len(text) > 64:
        rule = _("it may have at most 64 characters")
    elif re.search(r"[^a-z0-9_-]", text):
        rule = _("only the letters a-z (no capitals), the digits 0-9, - and _ are allowed")
    else:
        rule = _("it must begin and end with a letter or a digit") if text else _("it may not be empty")
    proposal = _("Use {plain} instead.").format(plain=plain) if plain != text and _USER_ID.fullmatch(plain) else _("An example: alice-2.")
    raise BadUserId(_("{shown} can't be a user id: {rule}.").format(shown=shown, rule=rule), hint=proposal)


class Home:
    """The folder of all sessions. Making one touches nothing; `open` checks it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def open(self, *, create: bool) -> Home:
        """Check the home, and with ``create`` make it or tighten its mode to 0700. Raises `UnsafeHome`; a missing home is an empty one.

        The mode of one without a session is put right in any case: git makes ``auth_sessions/`` with mode 755, and it holds no secret yet.
        """
        if create:
            with suppress(FileExistsError):
                self.path.mkdir(mode=FOLDER_MODE, parents=True)
        guard_folder(self.path, tighten=create or self._is_empty())
        return self

    def _is_empty(self) -> bool:
        try:
            return not self.sessions()
        except OSError:  # `guard_folder` says what is wrong with it
            return False

    def claim_realm(self, realm: Realm) -> None:
        """Mark the home as used with the real WhatsApp or with a stand-in. Raises `UsageError` when it is marked otherwise."""
        descriptor = os.open(self.path / REALM_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # two first claims at once: one is the first
            found = file.read().decode(errors="replace")
            if not found:
                file.write(realm.encode())
                os.fsync(descriptor)
        if found not in {"", realm}:
            other = _("the real WhatsApp") if realm == "sandbox" else _("a stand-in for WhatsApp (sandbox)")
            raise UsageError(
                _("The home {home} was used with {other}; its sessions are unknown elsewhere. Nothing was changed.").format(
                    home=self.path, other=other
                ),
                hint=_("Name another home for this: --home FOLDER or WASESS_HOME."),
            )

    def session(self, user_id: str) -> Session:
        """Return the session of a user, whether or not its folder exists. Raises `BadUserId`."""
        return Session(self, parse_user_id(user_id))

    def sessions(self) -> list[Session]:
        """Return all sessions, sorted by user id; other files, links and folders with impossible names are passed over."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _is_user_id(entry.name)]
        except FileNotFoundError:
            return []
        return [Session(self, name) for name in sorted(names)]

    def lock(self, purpose: str, wait: float = 0) -> FileLock:
        """Become the one manager of this home. Raises `Locked`."""
        return FileLock.acquire(self.path / HOME_LOCK_NAME, purpose, wait)

    def note_alive(self) -> None:
        """Leave a sign that a manager runs; an unfit file system is no reason to stop."""
        with suppress(OSError):
            os.close(os.open(self.path / ALIVE_NAME, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE))
            os.utime(self.path / ALIVE_NAME, follow_symlinks=False)

    def last_alive(self) -> float:
        """Return the Unix time of the last sign; 0.0 when there never was one."""
        try:
            return (self.path / ALIVE_NAME).lstat().st_mtime
        except OSError:
            return 0.0

    def lock_holder(self) -> Holder | None:
        """Tell which process manages this home now."""
        return holder(self.path / HOME_LOCK_NAME)


class Session:
    """The folder of one user. Methods that open something in it raise `UnsafeHome` when the folder is not as it must be."""

    def __init__(self, home: Home, user: str) -> None:
        self.user = user
        self.folder = home.path / user
        self._home = home

    def create(self) -> None:
        """Make the folder (0700), or tighten what is too open in it."""
        with suppress(FileExistsError):
            self.folder.mkdir(mode=FOLDER_MODE)
            sync_folder(self._home.path)
        guard_folder(self.folder, tighten=True)
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    guard_file(Path(entry.path), tighten=True)

    def exists(self) -> bool:
        """Whether there is a folder. It may hold no credentials: see `linked`."""
        return os.path.lexists(self.folder)

    def credentials(self) -> Credentials:
        """Return what is in device.db; nothing is set in the answer when there is no file.

        May be called while a worker writes. Rolls a dead writer's transaction back, if nobody holds the session.
        Raises `DeviceDamaged`, or `Locked` when the file stays busy or needs a rollback that is the holder's to do.
        """
        if not self._guarded():
            return Credentials()
        path = self.folder / DEVICE_NAME
        try:
            return read_credentials(path)
        except RollbackNeeded:
            with self._exclusively(mark("rolling device.db back")):
                return read_credentials(path, may_write=True)

    def protected_credentials(self) -> Credentials:
        """Return what `credentials` does, once the library can't delete them any more, and can decrypt again what died with the last worker.

        For whoever is about to start a worker. Writes only the first time and after a worker that did not end cleanly, and only while nobody
        holds the session; a holder gets 3 s to let go. Raises as `credentials` does, and `device.NoRoom` on a full disk.
        """
        found = self.credentials()
        died = (self.folder / RUNNING_NAME).exists()
        path = self.folder / DEVICE_NAME
        if found.device and (died or not is_protected(path)):
            with self._exclusively(mark("protecting credentials"), LETS_GO_WITHIN):
                protect_device(path)
                if died:
                    self._roll_back()
        return found

    def _roll_back(self) -> None:
        """Let what the last worker had not handed over be decrypted again: WhatsApp brings it once more."""
        try:
            handed_over_at = (self.folder / SPOOL_NAME).stat().st_mtime
        except FileNotFoundError:
            handed_over_at = 0.0
        done = roll_back(self.folder / DEVICE_NAME, handed_over_at - HANDED_OVER_WITHIN)
        (self.folder / RUNNING_NAME).unlink(missing_ok=True)
        sync_folder(self.folder)
        logger.info("%s: the last worker was cut off; up to %d messages can be decrypted again", self.user, done.keys)

    def lost_credentials(self, found: Credentials, record: SessionRecord | None) -> str:
        """Say what is wrong with device.db when ``record`` knows a device and ``found`` has no trace of one; empty when that fits."""
        if record is None or record.jid is None or found.made:
            return ""
        path = self.folder / DEVICE_NAME
        if not path.exists():
            return _("device.db is missing")
        return _("device.db has no tables") if path.stat().st_size else _("device.db is empty")

    def device(self) -> Device | None:
        """Return the device that is linked, None when none is, also when one was and WhatsApp has unlinked it. Raises as `credentials`."""
        return self.credentials().device

    @property
    def linked(self) -> bool:
        """Whether there are good credentials. Raises as `credentials`: damaged is not the same as not linked."""
        return self.device() is not None

    def lock(self, purpose: str, wait: float = 0) -> FileLock:
        """Take the session for this process. Raises `Locked`, and `NotLinked` when there is no folder (see `create`)."""
        self._require()
        return FileLock.acquire(self.folder / SESSION_LOCK_NAME, purpose, wait)

    def lock_holder(self) -> Holder | None:
        """Tell which process holds the session now."""
        return holder(self.folder / SESSION_LOCK_NAME)

    def rival(self, own_pids: Collection[int]) -> str:
        """Say who else may use this session, after WhatsApp has told that somebody does; empty when this machine does not know."""
        found = self.lock_holder()
        if found and found.pid and found.pid not in own_pids:
            return _("process {pid} on this machine").format(pid=found.pid)
        elsewhere = last_host(self.folder / SESSION_LOCK_NAME)
        return _("host {host}").format(host=elsewhere) if elsewhere else ""

    def pause(self) -> None:
        """Mark the session as one that no manager may bring up; a mark that is there keeps its time. Raises `NotLinked` without a folder."""
        self._require()
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self.folder / PAUSED_NAME, flags, FILE_MODE))
            sync_folder(self.folder)

    def resume(self) -> None:
        """Take the mark away. Raises `NotLinked` without a folder."""
        self._require()
        (self.folder / PAUSED_NAME).unlink(missing_ok=True)
        sync_folder(self.folder)

    def paused_at(self) -> float | None:
        """Return the Unix time since when it is marked; None when it is not."""
        try:
            return (self.folder / PAUSED_NAME).lstat().st_mtime
        except OSError:
            return None

    @property
    def record(self) -> RecordFile:
        """The session's record and history."""
        self._guarded()
        return RecordFile(self.folder)

    def set_aside(self, reason: str) -> Path | None:
        """Move the credentials to ``kept/<UTC time>-<reason>/``; return that folder, None when there were none.

        ``reason``: lower-case words joined by ``-``. Raises `Locked` when another process holds the session.
        """
        if not _REASON.fullmatch(reason):
            raise ValueError(f"not a reason for a folder name: {reason!r}")
        if not self._guarded():
            return None
        with self._exclusively(mark("setting credentials aside")):
            # The database goes first: a crash then leaves a journal without it, which SQLite ignores, and not the reverse.
            names = [name for name in database_files(DEVICE_NAME) if (self.folder / name).exists()]
            if not names:
                return None
            kept = self.folder / KEPT_NAME / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{reason}"
            kept.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            kept.mkdir(mode=FOLDER_MODE)
            for name in names:
                (self.folder / name).rename(kept / name)
            for folder in (kept, kept.parent, self.folder):
                sync_folder(folder)
            return kept

    def remove(self) -> None:
        """Overwrite and delete everything of this session, what was set aside too. Raises `Locked` when another process holds it.

        Overwriting is a best effort: flash storage and copy-on-write file systems keep old blocks. It is no logout:
        WhatsApp still lists the device.
        """
        if not self._guarded():
            return
        with self._exclusively(mark("removing the session")):
            for root, folders, files in os.walk(self.folder, topdown=False):
                for name in files:
                    with suppress(FileNotFoundError):  # a reader of the mail has just closed, and SQLite tidied up behind it
                        _shred(Path(root, name))
                for name in folders:
                    folder = Path(root, name)
                    folder.unlink() if folder.is_symlink() else folder.rmdir()
            self.folder.rmdir()
        sync_folder(self._home.path)

    def rename(self, name: str) -> Session:
        """Give the session another user id, and return it under that. Nothing else of it changes: its folder is self-contained.

        Raises `BadUserId`, `UsageError` when there is a session of that name, `Locked` when another process holds this one, and
        `NotLinked` without a folder.
        """
        renamed = self._home.session(name)
        self._require()
        with self._exclusively(mark("renaming the session")):
            if renamed.exists():
                raise UsageError(_("there is a session {name} already; nothing was changed").format(name=name), hint="wasess list")
            record = self.record.load()
            if record is not None:
                self.record.note(user=name)
            self.folder.rename(renamed.folder)
        sync_folder(self._home.path)
        return renamed

    def _require(self) -> None:
        if not self._guarded():
            raise NotLinked(
                _("There is no session {user!r} in {home}.").format(user=self.user, home=self._home.path),
                hint=f"wasess connect {self.user}",
            )

    def _guarded(self) -> bool:
        """Check the folder; return whether it exists."""
        return guard_folder(self.folder, tighten=False)

    def _exclusively(self, purpose: str, wait: float = 0) -> AbstractContextManager[object]:
        """Hold the session's lock for a ``with`` block, unless this process holds it already."""
        found = self.lock_holder()
        return nullcontext() if found and found.is_this_process() else self.lock(purpose, wait)


def _is_user_id(name: str) -> bool:
    return _USER_ID.fullmatch(name) is not None and name not in _WINDOWS_NAMES


def _shred(path: Path) -> None:
    """Overwrite (unless the content also belongs to another name or is not a file) and delete."""
    status = path.lstat()
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        with path.open("r+b", buffering=0) as file:
            for offset in range(0, status.st_size, _SHRED_CHUNK):
                file.write(bytes(min(_SHRED_CHUNK, status.st_size - offset)))
            os.fsync(file.fileno())
    path.unlink()
