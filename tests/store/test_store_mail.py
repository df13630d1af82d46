"""inbox.db: one commit for a message and its place, nothing twice, nothing kept for longer than is wished, and no damage unnoticed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from wasess.core.message import Media, Message, Reply
from wasess.errors import StoreError, UnsafeHome
from wasess.store.frame import frame
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MAIL_NAME, MailDamaged, MailFile, open_mail, settle
from wasess.store.outbox import Outbox
from wasess.store.spool import SPOOL_NAME, Place, SpoolReader, depth, release, scan

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a very private sentence that is long enough to fill more than a page of a database " * 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "alice"
    made.mkdir(mode=0o700)
    return made


def message(number: int, text: str = "hello", chat: str = "a@lid") -> Message:
    return Message(f"ID{number}", chat, chat, text, 0.0)


def files_hold(folder: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in folder.glob(f"{MAIL_NAME}*"))


def test_a_message_comes_once_and_with_its_place(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)
    assert inbox.place() is None
    assert inbox.take_in([Arrival(message(1), 1.0), Arrival(message(2), 1.0)], Place(1, "head", 100)) == [message(1), message(2)]
    assert inbox.take_in([Arrival(message(2), 2.0), Arrival(message(3), 2.0)], Place(1, "head", 200)) == [message(3)]
    assert inbox.take_in([Arrival(replace(message(3), chat="b@lid"), 3.0)], Place(1, "head", 300)) != []
    assert (inbox.place(), inbox.waiting) == (Place(1, "head", 300), 4)
    mail.close()
    assert Inbox(MailFile(folder)).waiting == 4


CHILD = """
import sys
from pathlib import Path
from wasess.core.message import Message
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailFile
from wasess.store.spool import Place
inbox = Inbox(MailFile(Path(sys.argv[1])))
begin = inbox.last()
print("go", flush=True)
for number in range(begin, begin + 100_000):
    inbox.take_in([Arrival(Message(f"ID{number}", "a@lid", "a@lid", "hello", 0.0), 1.0)], Place(1, "head", number + 1))
