"""inbox.db keeps nothing for longer than is wished, and the spool beside it nothing that is in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from mail_rows import CHAT, arrivals, files_hold, message, spool_of

from wasess.core.message import Reply
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MAIL_NAME, MailFile
from wasess.store.mail_checkpoint import settle
from wasess.store.media import MEDIA_NAME
from wasess.store.outbox import Outbox
from wasess.store.spool import SPOOL_NAME, Place, SpoolReader, depth

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a very private sentence that makes more than a page of a database " * 120


def test_texts_whose_time_is_over_are_gone_from_every_file(folder: Path):
    mail = MailFile(folder)
    inbox, outbox = Inbox(mail), Outbox(mail)
    inbox.take_in([Arrival(message(1, SECRET), 1.0), Arrival(message(2, SECRET.replace("private", "dead")), 1.0)], Place(1, "head", 1))
    inbox.take_in([Arrival(message(number, f"private {number}", f"{number}@lid"), 1.0) for number in range(3, 200)], Place(1, "head", 2))
    for seq in range(3, 200):
        inbox.finish(seq, "done", 10.0)
    inbox.postpone(1, 1, 5.0, "ValueError: a very private sentence")
    inbox.drop(1, 10.0)
    inbox.finish(2, "dead", 10.0, "ValueError")
    letter = outbox.queue("key", CHAT, Reply(SECRET[:60000]), 10.0)
    outbox.sent(letter.seq, "X", 10.0)
    assert settle(folder)
    assert files_hold(folder, "private")
    assert inbox.forget(20.0, 5.0)
    assert outbox.forget(20.0, 5.0)
    assert settle(folder, forgot=True)
    assert files_hold(folder, "private") == []
    assert files_hold(folder, "a very dead sentence") == [MAIL_NAME], "dead letters are not finished"
    assert files_hold(folder, "100@lid"), "who wrote is still known"
    assert not inbox.forget(20.0, 5.0), "nothing is left to forget"
    assert inbox.take_in([Arrival(message(1, SECRET), 30.0)], None) == [], "its id is still known"
    assert inbox.forget(20.0, 20.0)
    assert outbox.forget(20.0, 20.0)
    assert settle(folder, forgot=True)
    assert files_hold(folder, "100@lid") == [], "nor in an index"
    assert [item.seq for item in inbox.items()] == [2]
    assert outbox.letters() == []
    mail.close()


def test_what_could_not_be_wiped_out_now_is_later(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)
    inbox.take_in([Arrival(message(1, SECRET), 1.0, "unasked")], Place(1, "head", 1))
    with closing(sqlite3.connect(folder / MAIL_NAME, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        inbox.forget(20.0, 5.0)
        assert not settle(folder, forgot=True)
        assert files_hold(folder, "private")
        inbox.take_in(arrivals(2), Place(1, "head", 2))  # nobody is kept waiting by what can't be done
    assert settle(folder, forgot=True)
    assert files_hold(folder, "private") == []
    mail.close()


def test_the_files_of_what_is_forgotten_are_deleted_and_no_others(folder: Path):
    mail = MailFile(folder)
    inbox = Inbox(mail)
    inbox.take_in(arrivals(1, 2, 3), None)
    media = folder / MEDIA_NAME
    media.mkdir(mode=0o700)
    for name in ("1.png", "2.jpg", "2.mp4", "3", "77.ogg", "notes.txt", ".hidden"):
        (media / name).touch()
    assert settle(folder), "nothing was forgotten"
    assert len(list(media.iterdir())) == 7
    inbox.finish(1, "done", 2.0)
    inbox.finish(2, "dead", 2.0)
    inbox.forget(5.0, 0.0)
    assert settle(folder, forgot=True)
    left = {path.name for path in media.iterdir()}
    assert left == {"2.jpg", "2.mp4", "3", "notes.txt", ".hidden"}, "a dead letter's and a waiting one's stay, and what is not ours"
    mail.close()


def test_no_file_is_deleted_through_a_link(folder: Path, tmp_path: Path):
    MailFile(folder).close()
    (tmp_path / "77.png").touch()
    (folder / MEDIA_NAME).symlink_to(tmp_path)
    settle(folder, forgot=True)
    assert (tmp_path / "77.png").exists()


# --- the spool beside it ----------------------------------------------------------------------------------------------


def test_settling_releases_what_the_mailbox_holds(folder: Path):
    spool_of(folder, b"x" * 100_000, b"later")
    reader = SpoolReader(folder)
    first, _later = reader.read_new()
    mail = MailFile(folder)
    Inbox(mail).take_in(arrivals(1), reader.place(first.end))
    before = (folder / SPOOL_NAME).stat().st_blocks
    assert settle(folder)
    assert b"xxxx" not in (folder / SPOOL_NAME).read_bytes()
    assert (folder / SPOOL_NAME).stat().st_blocks < before
    assert [found.payload for found in SpoolReader(folder, Inbox(mail).place()).read_new()] == [b"later"]
    assert depth(folder).damaged == 0
    mail.close()


def test_nothing_is_released_that_is_not_on_the_disk(folder: Path):
    spool_of(folder, b"x" * 100_000)
    reader = SpoolReader(folder)
    [only] = reader.read_new()
    mail = MailFile(folder)
    inbox = Inbox(mail)
    with closing(sqlite3.connect(folder / MAIL_NAME, isolation_level=None)) as behind:
        behind.execute("BEGIN")
        behind.execute("SELECT count(*) FROM messages").fetchone()
        inbox.take_in(arrivals(1), reader.place(only.end))
        assert not settle(folder)
        assert b"xxxx" in (folder / SPOOL_NAME).read_bytes()
    assert settle(folder)
    assert b"xxxx" not in (folder / SPOOL_NAME).read_bytes()
    mail.close()


def test_settling_where_there_is_no_mail_makes_none(folder: Path):
    assert not settle(folder, forgot=True)
    assert list(folder.iterdir()) == []
