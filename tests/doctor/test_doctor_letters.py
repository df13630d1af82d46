"""What a mailbox has to say to people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.doctor.checks import letters
from wasess.store.gaps import Cause
from wasess.store.sessions import Home
from wasess.store.spool import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasess.store.sessions import Session

CAROL = "4915112345678@s.whatsapp.net"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    found = Home(tmp_path / "home").open(create=True).session("alice")
    found.create()
    return found


@pytest.fixture
def mailbox(session: Session) -> Iterator[Mailbox]:
    made, _ = Mailbox.open("alice", session.folder, durable=False)
    yield made
    made.close()


def arrive(mailbox: Mailbox, *found: events.Event) -> None:
    mailbox.take_in([Spooled(event) for event in found], Place(1, "head", 1), time.time() - 100, lambda _message: "waiting")


def message(number: int) -> events.MessageReceived:
    return events.MessageReceived(Message(f"ID{number}", CAROL, CAROL, "very private", 0.0))


def test_no_mail_is_no_news(session: Session):
    assert letters.check(session).facts == {"mail": None}
    assert letters.check(session).findings == ()


def test_a_mailbox_that_is_well_has_facts_alone(session: Session, mailbox: Mailbox):
    arrive(mailbox, message(1), message(2))
    part = letters.check(session)
    assert part.findings == ()
    assert {**part.facts["mail"], "oldest_waiting_at": None} == {
        "waiting": 2,
        "oldest_waiting_at": None,
        "dead": 0,
        "queued": 0,
        "in_doubt": 0,
        "failed": 0,
        "unknown": 0,
        "gaps": [],
    }
    assert 99 < time.time() - part.facts["mail"]["oldest_waiting_at"] < 200


def test_dead_letters_and_replies_that_failed_are_told(session: Session, mailbox: Mailbox):
    arrive(mailbox, message(1))
    mailbox.inbox.finish(1, "dead", time.time(), "ValueError")
    letter = mailbox.outbox.queue("key", CAROL, Reply("very private"), time.time())
    mailbox.outbox.end(letter.seq, "failed", "479", time.time())
    found = {finding.code: finding for finding in letters.check(session).findings}
    assert found.keys() == {"DEAD_LETTERS", "REPLIES_FAILED"}
    assert (found["DEAD_LETTERS"].sentence, found["DEAD_LETTERS"].fix) == ("the bot gave 1 message up", "wasess inbox list alice")
    assert "private" not in str(found)


def test_what_is_missing_is_named_until_it_arrives(session: Session, mailbox: Mailbox):
    arrive(mailbox, events.Missed("ID1", CAROL, CAROL, Cause.OLD_COUNTER), events.Undecryptable("ID2", CAROL, CAROL))
    [gap] = letters.check(session).findings
    assert gap.sentence == (
        "2 messages are missing (died with a process, could not be decrypted), the first since 1 min, from 491***78@s.whatsapp.net (2); "
        "unless it arrives after all, ask the sender to write again"
    )
    assert [entry["cause"] for entry in letters.check(session).facts["mail"]["gaps"]] == ["old-counter", "undecryptable"]
    arrive(mailbox, message(2))
    assert [entry["cause"] for entry in letters.check(session).facts["mail"]["gaps"]] == ["old-counter"]
    arrive(mailbox, message(1))
    assert letters.check(session).findings == ()


def test_what_had_arrived_before_is_not_missing(session: Session, mailbox: Mailbox):
    arrive(mailbox, message(1))
    arrive(mailbox, events.Missed("ID1", CAROL, CAROL, Cause.OLD_COUNTER))
    assert letters.check(session).findings == ()


def test_a_damaged_mailbox_is_told_and_left_alone(session: Session):
    path = session.folder / "inbox.db"
    path.write_bytes(b"garbage" * 1000)
    path.chmod(0o600)
    [found] = letters.check(session).findings
    assert (found.code, found.level) == ("MAIL_DAMAGED", "error")
    assert path.read_bytes() == b"garbage" * 1000
