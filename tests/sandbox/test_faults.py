from __future__ import annotations

import pytest

from wasess.sandbox.faults import KINDS, Fault, FaultBook, FaultError, parse_fault


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book(clock):
    return FaultBook(clock)


def test_a_fault_lasts_until_it_is_cleared(book):
    fault = Fault("stall", "tls")
    book.set("alice", fault)
    assert [book.take("alice", "stall", "tls") for _ in range(3)] == [fault] * 3
    book.clear("alice")
    assert book.take("alice", "stall", "tls") is None


def test_a_fault_is_of_one_kind_phase_and_user(book):
    book.set("alice", Fault("stall", "tls"))
    assert book.take("alice", "stall", "noise") is None
    assert book.take("alice", "reset", "tls") is None
    assert book.take("bob", "stall", "tls") is None


def test_a_count_runs_out(book):
    book.set("alice", Fault("failure", count=2, value="401"))
    assert book.take("alice", "failure").count == 2
    assert book.active("alice") == [Fault("failure", count=1, value="401")]
    assert book.take("alice", "failure").value == "401"
    assert book.take("alice", "failure") is None
    assert book.active("alice") == []


def test_a_time_runs_out(book, clock):
    book.set("alice", Fault("mute", seconds=45))
    clock.now += 44.9
    assert book.take("alice", "mute")
    clock.now += 0.1
    assert book.active("alice") == []
    assert book.take("alice", "mute") is None


def test_everyones_faults_come_after_the_users_own(book):
    book.set("*", Fault("delay", "tls", value="1"))
    book.set("alice", Fault("delay", "tls", value="2", count=1))
    assert [fault.value for fault in book.active("alice")] == ["2", "1"]
    assert book.active("*") == book.active("bob") == [Fault("delay", "tls", value="1")]
    assert [book.take("alice", "delay", "tls").value for _ in range(2)] == ["2", "1"]


def test_a_name_is_cleared_alone(book):
    book.set("*", Fault("mute"))
    book.set("alice", Fault("slow"))
    book.clear("*")
    assert book.active("alice") == [Fault("slow")]


def test_the_newest_of_a_kind_counts(book):
    book.set("alice", Fault("failure", value="401"))
    book.set("alice", Fault("failure", value="503"))
    assert [fault.value for fault in book.active("alice")] == ["503"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("refuse connect seconds=45", Fault("refuse", "connect", seconds=45)),
        ("refuse", Fault("refuse", "connect")),
        ("stall tls count=2", Fault("stall", "tls", count=2)),
        ("http_status upgrade 503", Fault("http_status", "upgrade", value="503")),
        ("delay noise 1.5 count=1 seconds=9", Fault("delay", "noise", value="1.5", count=1, seconds=9)),
        ("fin upgrade", Fault("fin", "upgrade")),
        ("fin", Fault("fin")),
        ("reset", Fault("reset")),
        ("http_status download 410", Fault("http_status", "download", value="410")),
        ("garbage download count=1", Fault("garbage", "download", count=1)),
        ("stall upload", Fault("stall", "upload")),
        ("no-ack lost count=1", Fault("no-ack", value="lost", count=1)),
        ("late-ack 2.5", Fault("late-ack", value="2.5")),
    ],
)
def test_a_fault_is_read_as_typed(words, fault):
    assert parse_fault(words.split()) == fault


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "the kinds are"),
        ("explode", "the kinds are .*stall"),
        ("stall", "needs a phase: connect or tls"),
        ("refuse tls", "needs a phase: connect$"),
        ("http_status noise 503", "needs a phase: connect or upgrade"),
        ("http_status connect", "such as 429"),
        ("http_status connect 200", "such as 429"),
        ("http_status connect 499", "such as 429"),
        ("delay tls", "no number above 0"),
        ("delay tls nan", "no number above 0"),
        ("stall tls 5", "takes no value"),
        ("stall tls 5 6", "one word too many"),
        ("refuse download", "needs a phase: connect$"),
        ("no-ack found", "takes no value but lost"),
        ("late-ack", "no number above 0"),
        ("stall tls count=0", "no whole number above 0"),
        ("stall tls count=1.5", "no whole number above 0"),
        ("stall tls seconds=inf", "no number above 0"),
    ],
)
def test_what_is_no_fault_is_refused_with_what_is(words, reason):
    with pytest.raises(FaultError, match=reason):
        parse_fault(words.split())


def test_every_kind_has_a_help_line():
    assert all(line and not line.endswith(".") for line in KINDS.values())
