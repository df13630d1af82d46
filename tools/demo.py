"""`make demo`: the whole story of wasess in under a minute, for a stranger, without a phone.

Everything it runs is the installed `wasess` command with the real neonize library; only WhatsApp is a stand-in on loopback.
The virtual phone sees what you see: the code is decoded from the picture on a terminal, not taken from memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyte
import zxingcpp
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

WASESS = str(Path(sys.executable).parent / "wasess")
USER, CONTACT = "shop", "carol"
ROWS, COLUMNS = 44, 80
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ

ECHO_BOT = '''
"""A bot: gets the text, returns the reply."""


def reply(text: str) -> str:
    return f"you said: {text}"
'''


class DemoFailed(Exception):
    """A step did not do what it promises."""


def main() -> int:
    """Tell the story; 0 when every step held."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wasess-demo-") as folder, contextlib.ExitStack() as running:
        try:
            story = Story(Path(folder), running)
            story.tell()
        except DemoFailed as failure:
            say(f"\nThe demo failed: {failure}")
            return 1
    say("")
    say(f"What you just saw, in {time.monotonic() - started:.0f} s, with the real library and no phone:")
    for line in story.proven:
        say(f"  {green('ok')}  {line}")
    say("\nNext: read README.md, section “A real session in 60 seconds”.")
    return 0


