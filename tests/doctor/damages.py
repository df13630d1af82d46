"""Ways in which a home falls apart, one function each, on the home of a linked session called alice."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wasess.core.message import Message
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailFile

if TYPE_CHECKING:
    from collections.abc import Callable

GARBAGE = b"\x00\xff this is not what you are looking for {[\n" * 40


@dataclass(frozen=True)
class Damage:
    """``code``: a finding that must be there; ``exit_code``: with a home that is well otherwise, and no manager.

    ``gone``: nothing is left of the home, or of the session, that another damage could strike.
    """

    name: str
    strike: Callable[[Path], object]
    code: str
    exit_code: int = 8
    gone: bool = False


def session(name: str) -> Callable[[Path], Path]:
    return lambda home: home / "alice" / name


def replaced(name: str, content: bytes) -> Callable[[Path], object]:
    def strike(home: Path) -> None:
        path = home / name
        _cleared(path)
        path.write_bytes(content)
        path.chmod(0o600)

    return strike


def both_records(home: Path) -> None:
    replaced("alice/session.json", GARBAGE)(home)
    replaced("alice/session.json.bak", GARBAGE)(home)


def folder_instead(name: str) -> Callable[[Path], object]:
    def strike(home: Path) -> None:
        _cleared(home / name)
        (home / name).mkdir(mode=0o700)

    return strike


def linked_away(name: str) -> Callable[[Path], object]:
    """The thing is elsewhere, and a symbolic link leads there."""

    def strike(home: Path) -> None:
        away = home.with_name(f"{home.name}-{name.replace('/', '-')}")
        with suppress(FileNotFoundError):
            (home / name).rename(away)
        (home / name).symlink_to(away)

    return strike


def dangling(name: str) -> Callable[[Path], object]:
    def strike(home: Path) -> None:
        _cleared(home / name)
        (home / name).symlink_to("/nowhere/at/all")

    return strike


def hard_linked(name: str) -> Callable[[Path], object]:
    return lambda home: os.link(home / name, home.with_name(f"second-{name.replace('/', '-')}"), follow_symlinks=False)


def mode(name: str, bits: int) -> Callable[[Path], object]:
    return lambda home: (home / name).chmod(bits) if not (home / name).is_symlink() else None


def pipe(name: str) -> Callable[[Path], object]:
    def strike(home: Path) -> None:
        _cleared(home / name)
        os.mkfifo(home / name, 0o600)

    return strike


def dead_socket(home: Path) -> None:
    _cleared(home / ".control.sock")
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(home, os.O_PATH)
    listener.bind(f"/proc/self/fd/{folder}/.control.sock")
    listener.close()
    os.close(folder)


def old_temporary_file(home: Path) -> None:
    path = home / "alice" / ".session.json.4711.tmp"
    path.write_bytes(b"{")
    path.chmod(0o600)
    os.utime(path, (1, 1))


def cut_in_half(home: Path) -> None:
    path = home / "alice" / "device.db"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def page_of_zeroes(home: Path) -> None:
    """In the middle of the filler: what wasess itself reads is whole."""
    path = home / "alice" / "device.db"
    with path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(bytes(4096))


def half_a_mailbox(home: Path) -> None:
    replaced("alice/inbox.db", _half_a_mailbox())(home)


@cache
def _half_a_mailbox() -> bytes:
    with TemporaryDirectory() as folder:
        with closing(MailFile(Path(folder))) as mail:
            Inbox(mail).take_in([Arrival(Message(f"{number}", "a@lid", "a@lid", "x" * 2000, 0.0), 1.0) for number in range(50)], None)
        content = mail.path.read_bytes()
    return content[: len(content) // 2]


def torn_spool(home: Path) -> None:
    replaced("alice/spool.log", GARBAGE)(home)


def alive_tomorrow(home: Path) -> None:
    (home / ".alive").touch()
    os.utime(home / ".alive", (4_000_000_000, 4_000_000_000))


def newer_record(home: Path) -> None:
    replaced("alice/session.json", b'{"schema": 99}')(home)


def _cleared(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


DAMAGES = (
    Damage("home-open", mode("", 0o755), "FOLDER_OPEN"),
    Damage("lock-garbage", replaced(".lock", GARBAGE), "LOCK_GARBAGE"),
    Damage("lock-is-folder", folder_instead(".lock"), "NOT_A_FILE"),
    Damage("lock-is-link", dangling(".lock"), "FILE_IS_LINK"),
    Damage("realm-garbage", replaced(".realm", GARBAGE), "REALM_UNKNOWN"),
    Damage("realm-is-folder", folder_instead(".realm"), "NOT_A_FILE"),
    Damage("alive-tomorrow", alive_tomorrow, "CLOCK_SET_BACK"),
    Damage("dead-socket", dead_socket, "STALE_SOCKET"),
    Damage("socket-is-folder", folder_instead(".control.sock"), "NO_MANAGER"),
    Damage("stranger-in-home", replaced("notes.txt", b"hello"), "NO_MANAGER"),
    Damage("session-open", mode("alice", 0o750), "FOLDER_OPEN", 8),
    Damage("session-closed", mode("alice", 0o000), "FOLDER_CLOSED"),
    Damage("database-garbage", replaced("alice/device.db", GARBAGE), "DATABASE_DAMAGED", 4),
    Damage("database-short", replaced("alice/device.db", b"SQLite"), "DATABASE_DAMAGED", 4),
    Damage("database-empty", replaced("alice/device.db", b""), "DATABASE_DAMAGED", 4),
    Damage("database-half", cut_in_half, "DATABASE_DAMAGED", 4),
    Damage("database-page", page_of_zeroes, "DEVICE_DB_DAMAGED", 8),
    Damage("database-folder", folder_instead("alice/device.db"), "NOT_A_FILE", 1),
    Damage("database-link", linked_away("alice/device.db"), "FILE_IS_LINK", 1),
    Damage("database-dangling", dangling("alice/device.db"), "FILE_IS_LINK", 1),
    Damage("database-pipe", pipe("alice/device.db"), "NOT_A_FILE", 1),
    Damage("database-hard-link", hard_linked("alice/device.db"), "FILE_HARD_LINKED", 1),
    Damage("database-readable", mode("alice/device.db", 0o644), "FILE_READABLE"),
    Damage("database-writable", mode("alice/device.db", 0o666), "FILE_WRITABLE", 1),
    Damage("record-garbage", replaced("alice/session.json", GARBAGE), "RECORD_DAMAGED"),
    Damage("records-garbage", both_records, "RECORD_LOST", 1),
    Damage("record-newer", newer_record, "RECORD_REFUSED", 1),
    Damage("record-folder", folder_instead("alice/session.json"), "NOT_A_FILE", 1),
    Damage("record-link", linked_away("alice/session.json"), "FILE_IS_LINK", 1),
    Damage("record-gone", lambda home: _cleared(home / "alice/session.json"), "NO_MANAGER"),
    Damage("spool-garbage", torn_spool, "SPOOL_DAMAGED"),
    Damage("spool-folder", folder_instead("alice/spool.log"), "NOT_A_FILE"),
    Damage("spool-pipe", pipe("alice/spool.log"), "NOT_A_FILE"),
    Damage("mail-garbage", replaced("alice/inbox.db", GARBAGE), "MAIL_DAMAGED"),
    Damage("mail-half", half_a_mailbox, "MAIL_DAMAGED"),
    Damage("media-is-file", replaced("alice/media", GARBAGE), "NOT_A_FOLDER"),
    Damage("media-link", dangling("alice/media"), "FOLDER_IS_LINK"),
    Damage("mail-folder", folder_instead("alice/inbox.db"), "NOT_A_FILE"),
    Damage("mail-link", linked_away("alice/inbox.db"), "FILE_IS_LINK"),
    Damage("position-garbage", replaced("alice/spool.pos", GARBAGE), "NO_MANAGER"),
    Damage("session-lock-garbage", replaced("alice/lock", GARBAGE), "LOCK_GARBAGE"),
    Damage("session-lock-folder", folder_instead("alice/lock"), "NOT_A_FILE"),
    Damage("session-lock-link", dangling("alice/lock"), "FILE_IS_LINK", 1),
    Damage("kept-is-file", replaced("alice/kept", GARBAGE), "NO_MANAGER"),
    Damage("strange-files", replaced("alice/wild \x1b[31mname\n.txt", b"?"), "STRANGE_FILES"),
    Damage("left-behind", old_temporary_file, "LEFT_BEHIND"),
    Damage("log-is-file", replaced(".log", GARBAGE), "NO_MANAGER"),
    Damage("session-is-file", replaced("alice", GARBAGE), "HOME_SAFE", 0, gone=True),
    Damage("session-is-link", linked_away("alice"), "HOME_SAFE", 0, gone=True),
    Damage("home-is-file", replaced("", GARBAGE), "NOT_A_FOLDER", 1, gone=True),
    Damage("home-is-link", linked_away(""), "FOLDER_IS_LINK", 8, gone=True),
    Damage("home-dangling", dangling(""), "FOLDER_IS_LINK", 1, gone=True),
    Damage("home-missing", _cleared, "HOME_MISSING", 4, gone=True),
)
