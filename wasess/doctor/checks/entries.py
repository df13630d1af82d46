"""Modes, owners, links and kinds of what is in a home: the rule of `store.guard`, for everything at once and with the command that helps."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.doctor.findings import Finding, Level, command
from wasess.store.device import DEVICE_NAME
from wasess.store.guard import OTHERS, OTHERS_WRITE
from wasess.store.mail import MAIL_NAME
from wasess.store.media import MEDIA_NAME
from wasess.store.names import KEPT_NAME, OUTGOING_NAME, RUNNING_NAME, database_files
from wasess.store.rescue import RESCUED
from wasess.store.sessions import PAUSED_NAME, SESSION_LOCK_NAME
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OWN_FILES = frozenset(
    {
        *database_files(DEVICE_NAME),
        *database_files(MAIL_NAME),
        MAIL_NAME + RESCUED,
        *("session.json", "session.json.bak", "spool.log", "spool.pos", "spool.ends"),
        *(SESSION_LOCK_NAME, PAUSED_NAME, RUNNING_NAME),
    }
)
OWN_FOLDERS = frozenset({KEPT_NAME, MEDIA_NAME, OUTGOING_NAME})
NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder, as `os.lstat` sees it. ``dangling``: a link to nothing."""

    path: Path
    status: os.stat_result
    dangling: bool = False

    @property
    def kind(self) -> str:
        """``link``, ``folder``, ``file`` or ``other`` (a socket, a pipe, a device)."""
        mode = self.status.st_mode
        kinds = {"link": stat.S_ISLNK, "folder": stat.S_ISDIR, "file": stat.S_ISREG}
        return next((kind for kind, test in kinds.items() if test(mode)), "other")

    @property
    def mode(self) -> int:
        """The permission bits."""
        return stat.S_IMODE(self.status.st_mode)


def entries(folder: Path) -> list[Entry]:
    """What is in a folder, sorted by name. Raises OSError when it can't be listed."""
    return [found for path in sorted(folder.iterdir()) if (found := entry(path))]


def entry(path: Path) -> Entry | None:
    """None when there is nothing of that name (any more). Raises OSError when that can't be told."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return Entry(path, status, dangling=stat.S_ISLNK(status.st_mode) and not path.exists())


def judge_folder(found: Entry, user: str = "") -> list[Finding]:
    """What is wrong with a home or a session's folder itself."""
    path = found.path
    if found.kind == "link":
        sentence = _("{path} is a symbolic link, and wasess follows none").format(path=path)
        return [Finding("FOLDER_IS_LINK", "error", sentence, _unlinked(found), user)]
    if found.kind != "folder":
        sentence = _("{path} is not a folder").format(path=path)
        return [Finding("NOT_A_FOLDER", "error", sentence, command("mv", path, f"{path}.aside"), user)]
    if found.status.st_uid != os.geteuid():
        return [_foreign([found], path, user)]
    if found.mode & OTHERS:
        sentence = _("{path} can be entered or listed by other users (mode {mode:o})").format(path=path, mode=found.mode)
        return [Finding("FOLDER_OPEN", "error", sentence, command("chmod", "700", path), user)]
    if found.mode & 0o700 != 0o700:
        sentence = _("{path} is closed to its own owner (mode {mode:o})").format(path=path, mode=found.mode)
        return [Finding("FOLDER_CLOSED", "error", sentence, command("chmod", "700", path), user)]
    return []


def judge_files(folder: Path, found: list[Entry], user: str) -> list[Finding]:
    """What is wrong with the files of a session's folder; one finding a fault, however many files have it."""
    folders = [item for item in found if item.path.name in OWN_FOLDERS]
    faults = list(_faults(folder, [item for item in found if item not in folders], user))
    for item in folders:
        faults += judge_folder(item, user)
        if item.kind == "folder" and item.path.name in {MEDIA_NAME, OUTGOING_NAME}:
            faults += _judge_media(item.path, user)
    return faults


