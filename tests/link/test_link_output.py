from __future__ import annotations

import os

import pytest

from wasess.link.output import MAX_LINE, Output


@pytest.fixture
def pipe():
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    output = Output(readable)
    yield output, writable
    output.close()
    os.close(writable)


def test_lines_come_whole_with_a_level_and_without_secrets(pipe):
    output, writable = pipe
    os.write(writable, b"WARN Client: from 4917012345667@s.whatsapp.net\nsome pr")
    assert output.read() == ["WARN Client: from 491***67@s.whatsapp.net"]
    os.write(writable, b"int\n\n")
    assert output.read() == ["INFO some print"]
    assert output.read() == []


def test_noise_is_dropped(pipe):
    output, writable = pipe
    os.write(writable, b"Press Ctrl+C to exit\nLogin event: success\n")
    assert output.read() == []


def test_a_line_without_end_is_cut(pipe):
    output, writable = pipe
    os.write(writable, b"one two " * 1000)
    (line,) = output.read()
    assert len(line) <= MAX_LINE + len("INFO ")


def test_the_last_line_needs_no_newline(tmp_path):
    readable, writable = os.pipe()
    output = Output(readable)
    os.write(writable, b"fatal error: concurrent map writes")
    os.close(writable)
    assert output.read() == ["INFO fatal error: concurrent map writes"]
    assert output.closed
    assert output.last_words == "fatal error: concurrent map writes"
    output.close()
