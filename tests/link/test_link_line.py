"""A connection as its kernel sees it, on real sockets. Each look is given its own time; the kernel needs a moment for each ACK."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path

import pytest
from dead_route import deafen, let_hear

from wasess.link.line import DESCRIPTORS, Line, connection


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            yield ours, theirs


def line_on(*sockets):
    numbers = [one.fileno() for one in sockets]
    return Line(range(min(numbers), max(numbers) + 1))


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)


def test_nothing_is_known_before_the_first_connection():
    reading, writing = os.pipe()
    with contextlib.closing(os.fdopen(reading)), contextlib.closing(os.fdopen(writing, "w")):
        line = Line(range(reading, writing + 1))
        assert line.look(100.0) == line.look(200.0) == (0.0, 0.0)


def test_a_connection_that_was_gone_before_a_look_counts_from_the_next_one():
    line = Line(range(0))
    assert line.look(100.0) == line.look(101.0, up=True) == (0.0, 0.0)
    assert line.look(103.0, up=True) == (2.0, 0.0)


def test_an_open_connection_and_then_none(pair):
    ours, theirs = pair
    line = line_on(ours)
    assert line.look(100.0) == (0.0, 0.0)
    theirs.close()
    until(lambda: connection(ours) is None)
    assert line.look(101.0) == (1.0, 0.0)
    assert line.look(107.5) == (7.5, 0.0)
    ours.close()
    assert line.look(109.0) == (9.0, 0.0)


def test_another_connection_takes_its_place(pair):
    ours, theirs = pair
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as second:
        line = line_on(ours, second)
        assert line.look(100.0) == (0.0, 0.0)
        theirs.close()
        ours.close()
        assert line.look(105.0) == (0.0, 0.0)
        accepted, _ = server.accept()
        accepted.close()


def test_bytes_that_nobody_acknowledges_age_and_progress_makes_them_young_again(pair):
    ours, theirs = pair
    line = line_on(ours)
    ours.send(b"hello")
    until(lambda: not connection(ours).waiting)
    assert line.look(100.0) == (0.0, 0.0)
    deafen(theirs)
    ours.send(b"is anybody there")
    assert line.look(101.0) == (0.0, 0.0)
    assert line.look(109.0) == (0.0, 8.0)
    let_hear(theirs)
    until(lambda: not connection(ours).waiting)
    assert line.look(110.0) == (0.0, 0.0)


def test_what_the_other_end_has_no_room_for_waits_too(pair):
    ours, _ = pair
    line = line_on(ours)
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 20))
    until(lambda: _same_twice(ours))
    line.look(100.0)
    assert line.look(104.0) == (0.0, 4.0)


def _same_twice(ours):
    before = connection(ours)
    select.select([], [], [], 0.3)
    return before == connection(ours)


def test_only_tcp_counts_and_nothing_is_closed(pair):
    ours, theirs = socket.socketpair()
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ours, theirs, datagram, socket.create_server(("127.0.0.1", 0)) as server, Path(os.devnull).open("rb") as file:
        others = [one.fileno() for one in (ours, theirs, datagram, server, file)]
        for one in others:
            assert Line(range(one, one + 1))._find() is None
        both = [one.fileno() for one in pair]
        assert Line(range(min(both), max(both) + 1)).look(1.0) == (0.0, 0.0)
        for one in (*others, *both):
            os.fstat(one)
    assert Line(range(9999, 10000)).look(1.0) == (0.0, 0.0)


def test_a_look_costs_next_to_nothing(pair):
    ours, _ = pair
    line = line_on(ours)
    line.look(0.0)
    began = time.thread_time()
    for now in range(1000):
        line.look(float(now))
    assert time.thread_time() - began < 0.1  # measured: 5 us each
    began = time.thread_time()
    for _ in range(100):
        Line(DESCRIPTORS).look(0.0)
    assert time.thread_time() - began < 0.5  # measured: 0.3 ms each