def _judge_media(folder: Path, user: str) -> Iterator[Finding]:
    """The files that came with messages: there may be thousands, and each is called as we like."""
    try:
        files = [item for item in entries(folder) if item.kind == "file"]
    except OSError:  # the folder is closed, which was said
        return
    if foreign := [item for item in files if item.status.st_uid != os.geteuid()]:
        yield _foreign(foreign, folder, user)
    yield from _modes(folder, [item for item in files if item.status.st_uid == os.geteuid()], user)


def _faults(folder: Path, found: list[Entry], user: str) -> Iterator[Finding]:
    own = os.geteuid()
    regular = [item for item in found if item.kind == "file"]
    ours = [item for item in regular if item.status.st_uid == own]
    for item in found:
        if item.kind == "link":
            sentence = _("{name} is a symbolic link, and wasess follows none").format(name=item.path.name)
            yield Finding("FILE_IS_LINK", "error", sentence, _unlinked(item), user)
        elif item.path.name in OWN_FILES and item.kind != "file":
            sentence = _("{name} is not a file").format(name=item.path.name)
            yield Finding("NOT_A_FILE", "error", sentence, command("mv", item.path, f"{item.path}.aside"), user)
    if foreign := [item for item in regular if item.status.st_uid != own]:
        yield _foreign(foreign, folder, user)
    for item in ours:
        if item.status.st_nlink > 1:
            sentence = _("{name} has a second name (hard link) elsewhere").format(name=item.path.name)
            fix = f"{command('cp', '-p', item.path, f'{item.path}.copy')} && {command('mv', f'{item.path}.copy', item.path)}"
            yield Finding("FILE_HARD_LINKED", "error", sentence, fix, user)
    yield from _modes(folder, [item for item in ours if item.path.name in OWN_FILES or item.path.name.startswith(".")], user)
    if strange := [item.path.name for item in found if item.path.name not in OWN_FILES and not item.path.name.startswith(".")]:
        sentence = _("not a file of wasess: {names}").format(names=_listed(strange))
        yield Finding("STRANGE_FILES", "note", sentence, command("ls", "-la", folder), user)


def _modes(folder: Path, ours: list[Entry], user: str) -> Iterator[Finding]:
    faults: list[tuple[str, Level, str, Callable[[int], bool]]] = [
        ("FILE_WRITABLE", "error", _("can be written by other users: {names}"), lambda mode: bool(mode & OTHERS_WRITE)),
        ("FILE_READABLE", "warning", _("more open than 0600: {names}"), lambda mode: bool(mode & OTHERS) and not mode & OTHERS_WRITE),
        ("FILE_CLOSED", "error", _("closed to its own owner: {names}"), lambda mode: mode & 0o600 != 0o600),
    ]
    for code, level, sentence, applies in faults:
        bad = [item for item in ours if applies(item.mode)]
        if not bad:
            continue
        names = _listed([f"{item.path.name} ({item.mode:o})" for item in bad])
        fix = (
            command("chmod", "600", *(item.path for item in bad))
            if len(bad) <= NAMES_SHOWN
            else command("chmod", "-R", "u+rwX,go=", folder)
        )
        yield Finding(code, level, sentence.format(names=names), fix, user)


def _foreign(found: list[Entry], path: Path, user: str) -> Finding:
    owner = found[0].status.st_uid
    names = _listed([item.path.name for item in found])
    sentence = _("belongs to another user (uid {owner}, you are {own}): {names}").format(owner=owner, own=os.geteuid(), names=names)
    return Finding("FOREIGN_OWNER", "error", sentence, command("sudo", "chown", "-R", f"{os.geteuid()}:{os.getegid()}", path), user)


def _unlinked(found: Entry) -> str:
    """A link is replaced by a copy of what it leads to; the original stays."""
    if found.dangling:
        return command("rm", found.path)
    target = command(found.path.resolve())
    return f"{command('rm', found.path)} && cp -a {target} {command(found.path)}"


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(_readable(name) for name in names[:NAMES_SHOWN])
    return shown + plural(" and {count} more", " and {count} more", more).format(count=more) if more > 0 else shown


def _readable(name: str) -> str:
    """A name that can't harm a terminal."""
    return name if name.isprintable() else ascii(name)
