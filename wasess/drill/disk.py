"""The disk and the files on it (FAULTS.md 5.3, rows 21 to 23)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.drill.process import Command, until
from wasess.drill.row import Broken, Row, Seen
from wasess.drill.scene import require
from wasess.store.device import DEVICE_NAME
from wasess.store.lock import holder
from wasess.store.names import SIDE_FILES, database_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.drill.letters import Letter
    from wasess.drill.scene import Scene
    from wasess.drill.told import Told

MIB = 1 << 20
SPARE = 256 * MIB
LOCKED_FOR = 8.0
NAMES = frozenset({"DATABASE_LOST", "DATABASE_DAMAGED"})
GARBAGE = b"this was a database once. " * 2000
SHORT = 5000

# A small file system in the place of the home ($1), with what was in it ($2); then the command.
MOUNT = 'mount -t tmpfs -o size=96m,mode=700 none "$1" && cp -a "$2"/. "$1" && shift 2 && exec "$@"'

# Another process takes the write lock and says so; it lets go after SECONDS.
LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
database.execute("ROLLBACK")
"""


async def full(scene: Scene) -> Seen:
    """Less room than the manager keeps free. Before the disk is really full, the session must be offline."""
    disk = await SmallDisk.under(scene)
    await scene.probe()
    filled = time.time()
    await asyncio.to_thread(disk.fill, 8 * MIB)
    try:
        told = await scene.noticed(filled, _is_full, seconds=30, what="DISK_FULL")
        letter = scene.write()
        await asyncio.sleep(2)
        require(not scene.stage.device(scene.user).online, "it still takes messages off WhatsApp")
        require(not scene.has(letter), "a message came although there was no room for it")
    finally:
        disk.clear()
    return await _has_room(scene, filled, told, letter)


async def full_to_the_brim(scene: Scene) -> Seen:
    """Not a byte is left, at once and without any reserve, while messages come."""
    disk = await SmallDisk.under(scene, "--disk-reserve", "0")
    await scene.probe()
    filled = time.time()
    await asyncio.to_thread(disk.fill, 0)
    try:
        letters = [scene.write(text=f"letter {number} " + "x" * 2000) for number in range(40)]
        told = await scene.noticed(filled, _is_full, seconds=30, what="DISK_FULL")
        await scene.pause(4, 2)
    finally:
        disk.clear()
    return await _has_room(scene, filled, told, letters[-1])


async def _has_room(scene: Scene, filled: float, told: Told, letter: Letter) -> Seen:
    freed = time.time()
    recovered = await scene.arrived(letter, 60) - freed
    await scene.probe()
    return Seen(f"{scene.words(filled)}; WhatsApp kept the messages", told.at - filled, max(0.0, recovered))


def _is_full(line: Told) -> bool:
    return line.code == "DISK_FULL"


class SmallDisk:
    """What the home lies on: a small file system of the manager's own where one may be had, else a large reserve on the real one."""

    def __init__(self, folder: Path, room: int) -> None:
        self._filler = folder / "filler"
        self._room = room

    @classmethod
    async def under(cls, scene: Scene, *options: str) -> SmallDisk:
        """Start a manager on it, and wait until its sessions are online."""
        stage = scene.stage
        mounting = await asyncio.to_thread(_mounting)
        if mounting:
            copy = stage.folder / "copy"
            await asyncio.to_thread(shutil.copytree, stage.home.path, copy)
            manager = await stage.serve(*options, under=(*mounting, MOUNT, "sh", str(stage.home.path), str(copy)))
            await stage.online(*scene.users)
            return cls(Path(f"/proc/{manager.pid}/root{stage.home.path}"), 0)
        require(not options, "this machine lets us mount no small file system; run it as root, or allow user namespaces")
        free = shutil.disk_usage(stage.folder).free
        await stage.serve("--disk-reserve", str((free - SPARE) // MIB))
        await stage.online(*scene.users)
        return cls(stage.folder, free - SPARE)

    def fill(self, left: int) -> None:
        """Leave so many bytes; where the disk is a real one, so many less than the reserve."""
        with self._filler.open("wb") as file:
            free = os.statvfs(self._filler).f_bavail * os.statvfs(self._filler).f_frsize
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, free - self._room - left) + (2 * left if self._room else 0))
            with suppress(OSError):
                while not left and not self._room:
                    os.write(file.fileno(), b"x" * 4096)

    def clear(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)


def _mounting() -> tuple[str, ...]:
    """The command under which a file system can be mounted that nobody else sees; empty when there is none."""
    for words in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        with suppress(OSError, subprocess.TimeoutExpired):
            tried = subprocess.run((*words, "sh", "-c", "mount -t tmpfs none /mnt"), capture_output=True, timeout=5, check=False)
            if tried.returncode == 0:
                return (*words, "sh", "-c")
    return ()


async def locked(scene: Scene) -> Seen:
    """Another process holds device.db locked; a message comes meanwhile."""
    await scene.pause(2)
    await scene.probe()
    database = _database(scene)
    locker = await Command.start(
        "-c", LOCKER, str(database), str(LOCKED_FOR), folder=scene.stage.folder, environment=scene.stage.environment
    )
    try:
        await until(lambda: "locked" in locker.out, lambda: f"the database was locked: {locker.last_words}", 10)
        since = time.time()
        letter = scene.write()
        await locker.over(LOCKED_FOR + 5)
        ended = time.time()
    finally:
        await locker.close()
    arrived = await scene.arrived(letter, 60)
    alert = await scene.noticed(since, lambda line: line.code == "DATABASE_BUSY", seconds=5, what="DATABASE_BUSY")
    await scene.probe()
    return Seen(f"{scene.words(since)}", alert.at - since, max(0.0, arrived - ended))


