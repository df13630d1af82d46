"""Whether a file that is code to run, or holds a secret, can have been written by others: the rule of ``wasess.toml``, bots and secrets.

* It belongs to us or to root, and so does the link that leads to it: root could do what it likes anyway, and owns what is installed.
* Neither its group nor others may write it.
* No folder above it is one in which anybody may put another in its place; a sticky one (``/tmp``) keeps ours. Where Python looks for
  modules beside it, nobody else may put any: that folder is ours or root's, and not sticky either.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from wasess.errors import UsageError
from wasess.store.guard import OTHERS_WRITE
from wasess.words import _, mark

ANYBODY_WRITES = 0o002
ROOT = 0
CODE = mark("it is code to run")
SECRET = mark("it holds a secret")


def require_trust(path: Path, why: str, *, imports: int = 0) -> None:
    """Refuse a file that others can have written; one that is not there is somebody else's matter. Raises `UsageError`.

    ``why`` it matters: `CODE` or `SECRET`. ``imports``: modules are loaded from so many of the folders that it is in, the nearest first.
    """
    try:
        link, status, real = path.lstat(), path.stat(), path.resolve()
        folders = {folder: folder.stat() for folder in (*path.absolute().parents, *real.parents)}
        searched = {*path.absolute().parents[:imports], *real.parents[:imports]}
    except OSError:
        return
    if is_foreign(link) or is_foreign(status):
        _refuse(_("{file} belongs to another user, and {why}; it was not used"), path, why, f"ls -l {real}")
    if status.st_mode & OTHERS_WRITE:
        _refuse(_("{file} can be written by other users, and {why}; it was not used"), path, why, f"chmod go-w {real}")
    for folder, found in folders.items():
        beside = folder in searched
        if found.st_mode & ANYBODY_WRITES and (beside or not found.st_mode & stat.S_ISVTX):
            hint = _("move it to a folder of your own") if found.st_mode & stat.S_ISVTX else f"chmod o-w {folder}"
            _refuse(_("{file} is in a folder that other users can write ({folder}), and {why}; it was not used"), path, why, hint, folder)
        if beside and is_foreign(found):
            hint = _("move it to a folder of your own")
            _refuse(_("{file} is in a folder of another user ({folder}), and {why}; it was not used"), path, why, hint, folder)


def is_foreign(status: os.stat_result) -> bool:
    """Whether something belongs neither to us nor to root."""
    if status.st_uid in {ROOT, os.geteuid()}:
        return False
    return not (_root_is_unknown() and status.st_uid == _overflow())


def _root_is_unknown() -> bool:
    """Whether this is a user namespace without root (a user's unit with PrivateUsers): what is root's looks like nobody's there."""
    with suppress(OSError, ValueError):
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
        return not any(int(first) <= ROOT < int(first) + int(count) for first, _outside, count in ranges)
    return False


def _overflow() -> int:
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    return -1


def _refuse(sentence: str, path: Path, why: str, hint: str, folder: Path | None = None) -> NoReturn:
    raise UsageError(sentence.format(file=path, why=_(why), folder=folder), hint=hint)
