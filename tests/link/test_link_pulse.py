from __future__ import annotations

import socket
import time

import pytest

from wasess.link.calls import Stream, Word, pack
from wasess.link.pulse import EVERY, STUCK_AFTER, Pulse


@pytest.fixture
def sockets():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_first_beat_is_due_at_once_and_the_next_a_while_later(sockets):
    pulse = Pulse(sockets[0])
    assert pulse.wait(None) == 1
    assert pulse.words() == (b"0", b"0")
    assert pulse.words() is None
    assert 0.9 * EVERY * 1000 < pulse.wait(None) <= EVERY * 1000 + 1
    assert pulse.wait(0.05) == 51


def test_a_callback_that_hangs_silences_it(sockets):
    pulse = Pulse(sockets[0])
    pulse.handing_over_since = time.monotonic() - STUCK_AFTER - 1
    assert pulse.words() is None
    brief = Pulse(sockets[0])
    brief.handing_over_since = time.monotonic()
    assert brief.words()


def test_a_host_that_does_not_read_gets_a_few_and_then_there_is_room_for_other_words(sockets):
    ours, theirs = sockets
    ours.setblocking(False)
    said = 0
    for _ in range(400):
        pulse = Pulse(ours)
        if words := pulse.words():
            ours.sendall(pack(Word.BEAT, *words))
            said += 1
    assert 5 < said < 20
    ours.sendall(pack(Word.RESULT, bytes(32768), b""))
    assert len(Stream().feed(theirs.recv(1 << 20))) == said + 1
    assert Pulse(ours).words()