def meddled(meddle: Callable[[Path], None], *, keep: Callable[[Path, Path], object]) -> Callable[[Scene], Awaitable[Seen]]:
    """Somebody meddles with device.db, and puts the right one back later. ``keep`` is how he keeps the right one."""

    async def act(scene: Scene) -> Seen:
        session, other = scene.users
        await scene.pause(2)
        await scene.probe()
        await asyncio.sleep(1)
        database, aside = _database(scene), scene.stage.folder / f"{session}-aside"
        aside.mkdir()
        _written_back(database)
        _each(database, aside, keep)
        meddle(database)
        struck = time.time()
        scene.write()  # may still come through the connection that stands
        told = await scene.noticed(struck, lambda line: line.code in NAMES, seconds=30, what="the database")
        letter = scene.write()
        await asyncio.sleep(1)
        left = _bytes(database)
        await scene.pause(5, 3)
        require(_bytes(database) == left, "what is left of it was overwritten")
        scene.no_code_shown()
        require(all(line.state != "logged_out" for line in scene.told(struck)), "it was told to be logged out, which it is not")
        await scene.probe(other)
        _put_back(database, aside)
        restored = time.time()
        recovered = await scene.arrived(letter, 80) - restored
        await scene.probe()
        scene.no_code_shown()
        return Seen(f"{scene.words(struck)}; nothing overwritten, no code, others went on", told.at - struck, recovered)

    return act


def _database(scene: Scene) -> Path:
    return scene.stage.home.session(scene.user).folder / DEVICE_NAME


def _each(database: Path, aside: Path, keep: Callable[[Path, Path], object]) -> None:
    for name in database_files(database.name):
        file = database.with_name(name)
        if file.exists():
            keep(file, aside / file.name)


def _put_back(database: Path, aside: Path) -> None:
    for suffix in SIDE_FILES:
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    for kept in sorted(aside.iterdir(), reverse=True):  # the database itself last
        kept.replace(database.with_name(kept.name))


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _nothing(_database: Path) -> None:
    """It is gone: whoever kept it has moved it away."""


def _empty_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE somebody_elses (thing TEXT)")
        other.commit()
    database.chmod(0o600)


def _garbage(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(GARBAGE)


def _newer_schema(database: Path) -> None:
    """A later release of the library has been here. Its process ends, and the next one can't read the file."""
    worker = holder(database.with_name("lock"))
    if worker is None:
        raise Broken("the session's process is not known")
    os.kill(worker.pid, signal.SIGSTOP)
    with closing(sqlite3.connect(database)) as same:
        same.execute("UPDATE whatsmeow_version SET version = 99, compat = 99")
        same.commit()
    os.kill(worker.pid, signal.SIGKILL)


def _truncated(database: Path) -> None:
    """Whose content is in it: in WAL mode it may still be a single page, with all else beside it."""
    size = database.stat().st_size
    if size <= SHORT:
        raise Broken(f"device.db has {size} bytes only")
    os.truncate(database, SHORT)


def _written_back(database: Path) -> None:
    """Bring what is in the journal beside it into it, as the library does now and then."""
    with closing(sqlite3.connect(database, timeout=10)) as same:
        same.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _meddled_row(name: str, fault: str, meddle: Callable[[Path], None], keep: Callable[[Path, Path], object]) -> Row:
    return Row(
        name,
        "5.3/23",
        fault + ", and a message comes",
        "noticed within 10 s and named; nothing overwritten, no code, others go on; back within 20 s after it is put back",
        meddled(meddle, keep=keep),
        bound=20,
        detect_within=10,
        users=2,
        patient=True,
        deadline=140,
    )


ROWS = (
    Row(
        "disk-full",
        "5.3/21",
        "the home's file system has no room left",
        "offline within 10 s, so that WhatsApp keeps the messages; back within 35 s after there is room",
        full,
        bound=35,
        detect_within=10,
        ground="own",
        serves=False,
        patient=True,
    ),
    Row(
        "disk-full-at-once",
        "5.3/21",
        "not a byte is left on the home's file system, without a reserve, while messages come",
        "offline within 20 s; nothing lost, back within 35 s after there is room",
        full_to_the_brim,
        bound=35,
        detect_within=20,
        ground="own",
        serves=False,
        patient=True,
        deadline=140,
    ),
    Row(
        "database-locked",
        "5.3/22",
        f"another process holds device.db locked for {LOCKED_FOR:.0f} s",
        "people are told; the message comes within 10 s after",
        locked,
        bound=10,
        detect_within=LOCKED_FOR + 2,
        patient=True,
    ),
    _meddled_row("database-unlinked", "device.db is moved away", _nothing, os.rename),
    _meddled_row("database-replaced", "another database stands in the place of device.db", _empty_database, os.rename),
    _meddled_row("database-truncated", "device.db is truncated", _truncated, shutil.copy2),
    _meddled_row("database-garbage", "device.db is overwritten with garbage", _garbage, shutil.copy2),
    _meddled_row("database-newer", "device.db has a newer schema (99) when the session's process ends", _newer_schema, shutil.copy2),
)
