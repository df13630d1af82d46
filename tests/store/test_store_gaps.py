"""The gap ledger: what is missing is named until it arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mail_rows import CHAT, message

from wasess.store.gaps import MOST_NAMED, Cause, Gap, Gaps

if TYPE_CHECKING:
    from wasess.store.mail import MailFile


@pytest.fixture
def gaps(mail: MailFile) -> Gaps:
    return Gaps(mail)


def gap(number: int, at: float = 1.0, cause: Cause = Cause.UNDECRYPTABLE) -> Gap:
    return Gap(CHAT, CHAT, f"ID{number}", cause, 1, at)


def test_the_same_is_missing_once(gaps: Gaps):
    gaps.enter(gap(1))
    gaps.enter(gap(1, 5.0, Cause.OLD_COUNTER))
    gaps.enter(gap(2, cause=Cause.NO_EVENT))
    assert gaps.entries() == [gap(1), gap(2, cause=Cause.NO_EVENT)], "the first word counts"


def test_those_without_an_id_are_counted(gaps: Gaps):
    nameless = Gap(CHAT, CHAT, "", Cause.OLD_COUNTER, 3, 1.0)
    gaps.enter(nameless)
    gaps.enter(replace(nameless, at=2.0))
    gaps.enter(replace(nameless, cause=Cause.NO_EVENT))
    assert gaps.entries() == [replace(nameless, count=6, at=2.0), replace(nameless, cause=Cause.NO_EVENT)]


def test_it_goes_when_its_message_arrives(gaps: Gaps, mail: MailFile):
    for number in (1, 2, 3):
        gaps.enter(gap(number))
    assert not gaps.close(message(4))
    assert not gaps.close(replace(message(1), sender="b@lid")), "the same id, by another sender"
    assert gaps.close(message(1))
    assert not gaps.close(message(1))
    assert gaps.close(replace(message(2), sender="c@lid", sender_alt=CHAT)), "it came from the sender's other address"
    assert gaps.close(replace(message(3), chat="1203630@g.us")), "or in a chat that is called otherwise"
    assert gaps.entries() == []
    again = Gaps(mail)
    again.enter(gap(5))
    assert Gaps(mail).close(message(5)), "also what an earlier manager has noticed"


def test_a_commit_that_fails_opens_it_again(gaps: Gaps, mail: MailFile):
    gaps.enter(gap(1))

    def close_and_fail() -> None:
        with mail.transaction():
            assert gaps.close(message(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        close_and_fail()
    assert gaps.entries() == [gap(1)]
    assert gaps.close(message(1))


def test_what_is_old_is_forgotten(gaps: Gaps):
    gaps.enter(gap(1, 1.0))
    gaps.enter(gap(2, 5.0))
    gaps.forget(5.0)
    assert gaps.entries() == [gap(2, 5.0)]
    assert gaps.close(message(2))
    assert not gaps.close(message(1))


def strange(number: int, sender: str = CHAT, at: float = 1.0, cause: Cause = Cause.UNDECRYPTABLE) -> Gap:
    return Gap(sender, sender, f"STRANGE{number}", cause, 1, at)


def test_one_sender_fills_no_ledger(gaps: Gaps, mail: MailFile):
    gaps.enter(strange(0, "other@lid"))
    with mail.transaction():
        for number in range(3000):
            gaps.enter(strange(number, at=float(number), cause=Cause.NO_EVENT if number % 2 else Cause.UNDECRYPTABLE))
    entries = gaps.entries()
    named = [entry for entry in entries if entry.sender == CHAT and entry.id]
    counted = [entry for entry in entries if not entry.id]
    assert len(named) == MOST_NAMED, "the first ones by their ids"
    assert {entry.cause: entry.count for entry in counted} == dict.fromkeys((Cause.UNDECRYPTABLE, Cause.NO_EVENT), (3000 - MOST_NAMED) // 2)
    assert max(entry.at for entry in counted) == 2999.0, "as long as the newest is remembered"
    assert sum(entry.count for entry in entries) == 3001, "none is lost"
    gaps.enter(strange(1, "other@lid"))
    assert [entry.id for entry in gaps.entries() if entry.sender == "other@lid"] == ["STRANGE0", "STRANGE1"]


def test_counting_goes_on_after_a_restart_and_a_commit_that_fails(gaps: Gaps, mail: MailFile):
    with mail.transaction():
        for number in range(MOST_NAMED + 5):
            gaps.enter(strange(number))
    again = Gaps(mail)
    again.enter(strange(9000))

    def enter_and_fail() -> None:
        with mail.transaction():
            again.enter(strange(9001, cause=Cause.NO_EVENT))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enter_and_fail()
    again.enter(strange(9002, cause=Cause.NO_EVENT))
    again.enter(strange(9003, cause=Cause.NO_EVENT))
    assert {entry.cause: entry.count for entry in again.entries() if not entry.id} == {Cause.UNDECRYPTABLE: 6, Cause.NO_EVENT: 2}


def test_a_named_one_closes_and_a_counted_one_stays(gaps: Gaps, mail: MailFile):
    with mail.transaction():
        for number in range(MOST_NAMED + 1):
            gaps.enter(gap(number))
    assert gaps.close(message(1))
    assert not gaps.close(message(MOST_NAMED)), "nobody knows which were counted"
    assert [entry.count for entry in gaps.entries() if not entry.id] == [1]
    gaps.enter(gap(MOST_NAMED + 1))
    assert gaps.close(message(MOST_NAMED + 1)), "there is room for a name again"
    gaps.forget(5.0)
    assert gaps.entries() == []
    gaps.enter(gap(1))
    assert gaps.entries() == [gap(1)]


def test_many_senders_fill_no_ledger(gaps: Gaps, mail: MailFile, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wasess.store.gaps.MOST_ROWS", 50)
    with mail.transaction():
        for number in range(200):
            gaps.enter(strange(number, f"{number}@lid"))
    entries = gaps.entries()
    assert len(entries) == 51
    assert entries[-1] == Gap("", "", "", Cause.UNDECRYPTABLE, 150, 1.0)
    assert gaps.close(replace(message(1), id="STRANGE7", sender="7@lid"))
