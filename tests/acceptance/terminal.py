"""A person at a terminal window: types, looks, waits for what must appear, presses Ctrl+C, changes the window's size."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, TypeVar

import pyte
from phone_camera import DARK_BACKGROUND, read_codes

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


def wasess(*arguments: str) -> list[str]:
    """The command line of wasess as it is installed for this interpreter."""
    return [sys.executable, "-m", "wasess", *arguments]


class Terminal:
    """A command in a pseudo-terminal of its own, seen through an emulator."""

    def __init__(self, command: list[str], environment: dict[str, str], rows: int, columns: int) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self._master, theirs = os.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_control_terminal,  # noqa: PLW1509 - one ioctl, and no thread here holds a lock that it needs
        )
        os.close(theirs)
        self.written = b""

    def resize(self, rows: int, columns: int) -> None:
        """Drag the window's corner."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, text: str) -> None:
        """Type a text; a newline is the Enter key."""
        os.write(self._master, text.encode())

    def press_ctrl_c(self) -> float:
        """Press it; return when."""
        os.write(self._master, b"\x03")
        return time.monotonic()

    def until(self, condition: Callable[[], T], seconds: float = 20) -> T:
        """Look until a condition on the screen holds."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"it never appeared:\n{self.text()}"
            self._read(0.05)
        return found

    def until_code(self, background: dict[str, str] = DARK_BACKGROUND, *, other_than: str = "", seconds: float = 20) -> str:
        """Look until a code can be read from the screen; return its text."""
        return self.until(lambda: next((code for code in read_codes(self.screen, background) if code != other_than), ""), seconds)

    def until_text(self, text: str, seconds: float = 20) -> str:
        """Look until a text stands on the screen, on whatever lines; return all that stands there."""
        return self.until(lambda: text in self.said() and self.text(), seconds)

    def until_over(self, seconds: float = 30) -> int:
        """Look until the command has ended; return its exit code."""
        self.until(lambda: self.process.poll() is not None, seconds)
        while self._read(0):
            pass
        return self.process.returncode

    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def said(self) -> str:
        """The words on the screen; where a sentence is broken depends on the length of paths and ports in it."""
        return " ".join(self.text().split())

    def scrolled_away(self) -> str:
        """What has left the screen at its top."""
        return "\n".join("".join(cell.data for cell in row.values()) for row in self.screen.history.top)

    def close(self) -> None:
        """Close the window."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last process of the terminal has gone
            return False
        self.written += data
        self._stream.feed(data)
        return True


def _control_terminal() -> None:
    """So that Ctrl+C becomes SIGINT for the command, as in a real window."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
