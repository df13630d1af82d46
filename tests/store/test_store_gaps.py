"""The gap ledger: what is missing is named until it arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mail_rows import CHAT, message

from wasess.store.gaps import Cause, Gap, Gaps

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


def test_only_a_number_is_no_id(gaps: Gaps):
    nameless = Gap(CHAT, CHAT, "", Cause.OLD_COUNTER, 3, 1.0)
    gaps.enter(nameless)
    gaps.enter(nameless)
    assert gaps.entries() == [nameless, nameless]


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
