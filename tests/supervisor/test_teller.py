"""What people hear of a session, and what they do not hear twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock
from village import Told

from wasess.core import reasons
from wasess.core.commands import Report
from wasess.core.states import State
from wasess.supervisor.teller import Alerts, Teller

if TYPE_CHECKING:
    from wasess.core.reasons import Level, Reason

DAY = 86_400.0


class Square:
    """Where several sessions are told of."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.told = Told()
        self.alerts = Alerts()

    def teller(self, user: str) -> Teller:
        teller = Teller(user, self.told, self.clock, self.alerts)
        teller.begin()
        return teller

    def levels(self, code: str) -> list[Level]:
        return [notice.level for notice in self.told.notices if notice.code == code]


@pytest.fixture
def square() -> Square:
    return Square()


def say(
    teller: Teller, reason: Reason, state: State = State.WAITING, *, level: Level | None = None, next_try_at: float | None = None
) -> None:
    teller.report(Report(state, reason, level or reason.level, next_try_at=next_try_at))


def comes_online(teller: Teller) -> None:
    say(teller, reasons.STARTING, State.CONNECTING)
    teller.starting()
    say(teller, reasons.ONLINE, State.ONLINE)


def test_a_session_is_restored_once_and_then_back_again(square: Square):
    alice = square.teller("alice")
    square.clock.advance(5.0)  # in the queue of those who dial
    say(alice, reasons.STARTING, State.CONNECTING)
    alice.starting()
    square.clock.advance(1.25)
    say(alice, reasons.ONLINE, State.ONLINE)
    say(alice, reasons.WORKER_LOST)
    alice.starting()
    say(alice, reasons.ONLINE, State.ONLINE)
    assert square.told.lines == [
        "restoring alice",
        "alice restored (1.2 s)",
        "automatic reconnect on for alice",
        "alice: the session's process ended unexpectedly; starting it again",
        "alice is online again",
    ]


def test_the_time_of_the_restoring_counts_its_failures(square: Square):
    alice = square.teller("alice")
    alice.starting()
    square.clock.advance(3.0)
    say(alice, reasons.NETWORK_DOWN)
    square.clock.advance(4.0)
    alice.starting()
    say(alice, reasons.ONLINE, State.ONLINE)
    assert "alice restored (7.0 s)" in square.told.lines


def test_a_session_that_is_brought_up_anew_is_restored_anew(square: Square):
    alice = square.teller("alice")
    comes_online(alice)
    say(alice, reasons.LOGGED_OUT, State.LOGGED_OUT)
    square.clock.advance(DAY)
    alice.begin()
    comes_online(alice)
    assert square.told.lines.count("restoring alice") == 2
    assert square.told.lines.count("alice restored (0.0 s)") == 2
    assert "alice is online again" not in square.told.lines


def test_programs_hear_of_every_state_whatever_the_sentence_for_people(square: Square):
    alice = square.teller("alice")
    comes_online(alice)
    say(alice, reasons.STOPPED, State.STOPPED)
    assert [(notice.event, notice.code) for notice in square.told.notices] == [
        ("state", "STARTING"),
        ("restoring", ""),
        ("state", "ONLINE"),
        ("restored", ""),
        ("reconnect_on", ""),
        ("state", "STOPPED"),
    ]
    assert square.told.lines[-1] == "alice stopped"


def test_notices_carry_wall_time(square: Square):
    alice = square.teller("alice")
    square.clock.set_wall(-DAY)
    wall = square.clock.now()
    say(alice, reasons.NETWORK_DOWN, next_try_at=wall + 30)
    alice.trouble("SOMETHING", "something is odd")
    assert [notice.at for notice in square.told.notices] == [wall, wall]
    assert square.told.notices[0].next_retry_at == wall + 30
    assert square.told.lines[0] == "alice: WhatsApp can't be reached; next try in 30 s"


# --- what concerns all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [reasons.OUTDATED, reasons.DISK_FULL, reasons.CLOCK_WRONG])
def test_what_strikes_all_sessions_is_one_alert(square: Square, reason: Reason):
    for number in range(5):
        say(square.teller(f"s{number}"), reason)
    assert square.levels(reason.code) == [reason.level, "info", "info", "info", "info"]
    assert len(square.told.lines) == 5


def test_after_one_was_online_it_is_an_alert_again(square: Square):
    alice, bob = square.teller("alice"), square.teller("bob")
    say(alice, reasons.OUTDATED)
    say(bob, reasons.OUTDATED)
    comes_online(bob)
    say(bob, reasons.OUTDATED)
    say(alice, reasons.OUTDATED)
    assert square.levels("OUTDATED") == ["error", "info", "error", "info"]


def test_what_repeats_stays_quiet_and_uses_up_no_alert(square: Square):
    alice, bob = square.teller("alice"), square.teller("bob")
    say(alice, reasons.OUTDATED, level="debug")
    say(bob, reasons.OUTDATED)
    say(bob, reasons.OUTDATED, level="debug")
    assert square.levels("OUTDATED") == ["debug", "error", "debug"]


def test_one_alert_does_not_hide_another(square: Square):
    alice, bob = square.teller("alice"), square.teller("bob")
    say(alice, reasons.OUTDATED)
    say(bob, reasons.DISK_FULL)
    say(alice, reasons.LOGGED_OUT, State.LOGGED_OUT)
    say(bob, reasons.LOGGED_OUT, State.LOGGED_OUT)
    assert [notice.level for notice in square.told.notices] == ["error"] * 4


# --- troubles ------------------------------------------------------------------------------------------------------------


def test_a_trouble_that_is_told_sparingly_comes_once_in_ten_minutes(square: Square):
    alice = square.teller("alice")
    heard: list[int] = []
    for second in range(0, 1900, 50):
        before = len(square.told.notices)
        alice.trouble("DATABASE_BUSY", "its database is locked", sparing=True)
        if len(square.told.notices) > before:
            heard.append(second)
        square.clock.advance(50.0)
    assert heard == [0, 600, 1200, 1800]


def test_sparing_is_by_session_and_by_code_and_no_matter_of_the_wall_clock(square: Square):
    alice, bob = square.teller("alice"), square.teller("bob")
    alice.trouble("DATABASE_BUSY", "busy", sparing=True)
    bob.trouble("DATABASE_BUSY", "busy", sparing=True)
    alice.trouble("ANOTHER", "another", sparing=True)
    square.clock.set_wall(DAY)
    alice.trouble("DATABASE_BUSY", "busy", sparing=True)
    square.clock.set_wall(-2 * DAY)
    alice.trouble("DATABASE_BUSY", "busy", sparing=True)
    assert square.told.codes() == ["DATABASE_BUSY", "DATABASE_BUSY", "ANOTHER"]


def test_a_trouble_names_the_session_and_what_to_do(square: Square):
    square.teller("alice").trouble("SOMETHING", "something is odd", action="Do that.", level="error")
    (notice,) = square.told.notices
    assert notice.line == "alice: something is odd. Do that."
    assert (notice.event, notice.session, notice.reason, notice.action, notice.level) == (
        "trouble",
        "alice",
        "something is odd",
        "Do that.",
        "error",
    )


def test_a_poisonous_frame_is_told_without_its_words(square: Square):
    square.teller("alice").poison(17, ValueError("hidden words"))
    assert square.told.lines == ["alice: an event of kind 17 can't be read and was skipped (ValueError)"]
