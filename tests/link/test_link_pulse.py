from __future__ import annotations

import socket

import pytest

from wasess.link.calls import Stream, Word, pack
from wasess.link.pulse import STUCK_AFTER, Pulse


@pytest.fixture
def sockets():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_first_beat_is_due_at_once_and_the_others_with_the_clocks_seconds(sockets):
    pulse = Pulse(sockets[0])
    assert pulse.wait(None, 100.25) == 1
    assert pulse.words(100.25) == (b"0", b"0")
    assert pulse.words(100.5) is None
    assert pulse.wait(None, 100.5) == 501
    assert pulse.wait(0.05, 100.5) == 51
    assert pulse.words(101.0)
    assert pulse.wait(None, 101.0) == 1001


def test_a_callback_that_hangs_silences_it_and_one_that_is_at_work_does_not(sockets):
    pulse = Pulse(sockets[0])
    pulse.handing_over_since = 100.0
    assert pulse.words(100.0 + STUCK_AFTER)
    assert pulse.words(102.0 + STUCK_AFTER) is None
    pulse.handing_over_since = 0.0
    assert pulse.words(104.0 + STUCK_AFTER)


def test_a_host_that_does_not_read_gets_a_few_and_then_there_is_room_for_other_words(sockets):
    ours, theirs = sockets
    ours.setblocking(False)
    pulse, said = Pulse(ours), 0
    for second in range(1000):
        if words := pulse.words(float(second + 1)):
            ours.sendall(pack(Word.BEAT, *words))
            said += 1
    assert 5 < said < 30
    ours.sendall(pack(Word.RESULT, bytes(32768), b""))
    assert len(Stream().feed(theirs.recv(1 << 20))) == said + 1
    assert pulse.words(2000.0)
