"""A home of three healthy sessions, and everything that may become of one of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hypothesis import strategies as st

from wasess.core.outages import Outage
from wasess.core.states import State
from wasess.link.spool_file import SpoolFile
from wasess.store.device import protect_device
from wasess.store.frame import frame
from wasess.store.records import Change, SessionRecord
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

USERS = ("alice", "bob", "carol")
THEN = 1_760_000_000.0
LONG_NAME = b"n" * 255
BIG = 1 << 20

FILES = ("device.db", "session.json", "session.json.bak", "spool.log", "spool.pos", "lock", "paused")
JOURNALS = ("device.db-journal", "device.db-wal", "device.db-shm")
HOME_FILES = (".lock", ".realm", ".alive", ".control.sock", ".log", ".log/serve.ndjson", ".log/serve.ndjson.1", "kept")
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
        _private(
            path / ".log" / name, b'{"ts": "2026-11-24T10:00:00Z", "event": "online", "session": "alice", "line": "alice restored"}\n' * 3
        )
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
    """One thing that happens to a home. ``target`` is a path below it; ``what`` names a method of `Broken`; ``data`` is its argument."""

    target: str
    what: str
    data: Any = None


class Broken:
    """A copy of the healthy home, as a context manager: what holds locks or listens in it ends with it."""

    def __init__(self, model: Path, path: Path) -> None:
        self.path = path
        self._elsewhere, self._moved = path.with_name("canary"), path.with_name("moved")
        self._open = contextlib.ExitStack()
        shutil.copytree(model, path, copy_function=shutil.copy2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        for path in (self.path, self._moved):
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path)

    def suffer(self, damage: Damage) -> None:
        """Let it happen; what can't happen any more after what has happened before does not."""
        with contextlib.suppress(OSError):
            getattr(self, damage.what)(self.path / damage.target, damage.data)

    def truncate(self, path: Path, share: float) -> None:
        os.truncate(path, int(path.stat().st_size * share))

    def flip(self, path: Path, places: list[tuple[float, int]]) -> None:
        content = bytearray(path.read_bytes())
        for share, bits in places:
            if content:
                content[int((len(content) - 1) * share)] ^= bits
        path.write_bytes(content)

    def write(self, path: Path, content: bytes) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        _private(path, content)

    def append(self, path: Path, content: bytes) -> None:
        with path.open("ab") as file:
            file.write(content)

    def grow(self, path: Path, _: object) -> None:
        os.truncate(path, 64 * BIG)

    def edit(self, path: Path, change: tuple[str, Any]) -> None:
        """One field of a JSON file, wherever it stands."""
        name, value = change
        _private(path, json.dumps(_with(json.loads(path.read_bytes()), name, value)).encode())

    def database(self, path: Path, statement: str) -> None:
        with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    def delete(self, path: Path, _: object) -> None:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def folder(self, path: Path, mode: int) -> None:
        self._away(path)
        path.mkdir()
        (path / "inside").write_text("inside")
        path.chmod(mode)

    def link(self, path: Path, target: str) -> None:
        self._away(path)
        path.symlink_to({"canary": self._elsewhere, "itself": path, "canary file": self._elsewhere / "device.db"}.get(target, Path(target)))

    def moved(self, path: Path, _: object) -> None:
        """A link to where it is now."""
        path.rename(self._moved)
        path.symlink_to(self._moved)

    def twin(self, path: Path, _: object) -> None:
        """A second name for it."""
        (path.parent / "twin").hardlink_to(path)

    def pipe(self, path: Path, mode: int) -> None:
        self._away(path)
        os.mkfifo(path, mode)

    def listening(self, path: Path, answer: bytes | None) -> None:
        """A socket; with an answer somebody listens there, and says no more than that."""
        self._away(path)
        place = self._open.enter_context(closing(socket.socket(socket.AF_UNIX)))
        place.bind(str(path))
        if answer is not None:
            place.listen(8)

    def mode(self, path: Path, mode: int) -> None:
        path.chmod(mode)

    def owner(self, path: Path, uid: int) -> None:
        os.chown(path, uid, -1, follow_symlinks=False)

    def held(self, path: Path, text: bytes) -> None:
        """Somebody holds this lock, and the file says something about him."""
        self.write(path, text)
        descriptor = os.open(path, os.O_RDONLY)
        self._open.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def time(self, path: Path, moment: float) -> None:
        os.utime(path, (moment, moment), follow_symlinks=False)

    def stranger(self, path: Path, name: bytes) -> None:
        with open(os.path.join(os.fsencode(path), name), "xb") as file:  # noqa: PTH118, PTH123 - names that are no text
            file.write(b"a stranger")

    def strange_folder(self, path: Path, name: bytes) -> None:
        os.mkdir(os.path.join(os.fsencode(path), name))  # noqa: PTH102, PTH118 - as above

    def _away(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.delete(path, None)


def _with(data: Any, name: str, value: Any) -> Any:
    if isinstance(data, dict):
        return {key: value if key == name else _with(inner, name, value) for key, inner in data.items()}
    return data


TARGETS = st.sampled_from(
    [
        *(f"alice/{name}" for name in (*FILES, *JOURNALS, "kept", "kept/device.db")),
        *("alice", ".", *HOME_FILES),
        *("bob/session.json", "bob/device.db", "bob/lock", "carol/paused"),
    ]
)
JSON_FILES = st.sampled_from(["alice/session.json", "alice/session.json", "alice/spool.pos", "alice/lock", ".lock"])
FIELDS = st.sampled_from(
    [
        *(
            "schema",
            "record",
            "history",
            "outages",
            "1",
            "2",
            "user",
            "created_at",
            "state",
            "reason_code",
            "since",
            "paired_at",
            "jid",
            "lid",
        ),
        *("last_online_at", "restarts", "resume_at", "phone_seen_at", "at", "code", "sentence", "number", "start", "end", "attempts"),
        *("inode", "head", "position", "pid", "host", "boot_id", "purpose", "elsewhere"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, "", [], {}, 0, -1, 1e308, -1e308, 10**400, 2**63, 2**64, float("nan"), float("inf"), -float("inf")]
    ),
    st.sampled_from(
        ["ONLINE", "NOWHERE", "\x1b[31m", "x" * 5000, "\u202e", {"1": {}}, [[[]]], {"record": 1}, "alice", "../bob", 3, 99, -5, 1]
    ),
    st.floats(),
    st.integers(),
    st.text(max_size=20),
)
GARBAGE = st.one_of(
    st.sampled_from(
        [
            *(
                b"",
                b"{}",
                b"[]",
                b"null",
                b"0",
                b'"',
                b"\xff\xfe",
                b"\0" * 4096,
                b"[" * 100_000,
                b'{"a":' * 50_000,
                b"9" * 10_000,
                b"1e999999",
            ),
            *(
                b'{"schema": 1}',
                b'{"schema": 99, "record": {}}',
                b'{"schema": "2"}',
                b'{"schema": 1e400}',
                b'{"schema": 2, "record": {"1": 1}}',
            ),
            *(
                b'{"pid": 1e400}\n',
                b'{"pid": 1, "host": 2, "boot_id": [], "purpose": "serve", "since": 1e300}\n',
                b'{"pid": NaN}',
                b"x" * BIG,
            ),
            *(b"SQLite format 3\0" + b"\xff" * 4080, b"SQLite format 3\0", b"WS\x01\x01\xff\xff\xff\xff\0\0\0\0", b"WS\x01" * 30_000),
            *(
                b'{"line": "\\u001b[2J\\u202e", "ts": "9999-12-31T23:59:59Z"}\n',
                b'{"line": 1, "ts": 1}\n',
                b'{"line": {}}\n[]\nnull\n',
                b"whatsapp",
            ),
            *(
                b'{"line": "x", "ts": "0001-01-01T00:00:00"}\n',
                b'{"line": "\\ud800", "ts": "-1"}\n',
                b"\xff\xff\n",
                b"{" * 5000 + b"\n",
                b"\n" * 1000,
            ),
        ]
    ),
    st.binary(max_size=600),
)
HOLDERS = st.sampled_from(
    [
        *(b"", b"?", b"[" * 4000, b'{"pid": 1e400, "host": "", "boot_id": "", "purpose": "", "since": 0}\n'),
        *(
            b'{"pid": %d, "host": "h", "boot_id": "b", "purpose": "%s", "since": %s}\n' % found
            for found in [
                (1, b"serve", b"0"),
                (0, b"x\\u001b[2J\\n", b"1"),
                (-5, b"connect", b"1e300"),
                (2**70, b"pairing", b"NaN"),
                (7, b"serve", b"99e9"),
                (1, b"", b"-1e300"),
                (99999999, b"serve", b"Infinity"),
            ]
        ),
    ]
)
MODES = st.sampled_from([0o000, 0o777, 0o4755, 0o2770, 0o1777, 0o400, 0o200, 0o100, 0o644, 0o666, 0o6777, 0o600, 0o700])
LINKS = st.sampled_from(
    ["canary", "canary file", "itself", "/", "/dev/null", "/nowhere", "..", "../bob", "bob", "/proc/self/root", "a" * 200]
)
NAMES = st.one_of(
    st.sampled_from(
        [b"a\nb", LONG_NAME, b"\xff\xfe", b"\x1b[2J", b"-rf", b" ", b"con", b"Alice", b".session.json.1.tmp", b"\xe2\x80\xae", b"core"]
    ),
    st.binary(min_size=1, max_size=40).map(lambda name: name.translate(None, b"\0/") or b"x"),
)
STATEMENTS = st.sampled_from(
    [
        *(
            "DROP TABLE whatsmeow_device",
            "DELETE FROM whatsmeow_device",
            "UPDATE whatsmeow_device SET noise_key = x''",
            "PRAGMA user_version = 99",
        ),
        *("UPDATE whatsmeow_device SET jid = NULL", "UPDATE whatsmeow_device SET jid = x'00ff'", "UPDATE whatsmeow_device SET jid = 7"),
        *("UPDATE whatsmeow_device SET jid = char(27) || '[2J:1@s'", "UPDATE whatsmeow_device SET jid = ''", "PRAGMA journal_mode = wal"),
        *("UPDATE whatsmeow_device SET lid = x'ff', platform = x'ff', push_name = x'ff'", "DROP TABLE wasess_graveyard", "VACUUM"),
        *("UPDATE whatsmeow_device SET jid = CAST(x'ff3a31' AS TEXT)", "DROP TRIGGER wasess_keep_device"),
        *("INSERT INTO whatsmeow_device SELECT 'x', lid, platform, push_name, noise_key, identity_key FROM whatsmeow_device",),
        *("ALTER TABLE whatsmeow_device RENAME TO other", "ALTER TABLE whatsmeow_device DROP COLUMN lid", "PRAGMA encoding = 'UTF-16'"),
        *("CREATE VIEW v AS SELECT 1", "ALTER TABLE whatsmeow_device RENAME COLUMN jid TO jjid", "DROP TABLE whatsmeow_pre_keys"),
    ]
)


def _damage(target: st.SearchStrategy[str], what: str, data: st.SearchStrategy[Any]) -> st.SearchStrategy[Damage]:
    return st.builds(Damage, target, st.just(what), data)


NOTHING = st.none()
MOMENTS = st.sampled_from([0.0, 1.0, -1.0, 4e9, 2e10, THEN])
SHARES = st.floats(0, 1)
DAMAGES = st.one_of(
    _damage(TARGETS, "truncate", SHARES),
    _damage(TARGETS, "flip", st.lists(st.tuples(SHARES, st.integers(1, 255)), min_size=1, max_size=8)),
    _damage(TARGETS, "write", GARBAGE),
    _damage(TARGETS, "append", GARBAGE),
    _damage(TARGETS, "grow", NOTHING),
    _damage(JSON_FILES, "edit", st.tuples(FIELDS, VALUES)),
    _damage(JSON_FILES, "edit", st.tuples(FIELDS, VALUES)),
    _damage(st.just("alice/device.db"), "database", STATEMENTS),
    _damage(TARGETS, "delete", NOTHING),
    _damage(TARGETS, "folder", MODES),
    _damage(TARGETS, "link", LINKS),
    _damage(TARGETS, "moved", NOTHING),
    _damage(TARGETS, "twin", NOTHING),
    _damage(TARGETS, "pipe", MODES),
    _damage(TARGETS, "listening", st.sampled_from([None, b""])),
    _damage(TARGETS, "mode", MODES),
    _damage(TARGETS, "owner", st.just(12345)),
    _damage(st.sampled_from(["alice/lock", "bob/lock"]), "held", HOLDERS),
    _damage(TARGETS, "time", MOMENTS),
    _damage(st.sampled_from([".", "alice", "alice/kept", ".log"]), "stranger", NAMES),
    _damage(st.sampled_from([".", "alice", "alice/kept", ".log"]), "strange_folder", NAMES),
)
EVERY_DAMAGE: st.SearchStrategy[list[Damage]] = st.lists(DAMAGES, min_size=1, max_size=3)
