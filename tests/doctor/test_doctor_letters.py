"""What a mailbox has to say to people, without a word of what is in it, and without a trace of having been looked at."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from linked_homes import codes, link
from test_doctor_bundle import bundled

from wasess.cli.app import run
from wasess.core import events
from wasess.core.message import Media, Message, Reply
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.doctor.checks import letters, mail
from wasess.doctor.checks.entries import entries, judge_files
from wasess.doctor.examination import document, look_for_sessions
from wasess.doctor.repair import repair_files
from wasess.store.frame import frame
from wasess.store.gaps import Cause
from wasess.store.spool import POSITION_NAME, SPOOL_NAME, Place, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.doctor.examination import Diagnosis
    from wasess.doctor.findings import Finding
    from wasess.store.sessions import Home, Session

CAROL = "4915112345678@s.whatsapp.net"
SECRETS = ("very private", "4915112345678", "Carolina", "my-diary.pdf", "3EB0C0FFEE")


@pytest.fixture
def session(home: Home) -> Session:
    return link(home)


@pytest.fixture
def mailbox(session: Session) -> Iterator[Mailbox]:
    made, _ = Mailbox.open("alice", session.folder, durable=False)
    yield made
    made.close()


def arrive(mailbox: Mailbox, *found: events.Event) -> None:
    mailbox.take_in(
        [Spooled(event, b"very private") for event in found], Place(1, "head", 1), time.time() - 100, lambda _message: "waiting"
    )


def message(number: int) -> events.MessageReceived:
    media = Media("application/pdf", 5, "my-diary.pdf")
    return events.MessageReceived(Message(f"3EB0C0FFEE{number}", CAROL, CAROL, "very private", 0.0, push_name="Carolina", media=media))


def full(mailbox: Mailbox) -> None:
    """Something of everything."""
    arrive(mailbox, message(1), message(2), message(3), events.Missed("3EB0C0FFEE8", CAROL, CAROL, Cause.OLD_COUNTER))
    arrive(mailbox, events.Undecryptable("3EB0C0FFEE9", CAROL, CAROL))
    now = time.time()
    mailbox.inbox.finish(1, "dead", now, "ValueError: very private")
    for key in ("queued", "doubt", "failed", "unknown"):
        letter = mailbox.outbox.queue(key, CAROL, Reply("very private", file="my-diary.pdf"), now)
        if key == "doubt":
            mailbox.outbox.departing(key, "3EB0C0FFEE", now)
        elif key != "queued":
            mailbox.outbox.end(letter.seq, "failed" if key == "failed" else "unknown", f"{CAROL} is not there", now)


def found_in(session: Session) -> dict[str, Finding]:
    return {finding.code: finding for finding in letters.check(session).findings}


def test_no_mail_is_no_news(session: Session):
    assert letters.check(session).facts == {"mail": None}
    assert letters.check(session).findings == ()


def test_a_mailbox_that_is_only_just_made_is_no_news(session: Session):
    (session.folder / "inbox.db").touch(mode=0o600)
    assert (letters.check(session).facts, letters.check(session).findings) == ({"mail": None}, ())


def test_a_mailbox_that_is_well_is_worth_a_line(session: Session, mailbox: Mailbox):
    assert letters.check(session).findings == ()
    arrive(mailbox, message(1), message(2))
    mailbox.outbox.queue("key", CAROL, Reply("very private"), time.time())
    mailbox.outbox.queue("other", CAROL, Reply("very private"), time.time())
    mailbox.outbox.departing("other", "OWN", time.time())
    part = letters.check(session)
    [line] = part.findings
    assert (line.code, line.level) == ("MAIL", "ok")
    assert line.sentence == "2 messages wait for the bot, the first since 1 min; 1 reply is not sent yet; 1 reply is on its way"
    assert {**part.facts["mail"], "oldest_waiting_at": None} == {
        "waiting": 2,
        "oldest_waiting_at": None,
        "dead": 0,
        "queued": 1,
        "in_doubt": 1,
        "failed": 0,
        "unknown": 0,
        "resent": 0,
        "gaps": [],
        "not_resent": [],
        "braked": [],
    }
    assert 99 < time.time() - part.facts["mail"]["oldest_waiting_at"] < 200


def test_dead_letters_and_replies_that_failed_are_told(session: Session, mailbox: Mailbox):
    full(mailbox)
    found = found_in(session)
    assert found.keys() == {"DEAD_LETTERS", "REPLIES_FAILED", "GAPS", "MAIL"}
    assert (found["DEAD_LETTERS"].level, found["DEAD_LETTERS"].fix) == ("warning", "wasess inbox list alice")
    assert found["DEAD_LETTERS"].sentence == "the bot gave 1 message up"
    assert found["REPLIES_FAILED"].sentence == "2 replies were not sent, or nobody knows"
    facts = letters.check(session).facts["mail"]
    assert [facts[name] for name in ("waiting", "dead", "queued", "in_doubt", "failed", "unknown")] == [2, 1, 1, 1, 1, 1]


def test_what_is_missing_is_named_until_it_arrives(session: Session, mailbox: Mailbox):
    arrive(mailbox, events.Missed("3EB0C0FFEE1", CAROL, CAROL, Cause.OLD_COUNTER), events.Undecryptable("3EB0C0FFEE2", CAROL, CAROL))
    gap = found_in(session)["GAPS"]
    assert (gap.level, gap.fix) == ("warning", "wasess diagnose alice --json")
    assert gap.sentence == (
        "2 messages are missing (died with a process, could not be decrypted, and was asked for again), the first since 1 min, "
        "from 491***78@s.whatsapp.net (2); unless it arrives after all, ask the sender to write again"
    )
    [first, second] = letters.check(session).facts["mail"]["gaps"]
    assert (first["cause"], second["cause"], second["count"]) == ("old-counter", "undecryptable", 1)
    assert first["sender"] == "491***78@s.whatsapp.net"
    arrive(mailbox, message(2))
    assert [entry["cause"] for entry in letters.check(session).facts["mail"]["gaps"]] == ["old-counter"]
    arrive(mailbox, message(1))
    assert "GAPS" not in found_in(session)


def test_what_was_not_sent_again_is_told_apart_from_what_is_missing(session: Session, mailbox: Mailbox):
    arrive(mailbox, events.AskedAgain("3EB0NEVER", CAROL, CAROL, 0))
    [line] = letters.check(session).findings
    assert (line.code, line.level) == ("NOT_SENT_AGAIN", "note")  # anybody can ask for anything
    sent = mailbox.outbox.queue("a file", CAROL, Reply(file="/home/alice/invoice.pdf"), time.time())
    mailbox.outbox.sent(sent.seq, "3EB0FILE", time.time())
    arrive(mailbox, events.AskedAgain("3EB0FILE", CAROL, CAROL, 0))
    [line] = letters.check(session).findings
    assert (line.level, line.fix) == ("warning", "wasess send alice --help")
    assert line.sentence == (
        "2 messages could not be decrypted by their recipients; not sent again (a file is sent once only, "
        "nothing was sent to them under that id): 491***78@s.whatsapp.net (2); write to them"
    )
    mail = letters.check(session).facts["mail"]
    assert ([entry["cause"] for entry in mail["not_resent"]], mail["gaps"]) == (["resend-unknown", "resend-file"], [])
    text = mailbox.outbox.queue("a text", CAROL, Reply("hello"), time.time())
    mailbox.outbox.sent(text.seq, "3EB0TEXT", time.time())
    arrive(mailbox, events.AskedAgain("3EB0TEXT", CAROL, CAROL, 0))
    assert letters.check(session).facts["mail"]["resent"] == 1


def test_what_had_arrived_before_is_not_missing(session: Session, mailbox: Mailbox):
    arrive(mailbox, message(1))
    arrive(mailbox, events.Missed("3EB0C0FFEE1", CAROL, CAROL, Cause.OLD_COUNTER))
    assert "GAPS" not in found_in(session)


# --- damage -----------------------------------------------------------------------------------------------------------------


def test_a_damaged_mailbox_is_told_and_left_alone(session: Session):
    path = session.folder / "inbox.db"
    path.write_bytes(b"garbage" * 1000)
    path.chmod(0o600)
    for managed, fix in ((False, "wasess serve"), (True, "wasess pause alice && wasess resume alice")):
        [found] = letters.check(session, managed=managed).findings
        assert (found.code, found.level, found.fix) == ("MAIL_DAMAGED", "error", fix)
        assert "serve sets it aside" in found.sentence
    assert path.read_bytes() == b"garbage" * 1000


def test_a_mailbox_that_was_emptied_is_damaged(session: Session):
    (session.folder / "inbox.db").touch(mode=0o600)
    (session.folder / POSITION_NAME).touch(mode=0o600)
    assert found_in(session).keys() == {"MAIL_DAMAGED"}


def test_a_newer_mailbox_is_told_and_left_alone(session: Session, mailbox: Mailbox):
    mailbox.close()
    with closing(sqlite3.connect(session.folder / "inbox.db")) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA application_id = 99")
    [found] = letters.check(session).findings
    assert (found.code, found.level) == ("MAIL_UNREADABLE", "warning")
    assert "newer wasess" in found.sentence


# --- looking on ---------------------------------------------------------------------------------------------------------------


def states(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {path.name: ((found := path.stat()).st_mode, found.st_size, found.st_mtime_ns) for path in folder.rglob("*")}


def test_nobody_is_disturbed(session: Session, mailbox: Mailbox, home: Home, looked: Callable[..., Diagnosis]):
    full(mailbox)
    before = states(session.folder)
    assert codes(looked(home)) >= {"DEAD_LETTERS", "GAPS"}
    with mailbox._mail.transaction():
        mailbox.inbox.finish(2, "done", 1.0)
        assert codes(looked(home)) >= {"DEAD_LETTERS", "GAPS"}, "also while somebody writes"
    assert mailbox.settle(), "nor does anybody still read"
    mailbox.close()
    left = states(session.folder)
    assert codes(looked(home)) >= {"DEAD_LETTERS", "GAPS"}
    assert states(session.folder) == left
    assert {name for name in before if not name.endswith(("-wal", "-shm"))} == set(left)


def test_events_that_are_in_the_mailbox_are_dealt_with(session: Session, mailbox: Mailbox, home: Home):
    """Also when a killed manager did not note how far it had come."""
    (session.folder / SPOOL_NAME).write_bytes(frame(17, b"one") + frame(17, b"two"))
    (session.folder / SPOOL_NAME).chmod(0o600)
    reader = SpoolReader(session.folder)
    first = reader.read_new()[0]
    [view] = look_for_sessions(home, "alice")
    assert mail.check(session, view).facts["spool"]["frames"] == 2
    mailbox.take_in([Spooled(message(1))], reader.place(first.end), 1.0, lambda _message: "waiting")
    assert mail.check(session, view).facts["spool"]["frames"] == 1


# --- files --------------------------------------------------------------------------------------------------------------------


def files_of(session: Session) -> dict[str, Finding]:
    return {found.code: found for found in judge_files(session.folder, entries(session.folder), "alice")}


def test_what_came_with_messages_belongs_there(session: Session, mailbox: Mailbox):
    media = session.folder / "media"
    media.mkdir(mode=0o700)
    (media / "1.pdf").touch(mode=0o600)
    arrive(mailbox, message(1))
    (session.folder / "inbox.db-wal").chmod(0o600)
    (session.folder / "inbox.db-shm").chmod(0o600)
    assert files_of(session) == {}


def test_files_that_others_could_read_are_told_and_tightened(session: Session, home: Home):
    media = session.folder / "media"
    media.mkdir()
    media.chmod(0o755)
    for number in range(5):
        (media / f"{number}.pdf").touch()
        (media / f"{number}.pdf").chmod(0o644 if number else 0o666)
    found = files_of(session)
    assert found.keys() == {"FOLDER_OPEN", "FILE_READABLE", "FILE_WRITABLE"}
    assert found["FILE_READABLE"].fix == f"chmod -R u+rwX,go= {media}"
    assert {repair.outcome for repair in repair_files(home)} == {"repaired"}
    assert files_of(session) == {}


@pytest.mark.parametrize(("kind", "code"), [("file", "NOT_A_FOLDER"), ("link", "FOLDER_IS_LINK")])
def test_something_else_in_the_place_of_the_files_is_told(session: Session, tmp_path: Path, kind: str, code: str):
    media = session.folder / "media"
    media.touch(mode=0o600) if kind == "file" else media.symlink_to(tmp_path)
    assert files_of(session).keys() == {code}


# --- for others ---------------------------------------------------------------------------------------------------------------


def test_no_word_of_the_mail_is_told_to_anybody(
    session: Session, mailbox: Mailbox, home: Home, looked: Callable[..., Diagnosis], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    full(mailbox)
    media = session.folder / "media"
    media.mkdir(mode=0o700)
    (media / "my-diary.pdf").write_text("very private")
    (session.folder / SPOOL_NAME).write_bytes(frame(17, b"very private"))
    (session.folder / SPOOL_NAME).chmod(0o600)
    (media / "my-diary.pdf").chmod(0o600)
    told = json.dumps(document(looked(home)))
    assert run(["diagnose", "--home", str(home.path), "--offline"]) == 8
    told += capsys.readouterr().out
    archive = bundled(home, tmp_path / "bundle.tgz")
    public = "\n".join([*archive, *archive.values()])
    assert not [secret for secret in SECRETS if secret in told]
    assert not [secret for secret in (*SECRETS, "491***78", "s.whatsapp.net") if secret in public]
    [shown] = json.loads(archive["wasess/diagnosis.json"])["sessions"]
    assert (shown["mail"]["dead"], shown["mail"]["waiting"], len(shown["mail"]["gaps"])) == (1, 2, 2)
    assert {"GAPS", "DEAD_LETTERS", "REPLIES_FAILED"} <= {found["code"] for found in shown["findings"]}
