"""inbox.db as a file: one commit or none, no damage unnoticed, nothing kept for longer than is wished, and nobody disturbed who uses it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from mail_rows import CHAT, arrivals, message

from wasess.errors import StoreBusy, StoreError, UnsafeHome
from wasess.store.gaps import Cause, Gap, Gaps
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MAIL_NAME, MailDamaged, MailFile, open_mail
from wasess.store.mail_checkpoint import settle
from wasess.store.names import KEPT_NAME
from wasess.store.spool import POSITION_NAME, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "a very private sentence that makes more than a page of a database " * 120
PAGE = 4096

# Forks children that take messages in until they are killed; prints a line for each: messages found, and the place.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from wasess.core.message import Message
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailFile
from wasess.store.spool import Place
folder, kills, dice = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))

def take_in():
    inbox = Inbox(MailFile(folder))
    taken = inbox.last()
    os.write(ready[1], b".")
    while True:
        batch = [Arrival(Message(f"ID{taken + number}", "a@lid", "a@lid", "x" * 300, 0.0), 1.0) for number in range(dice.randint(1, 8))]
        taken += len(batch)
        inbox.take_in(batch, Place(1, "head", taken))

for number in range(kills):
    pause = dice.uniform(0, 0.01)
    ready = os.pipe()
    child = os.fork()
    if not child:
        take_in()
    if number > 10:  # the first ones are killed while they open, too
        os.read(ready[0], 1)
    time.sleep(pause)  # the instant of the kill is what is random here, not a wait
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    mail = MailFile(folder)
    mail.require_whole()
    inbox = Inbox(mail)
    place = inbox.place()
    print(mail.rows("SELECT count(*) FROM messages")[0][0], inbox.last(), inbox.waiting, place.position if place else 0, flush=True)
    mail.close()
"""


def test_whoever_is_killed_leaves_the_place_that_belongs_to_the_messages(folder: Path):
    found = subprocess.run([sys.executable, "-c", KILLS, folder, "50", "5"], capture_output=True, text=True, check=True, timeout=60)
    rows = [[int(word) for word in line.split()] for line in found.stdout.splitlines()]
    assert len(rows) == 50
    assert all(len(set(row)) == 1 for row in rows), "as many messages as the place says"
    assert len({row[0] for row in rows}) > 5, "they were killed at work"
    assert rows == sorted(rows)


# --- damage -----------------------------------------------------------------------------------------------------------


def a_full_one(folder: Path) -> Path:
    """A closed mail file of some hundred pages."""
    with closing(MailFile(folder)) as mail:
        Inbox(mail).take_in([Arrival(message(number, "x" * 900), 1.0) for number in range(500)], Place(1, "head", 1))
    return folder / MAIL_NAME


def garbage(folder: Path) -> None:
    a_full_one(folder).write_bytes(b"garbage" * 1000)


def only_a_header(folder: Path) -> None:
    a_full_one(folder).write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)


def cut_off(folder: Path) -> None:
    path = a_full_one(folder)
    os.truncate(path, path.stat().st_size // 2)


def a_page_of_zeroes(folder: Path) -> None:
    with a_full_one(folder).open("r+b") as file:
        file.seek(40 * PAGE)
        file.write(bytes(PAGE))


def a_page_of_garbage(folder: Path) -> None:
    with a_full_one(folder).open("r+b") as file:
        file.seek(60 * PAGE)
        file.write(b"\xa5" * PAGE)


def emptied(folder: Path) -> None:
    os.truncate(a_full_one(folder), 0)
    (folder / POSITION_NAME).touch(mode=0o600)


def emptied_beside_its_wal(folder: Path) -> None:
    mail = MailFile(folder)
    Inbox(mail).take_in(arrivals(1, 2, 3), Place(1, "head", 1))
    wal = (folder / f"{MAIL_NAME}-wal").read_bytes()
    mail.close()
    os.truncate(folder / MAIL_NAME, 0)
    (folder / f"{MAIL_NAME}-wal").write_bytes(wal)
    (folder / f"{MAIL_NAME}-wal").chmod(0o600)


def removed_beside_its_wal(folder: Path) -> None:
    emptied_beside_its_wal(folder)
    (folder / MAIL_NAME).unlink()


@pytest.mark.parametrize(
    "strike",
    [garbage, only_a_header, cut_off, a_page_of_zeroes, a_page_of_garbage, emptied, emptied_beside_its_wal, removed_beside_its_wal],
    ids=lambda strike: strike.__name__,
)
def test_what_is_damaged_is_set_aside_whole_and_a_new_one_begun(folder: Path, strike):
    strike(folder)
    before = {path.name: path.read_bytes() for path in folder.glob(f"{MAIL_NAME}*")}
    mail, kept = open_mail(folder)
    assert kept is not None
    assert kept.parent == folder / KEPT_NAME
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.read_bytes() for path in kept.iterdir()}.items() >= {
        name: content for name, content in before.items() if not name.endswith("-shm")
    }.items()
    inbox = Inbox(mail)
    assert (inbox.items(), inbox.place(), inbox.waiting) == ([], None, 0)
    assert inbox.take_in(arrivals(1), Place(1, "head", 1)) == [message(1)]
    mail.close()
    mail, kept = open_mail(folder)
    assert kept is None, "the new one is whole"
    mail.close()


