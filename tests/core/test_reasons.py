from __future__ import annotations

from wasess.core import reasons
from wasess.core.message import Message


def test_codes_are_unique_and_every_reason_is_listed():
    defined = [value for value in vars(reasons).values() if isinstance(value, reasons.Reason)]
    assert len({reason.code for reason in defined}) == len(defined)
    assert set(reasons.ALL) == set(defined)


def test_what_only_a_human_can_mend_names_the_action():
    for reason in reasons.ALL:
        assert reason.level != "error" or reason.action, reason.code
        assert reason.action.format(user="alice").endswith(".") or not reason.action


def test_a_message_reads_as_its_text():
    assert str(Message(id="1", chat="a", sender="a", text="hello", timestamp=0.0)) == "hello"
