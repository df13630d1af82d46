"""The terminal screen, seen through a terminal emulator on the other side of a pseudo-terminal."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios

import pyte
import pytest
from phone_camera import DARK_BACKGROUND, LIGHT_BACKGROUND, read_codes

from wasess.cli.code_view import Letters, Picture
from wasess.cli.qr import modules
from wasess.cli.screen import PlainScreen, TerminalScreen, screen_on

KEY = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE="


def code_text(mark: str) -> str:
    return f"https://wa.me/settings/linked_devices#2@{mark * 88},{KEY},{KEY},{KEY},1"


def picture(mark: str, number: int = 1, until: float = 60.0) -> Picture:
    return Picture("alice", modules(code_text(mark)), number, until)


class Window:
    """A terminal window: what is written to ``descriptor`` appears on ``screen``."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.descriptor = os.openpty()
        os.set_blocking(self.master, False)
        self.screen = pyte.HistoryScreen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def look(self) -> str:
        while True:
            try:
                self.stream.feed(os.read(self.master, 65536))
            except BlockingIOError:
                return "\n".join(self.screen.display)

    def codes(self, background: dict[str, str] = DARK_BACKGROUND) -> list[str]:
        self.look()
        return read_codes(self.screen, background)

    def close(self) -> None:
        os.close(self.master)
        os.close(self.descriptor)


class FlushedWindow(TerminalScreen):
    """A pseudo-terminal holds 4 KiB: the emulator reads along, as a real one does."""

    def __init__(self, window: Window, *, colour: bool = True) -> None:
        super().__init__(window.descriptor, colour=colour)
        self._window = window

    def _write(self, text: str) -> None:
        for start in range(0, len(text), 1000):
            super()._write(text[start : start + 1000])
            self._window.look()


@pytest.fixture
def window():
    opened = Window(40, 80)
    yield opened
    opened.close()


@pytest.mark.parametrize("background", [DARK_BACKGROUND, LIGHT_BACKGROUND], ids=["dark", "light"])
def test_a_code_is_on_the_screen_once_and_is_read(window, background):
    screen = FlushedWindow(window)
    screen.show(picture("A"), 0.0)
    assert window.codes(background) == [code_text("A")]
    assert "Linked devices" in window.screen.display[0]
    assert "alice: code 1 of 6, a new one in 60 s. Ctrl+C stops." in window.look()


def test_a_new_code_replaces_the_old_one_in_place(window):
    screen = FlushedWindow(window)
    for number, mark in enumerate("ABCDEF", start=1):
        screen.show(picture(mark, number), 0.0)
        assert window.codes() == [code_text(mark)]
    assert not window.screen.history.top


def test_the_countdown_goes_on_without_drawing_the_code_again(window):
    screen = FlushedWindow(window)
    screen.show(picture("A"), 0.0)
    window.look()
    screen.refresh(13.0)
    os.write(window.descriptor, b"|")
    written = window.look()
    assert "a new one in 47 s" in written
    assert "in 60 s" not in written
    assert window.codes() == [code_text("A")]


def test_nothing_of_the_code_stays(window):
    screen = FlushedWindow(window)
    screen.show(picture("A"), 0.0)
    screen.say("alice: the phone has accepted; logging in")
    screen.close()
    assert window.look().split() == ["alice:", "the", "phone", "has", "accepted;", "logging", "in"]
    assert not window.screen.history.top


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 60), (32, 61), (10, 30), (3, 200), (1, 1), (2, 5)])
def test_a_window_too_small_gets_a_sentence_and_no_block_at_all(rows, columns):
    window = Window(rows, columns)
    try:
        FlushedWindow(window).show(picture("A"), 0.0)
        seen = window.look()
        assert not set("█▀▄") & set(seen)
        assert window.codes() == []
        assert not window.screen.history.top
        if (rows, columns) == (24, 80):
            assert "The code needs 33 rows and 61 columns; this window has 24 rows and 80 columns." in seen
            assert "--png FILE" in seen
            assert "--phone NUMBER" in seen
    finally:
        window.close()


def test_the_size_that_the_sentence_names_is_enough():
    window = Window(33, 61)
    try:
        FlushedWindow(window).show(picture("A"), 0.0)
        assert window.codes() == [code_text("A")]
    finally:
        window.close()


def test_the_code_appears_when_the_window_has_become_large_enough_and_goes_when_it_is_too_small(window):
    screen = FlushedWindow(window)
    for rows, columns, codes in ((24, 80, []), (45, 120, [code_text("A")]), (30, 100, []), (40, 80, [code_text("A")])):
        window.resize(rows, columns)
        screen.show(picture("A"), 0.0)
        assert window.codes() == codes
        window.look()


def test_with_no_colours_it_says_where_it_can_be_read(window):
    FlushedWindow(window, colour=False).show(picture("A"), 0.0)
    assert window.codes(DARK_BACKGROUND) == [code_text("A")]
    assert "dark background" in window.screen.display[1]
    assert {cell.fg for row in window.screen.buffer.values() for cell in row.values()} <= {"default"}


def test_letters_to_type(window):
    FlushedWindow(window).show(Letters("alice", "ABCD-EFGH", 160.0), 10.0)
    seen = window.look()
    assert "ABCD-EFGH" in seen
    assert "alice: 150 s left" in seen


def test_a_pipe_gets_each_code_once_and_no_escape_codes():
    stream = io.StringIO()
    screen = screen_on(stream, {"TERM": "xterm"})
    assert isinstance(screen, PlainScreen)
    screen.show(picture("A"), 0.0)
    screen.refresh(5.0)
    screen.close()
    written = stream.getvalue()
    assert "\x1b" not in written
    assert written.count("code 1 of 6") == 1
    window = pyte.Screen(80, 45)
    pyte.Stream(window).feed(written.replace("\n", "\r\n"))
    assert read_codes(window, DARK_BACKGROUND) == [code_text("A")]


def test_a_dumb_terminal_is_no_place_to_paint(window):
    with open(window.descriptor, "w", closefd=False) as stream:
        assert isinstance(screen_on(stream, {"TERM": "dumb"}), PlainScreen)
        assert isinstance(screen_on(stream, {"TERM": "xterm"}), TerminalScreen)
