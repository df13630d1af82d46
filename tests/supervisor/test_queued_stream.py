"""Lines that nobody takes: whoever writes does not wait, what is dropped is counted, and told in its place."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.supervisor import queued_stream
from wasess.supervisor.queued_stream import QueuedStream

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

LINE = "x" * 99 + "\n"


def gap(count: int) -> str:
    return f"{count} dropped\n"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def read_lines(descriptor: int) -> list[str]:
    """Until all its writers have gone."""
    data = b""
    while part := os.read(descriptor, 65536):
        data += part
    return data.decode().splitlines()


def test_lines_are_written_in_order():
    readable, writable = os.pipe()
    with QueuedStream(writable, gap) as stream:
        for number in range(1000):
            stream.write(f"{number}\n")
    os.close(writable)
    assert read_lines(readable) == [str(number) for number in range(1000)]
    os.close(readable)


def test_a_pipe_that_is_full_costs_no_time_and_what_is_dropped_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queued_stream, "MOST", 100_000)
    readable, writable = os.pipe()
    with QueuedStream(writable, gap) as stream:
        began = time.monotonic()
        for _ in range(5000):
            stream.write(LINE)
        assert time.monotonic() - began < 2.0
        os.set_blocking(readable, False)
        got = b""
        while stream.waiting:
            with suppress(BlockingIOError):
                got += os.read(readable, 65536)
    os.close(writable)
    os.set_blocking(readable, True)
    lines = [*got.decode().splitlines(), *read_lines(readable)]
    os.close(readable)
    written, gaps = [line for line in lines if "dropped" not in line], [line for line in lines if "dropped" in line]
    assert set(written) == {"x" * 99}
    assert len(written) >= 1000
    assert len(written) + sum(int(line.split()[0]) for line in gaps) == 5000


def test_a_reader_that_has_gone_costs_nothing():
    readable, writable = os.pipe()
    os.close(readable)
    with QueuedStream(writable, gap) as stream:
        for _ in range(1000):
            stream.write(LINE)
    os.close(writable)


def test_a_disk_that_was_full_is_told_of_once_there_is_room():
    full, readable_writable = os.open("/dev/full", os.O_WRONLY), os.pipe()
    readable, writable = readable_writable
    with QueuedStream(full, gap) as stream:
        stream.write("lost\n")
        until(lambda: not stream.waiting)
        stream.write("lost, too\n")
        until(lambda: not stream.waiting)
        os.dup2(writable, stream.descriptor)
        stream.write("found\n")
    os.close(full)
    os.close(writable)
    assert read_lines(readable) == ["2 dropped", "found"]
    os.close(readable)


def test_the_end_does_not_wait_for_a_reader():
    readable, writable = os.pipe()
    began = time.monotonic()
    with QueuedStream(writable, gap) as stream:
        for _ in range(5000):
            stream.write(LINE)
    assert time.monotonic() - began < 3.0
    os.close(readable)
    os.close(writable)
