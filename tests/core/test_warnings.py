from __future__ import annotations

import pytest

from wasess.core import reasons
from wasess.core.client_version import BUILT_AT, BUILT_IN
from wasess.core.warnings import client_warning, phone_warning, probation

DAY = 86_400.0
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        (-DAY, None),  # the clock was set back
        (0.0, None),
        (10 * DAY - 1, None),
        (10 * DAY, reasons.PHONE_SILENT),
        (12 * DAY - 1, reasons.PHONE_SILENT),
        (12 * DAY, reasons.PHONE_SILENT_URGENT),
        (400 * DAY, reasons.PHONE_SILENT_URGENT),
    ],
)
def test_a_silent_phone_is_told_of_before_whatsapp_unlinks_the_session(silent: float, reason: reasons.Reason | None):
    assert phone_warning(NOW - silent, NOW) is reason


def test_the_warnings_say_what_was_heard_and_what_to_do():
    for reason, level in ((reasons.PHONE_SILENT, "warning"), (reasons.PHONE_SILENT_URGENT, "error")):
        assert "nothing was heard from the phone" in reason.sentence
        assert "Open WhatsApp on the phone" in reason.action
        assert reason.level == level


@pytest.mark.parametrize(("age", "young"), [(-1.0, False), (0.0, True), (59.9, True), (60.0, False), (DAY, False)])
def test_a_pairing_is_on_probation_for_a_minute(age: float, young: bool):
    assert probation(NOW - age, NOW) is young
    assert probation(None, NOW) is False


@pytest.mark.parametrize(
    ("number", "days", "reason"),
    [
        (BUILT_IN, -1, None),  # the clock is wrong
        (BUILT_IN, 59.9, None),
        (BUILT_IN, 60, reasons.CLIENT_OLD),
        (BUILT_IN, 1000, reasons.CLIENT_OLD),
        (BUILT_IN + 75_000, 60.9, None),
        (BUILT_IN + 75_000, 61, reasons.CLIENT_OLD),
    ],
)
def test_an_old_client_is_told_of_before_whatsapp_refuses_it(number: int, days: float, reason: reasons.Reason | None):
    assert client_warning(number, BUILT_AT + days * DAY) is reason
