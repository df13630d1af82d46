from __future__ import annotations

import io
import json

import pytest

from wasess.core import reasons
from wasess.core.commands import Report
from wasess.core.states import State
from wasess.delivery.bot import Trouble
from wasess.supervisor.report import BotCondition, EventReporter, Notice, Reporters, TextReporter, state_notice, trouble_teller


def test_people_get_lines_and_programs_get_everything():
    text, events = io.StringIO(), io.StringIO()
    reporter = Reporters(TextReporter(text), EventReporter(events))
    change = Report(State.WAITING, reasons.NETWORK_DOWN, "warning", 2, 1003.0, "no route to host")
    reporter.report(state_notice("alice", change, 1000.0))
    repeated = Report(State.WAITING, reasons.NETWORK_DOWN, "debug", 3, 1009.0)
    reporter.report(state_notice("alice", repeated, 1003.0))
    reporter.report(Notice(1004.0, "manager_ready", "manager ready: 0 of 1 online"))
    assert text.getvalue().splitlines() == [
        "alice: WhatsApp can't be reached (no route to host); next try in 3 s",
        "manager ready: 0 of 1 online",
    ]
    first, second, third = map(json.loads, events.getvalue().splitlines())
    assert first == {
        "ts": "1970-01-01T00:16:40.000Z",
        "event": "state",
        "session": "alice",
        "state": "waiting",
        "code": "NETWORK_DOWN",
        "reason": "WhatsApp can't be reached (no route to host)",
        "action": "",
        "level": "warning",
        "attempt": 2,
        "next_retry_at": "1970-01-01T00:16:43.000Z",
    }
    assert (second["attempt"], second["level"]) == (3, "debug")
    assert (third["event"], third["reason"], third["next_retry_at"]) == ("manager_ready", "manager ready: 0 of 1 online", None)


def test_a_reader_that_has_gone_stops_nothing():
    stream = io.StringIO()
    reporter = TextReporter(stream)
    stream.close()
    reporter.report(Notice(0.0, "manager_starting", "manager starting"))


def test_the_action_names_the_session():
    change = Report(State.LOGGED_OUT, reasons.LOGGED_OUT, "error")
    assert (
        state_notice("bob", change, 0.0).line
        == "bob: logged out by WhatsApp or on the phone. The old credentials are kept. Pair again: `wasess connect bob`."
    )


def test_troubles_of_the_bot_are_notices():
    text = io.StringIO()
    tell = trouble_teller(TextReporter(text), lambda: 0.0)
    tell(Trouble("BOT_RAISED", "the bot failed", "alice"))
    tell(Trouble("BOT_BROKEN", "the bot can't be started"))
    assert text.getvalue().splitlines() == ["alice: the bot failed", "the bot can't be started"]


@pytest.mark.parametrize(
    ("troubles", "sentence"),
    [
        ((), ""),
        ((Trouble("BOT_BROKEN", "it can't be started"),), "it can't be started"),
        ((Trouble("BOT_AWAY", "it does not answer"), Trouble("BOT_RAISED", "it failed", "alice")), "it does not answer"),
        ((Trouble("BOT_AWAY", "it does not answer"), Trouble("BOT_BROKEN", "it can't be started")), "it can't be started"),
        ((Trouble("BOT_BROKEN", "it can't be started"), Trouble("BOT_BACK", "it is started")), ""),
    ],
)
def test_what_keeps_the_bot_from_being_asked_is_remembered(troubles: tuple[Trouble, ...], sentence: str):
    condition = BotCondition()
    for trouble in troubles:
        trouble_teller(condition)(trouble)
    assert condition.sentence == sentence