"""


def test_whoever_is_killed_leaves_the_place_that_belongs_to_the_messages(folder: Path):
    MailFile(folder).close()
    for pause in (0.0, 0.02, 0.06):
        with subprocess.Popen([sys.executable, "-c", CHILD, folder], stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            try:
                child.wait(pause)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
        mail = MailFile(folder)
        inbox = Inbox(mail)
        place = inbox.place()
        assert (place.position if place else 0) == len(inbox.items()) == inbox.last()
        mail.close()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 4000])
def test_what_is_no_database_is_set_aside(folder: Path, content: bytes):
    (folder / MAIL_NAME).write_bytes(content)
    (folder / MAIL_NAME).chmod(0o600)
    with pytest.raises(MailDamaged):
        MailFile(folder)
    mail, kept = open_mail(folder)
    assert kept is not None
    assert (kept / MAIL_NAME).read_bytes() == content
    assert Inbox(mail).items() == []


def test_an_empty_file_is_a_new_one(folder: Path):
    (folder / MAIL_NAME).touch(mode=0o600)
    mail, kept = open_mail(folder)
    assert kept is None
    assert Inbox(mail).items() == []


def test_several_may_open_a_new_one_at_the_same_time(tmp_path: Path):
    for number in range(30):
        made = tmp_path / str(number)
        made.mkdir(mode=0o700)
        ready = Barrier(6)

        def opened(folder: Path = made, ready: Barrier = ready) -> int:
            ready.wait()
            with closing(MailFile(folder)) as mail:
                return Inbox(mail).last()

        with ThreadPoolExecutor(6) as people:
            assert [one.result() for one in [people.submit(opened) for _ in range(6)]] == [0] * 6


def test_what_could_be_somebody_elses_is_refused(folder: Path):
    (folder / "elsewhere").touch(mode=0o600)
    (folder / MAIL_NAME).symlink_to(folder / "elsewhere")
    with pytest.raises(UnsafeHome):
        open_mail(folder)


def test_a_newer_format_is_refused_and_left_alone(folder: Path):
    MailFile(folder).close()
    with sqlite3.connect(folder / MAIL_NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer wasess"):
        open_mail(folder)
    assert not (folder / "kept").exists()


def test_what_is_rolled_back_was_never_there(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)

    def take_in_and_fail() -> None:
        with mail.transaction():
            inbox.take_in([Arrival(message(1), 1.0)], None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take_in_and_fail()
    assert inbox.items() == []


def test_texts_whose_time_is_over_are_gone_from_every_file(folder: Path):
    mail = MailFile(folder)
    inbox, outbox = Inbox(mail), Outbox(mail)
    kept = replace(message(2, SECRET.replace("private", "dead")), media=None)
    inbox.take_in([Arrival(message(1, SECRET), 1.0), Arrival(kept, 1.0)], Place(1, "head", 1))
    inbox.finish(1, "done", 10.0)
    inbox.finish(2, "dead", 10.0, "ValueError")
    letter = outbox.queue("key", "a@lid", Reply(SECRET[:60000]), 10.0)
    outbox.sent(letter.seq, "X", 10.0)
    inbox.forget(20.0, 5.0)
    outbox.forget(20.0, 5.0)
    mail.checkpoint()
    mail.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not files_hold(folder, "private")
    assert files_hold(folder, "a very dead sentence"), "dead letters are not finished"
    assert inbox.take_in([Arrival(message(1, SECRET), 30.0)], None) == [], "its id is still known"
    inbox.forget(20.0, 20.0)
    outbox.forget(20.0, 20.0)
    assert [item.seq for item in inbox.items()] == [2]
    assert outbox.letters() == []


def test_files_of_what_is_forgotten_are_named(folder: Path):
    inbox = Inbox(MailFile(folder))
    inbox.take_in([Arrival(replace(message(1), media=Media(path="/x/1.png")), 1.0)], None)
    assert inbox.forget(5.0, 0.0) == []
    inbox.finish(1, "done", 2.0)
    assert inbox.forget(5.0, 0.0) == ["/x/1.png"]
    assert inbox.forget(5.0, 0.0) == []


def test_a_position_is_never_used_twice(folder: Path):
    inbox = Inbox(MailFile(folder))
    inbox.take_in([Arrival(message(1), 1.0, "unasked")], None)
    inbox.forget(5.0, 5.0)
    inbox.take_in([Arrival(message(2), 1.0)], None)
    assert [item.seq for item in inbox.items()] == [2]


def test_many_that_wait_are_found_by_an_index(folder: Path):
    mail = MailFile(folder)
    plan = mail.rows("EXPLAIN QUERY PLAN SELECT seq FROM messages WHERE state = 'waiting' AND chat = 'a' ORDER BY seq LIMIT 1")
    assert "waiting_messages" in str(plan)
    plan = mail.rows("EXPLAIN QUERY PLAN SELECT seq FROM outbox WHERE chat = 'a' AND state IN ('queued', 'sending') ORDER BY seq LIMIT 1")
    assert "open_replies" in str(plan)


# --- the spool beside it ----------------------------------------------------------------------------------------------


def spool_of(folder: Path, *payloads: bytes) -> None:
    descriptor = os.open(folder / SPOOL_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for payload in payloads:
        os.write(descriptor, frame(17, payload))
    os.close(descriptor)


@given(some.lists(some.binary(max_size=9000), min_size=1, max_size=6), some.lists(some.binary(max_size=50), max_size=3))
def test_what_was_released_is_gone_and_all_else_stays(tmp_path_factory: pytest.TempPathFactory, before: list[bytes], after: list[bytes]):
    folder = tmp_path_factory.mktemp("spool")
    folder.chmod(0o700)
    spool_of(folder, *before)
    reader = SpoolReader(folder)
    frames = reader.read_new()
    place = reader.place(frames[-1].end)
    spool_of(folder, *after)
    size = (folder / SPOOL_NAME).stat().st_size
    release(folder, place)
    content = (folder / SPOOL_NAME).read_bytes()
    assert len(content) == size
    assert not any(content[12 : place.position])
    assert [found.payload for found in reader.read_new()] == after
    assert [found.payload for found in SpoolReader(folder, place).read_new()] == after
    assert [found.payload for found in scan(content)[0]][-len(after) :] == after or not after


def test_another_file_is_not_released(folder: Path):
    spool_of(folder, b"one")
    place = SpoolReader(folder)
    place.read_new()
    release(folder, Place(1, "head", 20))
    assert SpoolReader(folder).read_new()[0].payload == b"one"


def test_settling_releases_what_the_mailbox_holds(folder: Path):
    spool_of(folder, b"x" * 100_000, b"later")
    reader = SpoolReader(folder)
    first, _later = reader.read_new()
    mail = MailFile(folder)
    Inbox(mail).take_in([Arrival(message(1), 1.0)], reader.place(first.end))
    before = (folder / SPOOL_NAME).stat().st_blocks
    settle(folder, [str(folder / "gone.png")])
    assert b"xxxx" not in (folder / SPOOL_NAME).read_bytes()
    assert (folder / SPOOL_NAME).stat().st_blocks < before
    assert [found.payload for found in SpoolReader(folder, Inbox(mail).place()).read_new()] == [b"later"]
    assert depth(folder).damaged == 0