class Story:
    """The steps, one method each. ``proven`` collects what held."""

    def __init__(self, folder: Path, running: contextlib.ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._home = folder / "auth_sessions"
        self._bot = folder / "echo_bot.py"
        self._bot.write_text(ECHO_BOT)
        self._environment = {**os.environ, "WASESS_HOME": str(self._home), "TERM": "xterm-256color"}
        self.proven: list[str] = []

    def tell(self) -> None:
        """All of it, in order."""
        self._start_sandbox()
        self._link()
        chapter("3", "serve keeps the session and gives each message to a bot.", f"wasess serve --bot {self._bot.name}:reply")
        serve = self._serve()
        self._converse("good morning", "a contact wrote, the bot answered, end-to-end encrypted")
        self._cut_the_network(serve)
        serve = self._kill_and_restore(serve)
        serve.stop()
        self.proven.append("serve stopped cleanly on SIGTERM")

    def _start_sandbox(self) -> None:
        chapter("1", "A WhatsApp server of our own starts on this machine.", "wasess sandbox serve")
        sandbox = Process(self._running, self._environment, "sandbox", "sandbox", "serve", "--dir", str(self._folder / "sandbox"))
        self._environment["WASESS_SANDBOX"] = sandbox.wait_for_output("contract.json")
        say(f"   It speaks WhatsApp's real protocol and wrote its contract to {self._environment['WASESS_SANDBOX']}.")

    def _link(self) -> None:
        chapter("2", f"The session “{USER}” is linked: a code appears, a phone scans it, once.", f"wasess connect {USER}")
        with Terminal(self._running, self._environment, "connect", USER) as terminal:
            code = terminal.wait_for_code()
            terminal.show()
            say("   The virtual phone reads the picture on that screen and accepts.")
            self._wasess("sandbox", "scan", USER, "--text", code)
            if terminal.wait() != 0:
                raise DemoFailed(f"connect ended with {terminal.wait()}:\n{terminal.text()}")
        self.proven.append("the code in the terminal was read from the picture and linked the session")

    def _serve(self) -> Process:
        serve = Process(self._running, self._environment, "serve", "serve", "--bot", f"{self._bot}:reply")
        serve.wait_for_log("manager ready")
        return serve

    def _converse(self, text: str, proof: str) -> None:
        say(f"   {CONTACT} writes: {text!r}")
        self._wasess("sandbox", "say", CONTACT, USER, text)
        self._wait_for_reply(text)
        self.proven.append(proof)

    def _cut_the_network(self, serve: Process) -> None:
        chapter("4", "The network is cut for five seconds; meanwhile the contact writes.", f"wasess sandbox fault {USER} rst")
        self._wasess("sandbox", "fault", USER, "refuse", "seconds=5")
        self._wasess("sandbox", "fault", USER, "rst")
        until(lambda: not self._device()["online"], "the session did not notice the cut")
        self._converse("are you still there?", "the network was cut and healed; the message written meanwhile was answered")
        if serve.ended:
            raise DemoFailed("serve ended while the network was away")

    def _kill_and_restore(self, serve: Process) -> Process:
        chapter("5", "serve is killed with kill -9; while it is dead, the contact writes again.", f"kill -9 {serve.pid}")
        serve.kill()
        until(lambda: not self._device()["online"], "the session survived the kill?")
        say(f"   {CONTACT} writes: 'anybody home?'")
        self._wasess("sandbox", "say", CONTACT, USER, "anybody home?")
        chapter("6", "serve is started again, and nobody scans anything.", f"wasess serve --bot {self._bot.name}:reply")
        began = time.monotonic()
        serve = self._serve()
        self._wait_for_reply("anybody home?")
        links = [fact for fact in self._facts()["history"] if fact["what"] == "paired"]
        if len(links) != 1:
            raise DemoFailed(f"the session was paired {len(links)} times")
        self.proven.append(f"after kill -9 the session came back by itself in {time.monotonic() - began:.1f} s, without a QR code")
        self.proven.append("the message written while nobody was there was answered")
        return serve

    def _wait_for_reply(self, text: str) -> None:
        wanted = f"you said: {text}"
        until(lambda: wanted in self._replies(), f"no reply to {text!r} reached {CONTACT}")
        say(f"   {CONTACT}'s phone shows: {wanted!r}")

    def _replies(self) -> list[str]:
        accounts = self._facts()["accounts"]
        return [message["text"] for account in accounts if account["name"] == CONTACT for message in account["received"]]

    def _device(self) -> dict[str, Any]:
        devices = [device for account in self._facts()["accounts"] for device in account["devices"] if device["user"] == USER]
        return dict(devices[0])

    def _facts(self) -> dict[str, Any]:
        return dict(json.loads(self._wasess("sandbox", "state", "--json"))["data"])

    def _wasess(self, *arguments: str) -> str:
        done = subprocess.run([WASESS, *arguments], env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"wasess {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


class Process:
    """A `wasess` command in the background; its log lines are told as they come."""

    def __init__(self, running: contextlib.ExitStack, environment: dict[str, str], name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [WASESS, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        running.callback(self.stop)
        self._name = name
        self._out: list[str] = []
        self._log: list[str] = []
        for stream, lines in ((self._process.stdout, self._out), (self._process.stderr, self._log)):
            threading.Thread(target=self._relay, args=(stream, lines), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def wait_for_output(self, part: str) -> str:
        """The first line on stdout with this in it."""
        until(lambda: any(part in line for line in self._out) or self.ended, f"{self._name} printed no {part}")
        return next((line.strip() for line in self._out if part in line), "")

    def wait_for_log(self, part: str) -> None:
        """Until a log line has this in it."""
        until(lambda: any(part in line for line in self._log) or self.ended, f"{self._name} did not say {part!r}")
        if self.ended:
            raise DemoFailed(f"{self._name} ended: {''.join(self._log)}")

    def kill(self) -> None:
        """Send kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if not self.ended:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=15)

    def _relay(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            if self._name == "serve" and stream is self._process.stderr:
                say(dim(f"   serve | {line.rstrip()}"))


class Terminal:
    """A `wasess` command on a terminal of 80 columns, whose screen the demo can see."""

    def __init__(self, running: contextlib.ExitStack, environment: dict[str, str], *arguments: str) -> None:
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [WASESS, *arguments], env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        running.callback(self._process.kill)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        os.close(self._master)

    def wait_for_code(self) -> str:
        """The text of the code on the screen, once a decoder can read it."""
        found: list[str] = []
        until(lambda: found.extend(self._decode()) or found, "no code appeared on the screen")
        return found[0]

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(timeout=40)

    def show(self) -> None:
        """Print the picture as it stands on the screen."""
        with self._lock:
            rows = [[self._screen.buffer[row][column] for column in range(COLUMNS)] for row in range(ROWS)]
        for row in rows:
            cells = "".join(_sgr(cell) if COLOUR else cell.data for cell in row).rstrip()
            if cells:
                say(cells)

    def text(self) -> str:
        """The screen without colours."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display).strip()

    def _decode(self) -> list[str]:
        with self._lock:
            picture = photograph(self._screen)
        return [code.text for code in zxingcpp.read_barcodes(picture) if code.text]

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                with self._lock:
                    self._stream.feed(data)


def photograph(screen: pyte.Screen, scale: int = 4) -> Image.Image:
    """What a camera sees of a dark terminal: each cell two squares, one above the other."""
    picture = Image.new("L", (screen.columns * scale, screen.lines * 2 * scale), 0)
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            ink, paper = _grey(cell.fg, 230), _grey(cell.bg, 0)
            if cell.reverse:
                ink, paper = paper, ink
            upper, lower = {"▀": (ink, paper), "▄": (paper, ink), "█": (ink, ink)}.get(cell.data, (paper, paper))
            for half, shade in ((0, upper), (1, lower)):
                box = (column * scale, (2 * row + half) * scale, (column + 1) * scale, (2 * row + half + 1) * scale)
                picture.paste(shade, box)
    return picture


def _grey(colour: str, default: int) -> int:
    named = {"default": default, "black": 0, "white": 229, "brightwhite": 255, "brightblack": 80}
    if colour in named:
        return named[colour]
    try:
        return sum(bytes.fromhex(colour)) // 3
    except ValueError:
        return 128


def _sgr(cell: Any) -> str:
    dark = _grey(cell.fg, 230) < 128
    return f"\x1b[{'30;107' if dark != cell.reverse else '0'}m{cell.data}\x1b[0m"


def until(condition: Callable[[], Any], otherwise: str, seconds: float = 30) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DemoFailed(otherwise)
        time.sleep(0.05)


def chapter(number: str, text: str, command: str) -> None:
    """Open a chapter."""
    say(f"\n{number}. {textwrap.fill(text, 76, subsequent_indent='   ')}\n   {dim('$ ' + command)}")


def say(text: str) -> None:
    """Tell the viewer, at once."""
    print(text, flush=True)


def dim(text: str) -> str:
    """Step back."""
    return f"\x1b[2m{text}\x1b[0m" if COLOUR else text


def green(text: str) -> str:
    """Good."""
    return f"\x1b[32m{text}\x1b[0m" if COLOUR else text


if __name__ == "__main__":
    sys.exit(main())
