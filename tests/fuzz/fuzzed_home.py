"""A home of three healthy sessions, and what may become of it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sqlite3
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fence import fenced

from wasess.core.outages import Outage
from wasess.core.states import State
from wasess.link.spool_file import SpoolFile
from wasess.store.device import protect_device
from wasess.store.frame import frame
from wasess.store.records import Change, SessionRecord
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

USERS = ("alice", "bob", "carol")
LARGEST = 2**26
THEN = 1_760_000_000.0
INSIDE = {"resize", "flip", "append", "edit", "database", "held"}
LOG_LINE = b'{"ts": "2026-11-24T10:00:00Z", "event": "online", "session": "alice", "line": "alice restored"}\n'
SCHEMA = """
    CREATE TABLE whatsmeow_device (jid TEXT PRIMARY KEY, lid TEXT, platform TEXT, push_name TEXT, noise_key BLOB, identity_key BLOB);
    CREATE TABLE whatsmeow_pre_keys (jid TEXT, key_id INTEGER, key BLOB, uploaded INTEGER);
"""


def healthy(path: Path) -> None:
    """Make a home of three sessions with a past, as a manager that has ended leaves it."""
    home = Home(path).open(create=True)
    home.claim_realm("sandbox")
    home.lock("serve").release()
    home.note_alive()
    (path / ".log").mkdir(mode=0o700)
    for name in ("serve.ndjson.1", "serve.ndjson"):
        _private(path / ".log" / name, LOG_LINE * 3)
    for number, user in enumerate(USERS):
        _linked(home, user, f"49170000000{number}:1@s.whatsapp.net")
    home.session("carol").pause()


def _linked(home: Home, user: str, jid: str) -> None:
    session = home.session(user)
    session.create()
    _database(session.folder / "device.db", jid)
    session.set_aside("relink")
    _database(session.folder / "device.db", jid)
    protect_device(session.folder / "device.db")
    session.record.save(SessionRecord(user, THEN, State.ONLINE, "ONLINE", THEN, paired_at=THEN, jid=jid, last_online_at=THEN))
    outages = (Outage(THEN + 10, THEN + 20, "NETWORK", 1, 2), Outage(THEN + 100, None, "NETWORK"))
    session.record.note(Change(THEN, State.ONLINE, "ONLINE", "online"), outages=outages)
    spool = SpoolFile(str(session.folder / "spool.log"))
    for number in range(4):
        assert spool.append(frame(1, b"an event of the library " * number))
    reader = SpoolReader(session.folder)
    reader.commit(reader.read_new()[1].end)
    session.lock("worker").release()


def _database(path: Path, jid: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', 'android', 'Alice', randomblob(32), randomblob(32))", (jid,))
        database.executemany("INSERT INTO whatsmeow_pre_keys VALUES (?, ?, randomblob(32), 1)", [(jid, number) for number in range(60)])
    path.chmod(0o600)


def _private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


@dataclass(frozen=True)
class Damage:
    """One thing that happens to a home. ``target`` is a path below it, ``what`` the name of a method of `Broken`, ``data`` its argument."""

    target: str
    what: str
    data: Any = None


class Broken:
    """A copy of the healthy home, as a context manager: what holds locks or listens in it ends with it."""

    def __init__(self, model: Path, path: Path) -> None:
        self.path = path.resolve()
        self._canary, self._moved = path.with_name("canary"), path.with_name("moved")
        self._open = ExitStack()
        shutil.copytree(model, path, copy_function=shutil.copy2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        for path in (self.path, self._moved):
            _open_up(path)
            _remove(path)

    def suffer(self, damage: Damage) -> None:
        """Let it happen; what can't happen any more, or would happen elsewhere, after what has happened before does not."""
        path, happen = self.path / damage.target, getattr(self, damage.what)
        with suppress(OSError, ValueError, RecursionError):
            if path.parent.resolve() != path.parent or (damage.what in INSIDE and (path.is_symlink() or not path.is_file())):
                return
            with fenced(self.path.parent):
                happen(path, damage.data)

    # --- to a file, see INSIDE ---------------------------------------------------------------------------------------

    def resize(self, path: Path, share: float) -> None:
        os.truncate(path, min(int(path.stat().st_size * share), LARGEST))

    def flip(self, path: Path, places: list[tuple[float, int]]) -> None:
        content = bytearray(path.read_bytes())
        for share, bits in places:
            if content:
                content[int((len(content) - 1) * share)] ^= bits
        path.write_bytes(content)

    def append(self, path: Path, content: bytes) -> None:
        with path.open("ab") as file:
            file.write(content)

    def edit(self, path: Path, change: tuple[str, Any]) -> None:
        """One field of a JSON file, wherever it stands."""
        _private(path, json.dumps(_with(json.loads(path.read_bytes()), *change)).encode())

    def database(self, path: Path, statement: str) -> None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    def held(self, path: Path, text: bytes) -> None:
        """Somebody holds this lock, and the file says something about him."""
        self.write(path, text)
        descriptor = os.open(path, os.O_RDONLY)
        self._open.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    # --- to whatever is there, or is not -----------------------------------------------------------------------------

    def write(self, path: Path, content: bytes) -> None:
        _remove(path)
        _private(path, content)

    def delete(self, path: Path, _: object) -> None:
        _remove(path)

    def folder(self, path: Path, mode: int) -> None:
        _remove(path)
        path.mkdir()
        (path / "inside").write_text("inside")
        path.chmod(mode)

    def link(self, path: Path, target: str) -> None:
        _remove(path)
        path.symlink_to({"canary": self._canary, "canary file": self._canary / "device.db", "itself": path}.get(target, Path(target)))

    def moved(self, path: Path, _: object) -> None:
        """A link to where it is now."""
        path.rename(self._moved)
        path.symlink_to(self._moved)

    def twin(self, path: Path, _: object) -> None:
        """A second name for it."""
        (path.parent / "twin").hardlink_to(path)

    def pipe(self, path: Path, mode: int) -> None:
        _remove(path)
        os.mkfifo(path, mode)

    def socket(self, path: Path, listening: bool) -> None:
        """If somebody listens there, he never says anything."""
        _remove(path)
        place = self._open.enter_context(closing(socket.socket(socket.AF_UNIX)))
        place.bind(str(path))
        if listening:
            place.listen(8)

    def mode(self, path: Path, mode: int) -> None:
        if not path.is_symlink():
            path.chmod(mode)

    def owner(self, path: Path, uid: int) -> None:
        os.chown(path, uid, -1, follow_symlinks=False)

    def time(self, path: Path, moment: float) -> None:
        os.utime(path, (moment, moment), follow_symlinks=False)

    def stranger(self, path: Path, name: bytes) -> None:
        with open(os.path.join(os.fsencode(path), name), "xb") as file:  # noqa: PTH118, PTH123 - names that are no text
            file.write(b"a stranger")


def _open_up(path: Path) -> None:
    """Let what is not root remove it."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)
        for inside in path.iterdir():
            _open_up(inside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _with(data: Any, name: str, value: Any) -> Any:
    if isinstance(data, dict):
        return {key: value if key == name else _with(inner, name, value) for key, inner in data.items()}
    return data
