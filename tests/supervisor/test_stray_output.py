from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasess.supervisor.stray_output import LONGEST, READ_WITHIN, SHARE, overheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def a_file() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A descriptor in stderr's place, and what was really written to it."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)

    def written() -> bytes:
        try:
            return os.read(readable, 65536)
        except BlockingIOError:
            return b""

    try:
        yield writable, written
    finally:
        os.close(readable)
        os.close(writable)


def test_each_line_is_heard_and_nothing_is_written():
    heard: list[str] = []
    with a_file() as (descriptor, written):
        with overheard(descriptor, heard.append):
            os.write(descriptor, b"one\ntwo\r\n\nbyte \xff\nthe l")
            os.write(descriptor, b"ast")
        assert heard == ["one", "two", "", "byte \\xff", "the last"]
        assert written() == b""
        os.write(descriptor, b"after")
        assert written() == b"after"


def test_children_are_heard_and_one_that_lives_on_is_not_waited_for():
    heard: list[str] = []
    script = "import sys, time; print('a child', file=sys.stderr); time.sleep(30)"
    with a_file() as (descriptor, _):
        with overheard(descriptor, heard.append):
            child = subprocess.Popen([sys.executable, "-c", script], stderr=descriptor)
            while not heard:
                time.sleep(0.01)
            began = time.monotonic()
        took = time.monotonic() - began
        child.kill()
        child.wait()
    assert heard == ["a child"]
    assert took < READ_WITHIN


def test_a_line_without_end_is_cut():
    heard: list[str] = []
    with a_file() as (descriptor, _), overheard(descriptor, heard.append):
        os.write(descriptor, b"x" * LONGEST * 3 + b"\nnext\n")
    assert [len(line) for line in heard] == [LONGEST, len("next")]


def test_a_reader_that_hangs_does_not_hold_up_the_end():
    go_on = threading.Event()
    with a_file() as (descriptor, _):
        began = time.monotonic()
        with overheard(descriptor, lambda _line: go_on.wait(30) and None):
            os.write(descriptor, b"one\n")
        took = time.monotonic() - began
        go_on.set()
    assert READ_WITHIN <= took < READ_WITHIN + 5


def test_a_flood_takes_its_share_of_the_processor_and_no_more():
    spent = [0.0]
    heard = [0]

    def hear(_line: str) -> None:
        heard[0] += 1
        spent[0] = time.thread_time()

    with a_file() as (descriptor, _), overheard(descriptor, hear):
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            os.write(descriptor, b"a line of a bot that prints without end\n" * 20)
        took = time.monotonic() - began
    assert heard[0] > 1000
    assert spent[0] < took * SHARE * 1.5
