from __future__ import annotations

import io
import json

import pytest

from wasess.drill.told import about, first, in_words, is_trouble, read
from wasess.supervisor.report import EventReporter, Notice


def line(at: float = 1000.0, event: str = "state", **fields: object) -> str:
    stream = io.StringIO()
    EventReporter(stream).report(Notice(at, event, "", **fields))
    return stream.getvalue()


def test_what_serve_tells_is_read_back():
    told = read(line(1234.5, session="alice", state="waiting", code="ZOMBIE", attempt=2, next_retry_at=1240.25))
    assert (told.at, told.session, told.state, told.code, told.attempt, told.next_retry_at) == (
        1234.5,
        "alice",
        "waiting",
        "ZOMBIE",
        2,
        1240.25,
    )
    assert str(told) == "waiting ZOMBIE"


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "{}", json.dumps({"ts": "yesterday"}), line().replace('"attempt": 0', '"attempt": "x"')]
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        read(text)


def test_what_is_about_a_session_since_a_moment():
    told = [read(line(at, session=user)) for at, user in ((1.0, "alice"), (2.0, "bob"), (3.0, "alice"))]
    assert [found.at for found in about(told, "alice", 1.5)] == [3.0]
    assert [found.at for found in about(told, "alice", 1.001)] == [1.0, 3.0]  # milliseconds are cut off when told
    assert first(told, "bob", 0, lambda _told: True) == told[1]
    assert first(told, "bob", 0, lambda told: told.code == "ZOMBIE") is None


@pytest.mark.parametrize(
    ("event", "state", "code", "trouble"),
    [
        ("state", "online", "ONLINE", False),
        ("state", "online", "ANSWERED", False),
        ("state", "online", "PING_LOST", True),
        ("state", "recovering", "CONNECTION_LOST", True),
        ("trouble", "", "DATABASE_BUSY", True),
        ("restored", "", "", False),
    ],
)
def test_what_is_trouble(event, state, code, trouble):
    assert is_trouble(read(line(event=event, state=state, code=code))) is trouble


def test_in_words_repetitions_are_left_out():
    states = [("waiting", "ZOMBIE"), ("waiting", "ZOMBIE"), ("online", "ONLINE"), ("waiting", "ZOMBIE")]
    assert in_words(read(line(state=state, code=code)) for state, code in states) == "waiting ZOMBIE > online ONLINE > waiting ZOMBIE"
    assert in_words([]) == "nothing was told"
