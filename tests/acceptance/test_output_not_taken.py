"""Nobody takes what `serve` says: neither its sessions nor its bot wait for that, and what was dropped is told later."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from homes import House, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

CHATS = 40
F_SETPIPE_SZ = 1031
# It prints, and fails on every message but those that begin with "please".
BOT = """
import sys

def reply(text):
    print("x" * 3000)
    print("y" * 3000, file=sys.stderr)
    if not text.startswith("please"):
        raise ValueError("z" * 1000)
    return "echo " + text
"""


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    readable, writable = os.pipe()
    fcntl.fcntl(writable, F_SETPIPE_SZ, 4096)
    yield writable, readable
    os.close(readable)


@contextmanager
def stopped_terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    yield theirs, ours
    os.close(ours)


@contextmanager
def dead_reader() -> Iterator[tuple[int, int]]:
    readable, writable = os.pipe()
    os.close(readable)
    yield writable, -1


@contextmanager
def full_disk() -> Iterator[tuple[int, int]]:
    yield os.open("/dev/full", os.O_WRONLY), -1


@contextmanager
def closed() -> Iterator[tuple[int, int]]:
    yield -1, -1


def read_all(descriptor: int) -> bytes:
    """What is there now."""
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while data := os.read(descriptor, 65536):
            found += data
    except OSError:
        pass
    return found


def started(house: House, stream: int | None, *arguments: str) -> subprocess.Popen[bytes]:
    """`wasess serve` with this stdout and stderr; None: all three are closed."""
    command = [sys.executable, "-m", "wasess", "serve", "--bot", "bot.py:reply", *arguments]
    if stream is None:
        command = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    return subprocess.Popen(command, cwd=house.folder, env=house.environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)


TEXT, JSON = (), ("--log-format", "json", "--events")
CASES = [(full_pipe, TEXT), (full_pipe, JSON), (stopped_terminal, TEXT), (dead_reader, JSON), (full_disk, TEXT), (closed, JSON)]


@pytest.mark.parametrize(
    ("sink", "arguments"), CASES, ids=[f"{sink.__name__}-{'json' if arguments else 'text'}" for sink, arguments in CASES]
)
async def test_no_session_waits_for_whoever_takes_the_output(tmp_path: Path, sink, arguments):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        (tmp_path / "bot.py").write_text(BOT)
        with sink() as (descriptor, other):
            stream = None if descriptor < 0 else descriptor
            serve = started(house, stream, *arguments)
            if descriptor >= 0:
                os.close(descriptor)
            try:
                await until(lambda: all(house.device(user).online for user in ("alice", "bob")), "both are online", 20)
                for number in range(CHATS):
                    house.box.say(f"contact-{number}", "alice", "hello")
                house.box.say("dora", "bob", "please")
                await until(lambda: house.answers("dora") == ["please"], "the bot answers", 20)
                began = time.monotonic()
                status = await house.run("status")
                assert await status.over() == 0, status.text
                assert time.monotonic() - began < 3.0
                house.box.say("dora", "alice", "please 2")
                await until(lambda: "please 2" in house.answers("dora"), "the other session's bot, too", 20)
                if sink is full_pipe:
                    await until(lambda: b"gave up on message" in read_all(other), "what waited is written", 60)
                serve.send_signal(signal.SIGTERM)
                await until(lambda: serve.poll() is not None, "it ends", 15)
                assert serve.returncode == 0
            finally:
                serve.kill()
                serve.wait()


async def test_a_terminal_that_is_closed_drains(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        serve.signal(signal.SIGHUP)
        assert await serve.over() == 0
        assert serve.has_said("manager stopped")


async def test_nohup_is_nohup(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            serve = await house.serve()
        finally:
            signal.signal(signal.SIGHUP, before)
        await house.online(serve, "alice")
        serve.signal(signal.SIGHUP)
        done = await house.run("verify")
        assert await done.over() == 0, done.text
        assert not serve.has_said("stopping")