def test_an_empty_file_that_never_was_anything_else_is_a_new_one(folder: Path):
    (folder / MAIL_NAME).touch(mode=0o600)
    mail, kept = open_mail(folder)
    assert (kept, Inbox(mail).items()) == (None, [])
    mail.close()


def symlink(path: Path, other: Path) -> None:
    path.symlink_to(other)


def hard_link(path: Path, other: Path) -> None:
    path.hardlink_to(other)


def directory(path: Path, _other: Path) -> None:
    path.mkdir(mode=0o700)


def pipe(path: Path, _other: Path) -> None:
    os.mkfifo(path, 0o600)


def open_to_others(path: Path, _other: Path) -> None:
    path.touch()
    path.chmod(0o666)


@pytest.mark.parametrize("name", [MAIL_NAME, f"{MAIL_NAME}-wal", f"{MAIL_NAME}-shm"])
@pytest.mark.parametrize("make", [symlink, hard_link, directory, pipe, open_to_others], ids=lambda make: make.__name__)
def test_what_could_be_somebody_elses_is_refused_and_left_alone(folder: Path, make, name: str):
    with closing(MailFile(folder)) as mail:
        Inbox(mail).take_in(arrivals(1), None)
    other = folder / "elsewhere"
    (folder / MAIL_NAME).rename(other)
    make(folder / name, other)
    before = {path.name: path.lstat().st_ino for path in folder.iterdir()}, other.read_bytes()
    with pytest.raises(UnsafeHome, match=name):
        open_mail(folder)
    with pytest.raises(UnsafeHome, match=name):
        MailFile(folder, read_only=True)
    assert ({path.name: path.lstat().st_ino for path in folder.iterdir()}, other.read_bytes()) == before


def test_a_file_that_only_others_may_read_is_used(folder: Path):
    """Inside a folder that nobody else may enter it harms nobody: diagnose tells it."""
    a_full_one(folder).chmod(0o644)
    mail, kept = open_mail(folder)
    assert (kept, Inbox(mail).waiting) == (None, 500)
    mail.close()


def test_what_can_not_be_set_aside_is_told(folder: Path):
    garbage(folder)
    (folder / KEPT_NAME).touch()
    with pytest.raises(StoreError, match="can't be moved"):
        open_mail(folder)
    assert (folder / MAIL_NAME).read_bytes() == b"garbage" * 1000


def test_a_newer_format_is_refused_and_left_alone(folder: Path):
    with closing(sqlite3.connect(a_full_one(folder))) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA application_id = 99")
    before = (folder / MAIL_NAME).read_bytes()
    for attempt in (lambda: open_mail(folder), lambda: MailFile(folder, read_only=True), lambda: MailFile(folder)):
        with pytest.raises(StoreError, match="newer wasess"):
            attempt()
    assert not settle(folder)
    assert (folder / MAIL_NAME).read_bytes() == before
    assert not (folder / KEPT_NAME).exists()


def test_damage_that_is_met_later_is_told_as_such(folder: Path):
    mail = MailFile(a_full_one(folder).parent)
    a_page_of = mail.rows("PRAGMA page_count")[0][0]
    with (folder / MAIL_NAME).open("r+b") as file:  # closing it drops SQLite's locks, and nobody else is here
        file.seek(PAGE)
        file.write(b"\xa5" * PAGE * (int(str(a_page_of)) - 1))
    with pytest.raises(MailDamaged):
        Inbox(mail).items()
    mail.close()


def test_several_may_open_a_new_one_at_the_same_time(tmp_path: Path):
    for number in range(12):
        made = tmp_path / str(number)
        made.mkdir(mode=0o700)
        ready = Barrier(6)

        def opened(folder: Path = made, ready: Barrier = ready) -> int:
            ready.wait()
            with closing(MailFile(folder)) as mail:
                return Inbox(mail).last()

        with ThreadPoolExecutor(6) as people:
            assert [one.result() for one in [people.submit(opened) for _ in range(6)]] == [0] * 6


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_what_is_rolled_back_was_never_there_nor_counted(folder: Path):
    mail = MailFile(folder)
    inbox, gaps = Inbox(mail), Gaps(mail)
    inbox.take_in(arrivals(1), Place(1, "head", 1))
    gaps.enter(Gap(CHAT, CHAT, "ID2", Cause.UNDECRYPTABLE, 1, 1.0))

    def take_in_and_fail() -> None:
        with mail.transaction():
            inbox.take_in(arrivals(2, 3), Place(1, "head", 2))
            inbox.finish(1, "done", 1.0)
            assert gaps.close(message(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take_in_and_fail()
    assert (inbox.waiting, inbox.place(), len(inbox.items())) == (1, Place(1, "head", 1), 1)
    assert gaps.close(message(2)), "it is still known to be missing"
    mail.close()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_takes_nothing_and_the_next_try_all(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)
    inbox.take_in(arrivals(1), Place(1, "head", 1))
    many = [Arrival(message(number, "x" * 5000), 1.0) for number in range(2, 100)]
    with full_disk((folder / f"{MAIL_NAME}-wal").stat().st_size + PAGE), pytest.raises(StoreError, match="can't be read or written now"):
        inbox.take_in(many, Place(1, "head", 2))
    assert (inbox.waiting, inbox.place(), len(inbox.items())) == (1, Place(1, "head", 1), 1)
    assert len(inbox.take_in(many, Place(1, "head", 2))) == 98
    assert inbox.waiting == 99
    mail.close()


def test_whoever_writes_keeps_others_waiting_not_failing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    mail = MailFile(folder)
    monkeypatch.setattr("wasess.store.mail.BUSY_TIMEOUT", 0.01)
    other = MailFile(folder)
    with mail.transaction():
        Inbox(mail).take_in(arrivals(1), None)
        assert Inbox(other).waiting == 0
        with pytest.raises(StoreBusy):
            Inbox(other).take_in(arrivals(2), None)
    assert Inbox(other).take_in(arrivals(2), None) != []
    other.close()
    mail.close()


# --- looking on -------------------------------------------------------------------------------------------------------


def stats(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {path.name: ((found := path.stat()).st_ino, found.st_size, found.st_mtime_ns) for path in folder.iterdir()}


def test_looking_leaves_no_trace(folder: Path):
    a_full_one(folder)
    before = stats(folder)
    with closing(MailFile(folder, read_only=True)) as seen:
        assert Inbox(seen).waiting == 500
        with pytest.raises(StoreError):
            Inbox(seen).finish(1, "done", 1.0)
    assert stats(folder) == before


def test_looking_sees_what_the_manager_has_committed_and_lets_it_go_on(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)
    inbox.take_in(arrivals(1), None)
    with closing(MailFile(folder, read_only=True)) as seen:
        assert Inbox(seen).waiting == 1
        inbox.take_in(arrivals(2), None)
        assert Inbox(seen).waiting == 2
        assert mail.checkpoint()
    before = stats(folder)
    MailFile(folder, read_only=True).close()
    assert stats(folder) == before
    mail.close()


KILLED = """
import os, sys
from pathlib import Path
from wasess.core.message import Message
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailFile
Inbox(MailFile(Path(sys.argv[1]))).take_in([Arrival(Message("ID1", "a@lid", "a@lid", "hello", 0.0), 1.0)], None)
os._exit(9)
"""


@pytest.mark.parametrize("copied", [False, True], ids=["as-it-was-left", "without-its-shm"])
def test_looking_at_what_a_killed_manager_has_left_takes_nothing_of_it_away(folder: Path, copied: bool):
    subprocess.run([sys.executable, "-c", KILLED, folder], check=False, timeout=30)
    if copied:
        (folder / f"{MAIL_NAME}-shm").unlink()
    before = {name: found for name, found in stats(folder).items() if not name.endswith("-shm")}
    with closing(MailFile(folder, read_only=True)) as seen:
        assert Inbox(seen).waiting == 1
    assert {name: found for name, found in stats(folder).items() if not name.endswith("-shm")} == before
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir() if path.name.endswith("-shm"))
    mail, kept = open_mail(folder)
    assert (kept, Inbox(mail).waiting) == (None, 1)
    mail.close()


def test_what_is_not_there_yet_is_not_made_by_looking(folder: Path):
    with pytest.raises(StoreError):
        MailFile(folder, read_only=True)
    (folder / MAIL_NAME).touch(mode=0o600)
    with closing(MailFile(folder, read_only=True)) as seen:
        assert seen.version == 0
    assert [path.name for path in folder.iterdir()] == [MAIL_NAME]
