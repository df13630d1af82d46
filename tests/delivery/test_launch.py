"""How a bot's process is started and ended: real guardians, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasess.delivery import guardian
from wasess.delivery.function import BotSpec, validate_bot
from wasess.delivery.launch import bot_environment, end_at_once, guarded, run_to_its_end
from wasess.delivery.program import ProgramBot
from wasess.errors import UsageError
from wasess.supervisor.ending import CLOSED_WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLED_AND_REAPED_WITHIN = 0.2
# Starts what stays, in its group and out of it, tells their numbers and its own, and ignores what asks it to end.
STAYS = """
import os, signal, subprocess, sys, time
def write(*pids):
    open("pids.new", "w").write(" ".join(map(str, pids)))
    os.rename("pids.new", "pids")
def say(*pids):
    print(*pids, flush=True)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
others = [subprocess.Popen(["sleep", "600"], start_new_session=leaves).pid for leaves in (False, True)]
{tell}(os.getpid(), *others)
while {stays}:
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def until(happened: Callable[[], object], seconds: float = 10.0) -> float:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def started(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                guarded(command, theirs),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        with process:
            try:
                yield process, ours
            finally:
                end_at_once(ours)


@contextmanager
def staying(*, stays: bool = True) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, list[int]]]:
    with started(sys.executable, "-S", "-c", STAYS.format(stays=stays, tell="say")) as (process, channel):
        assert process.stdout
        pids = [int(word) for word in process.stdout.readline().split()]
        try:
            yield process, channel, pids
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_the_grace_of_a_program_ends_before_the_manager_does():
    assert 0 < ProgramBot.grace <= CLOSED_WITHIN - KILLED_AND_REAPED_WITHIN


def test_a_word_kills_the_bot_and_all_that_it_has_started():
    with staying() as (process, channel, pids):
        assert all(map(alive, pids))
        channel.send(b"k")
        assert process.wait(5) == -signal.SIGKILL
        assert not any(map(alive, pids))


def test_a_manager_that_is_gone_leaves_a_moment_and_then_nothing():
    with staying() as (process, channel, pids):
        channel.close()
        began = time.monotonic()
        assert process.wait(guardian.ALONE + 5) == -signal.SIGKILL
        assert time.monotonic() - began > guardian.ALONE * 0.8
        assert not any(map(alive, pids))


def test_what_a_bot_has_started_does_not_outlive_it_for_long():
    with staying(stays=False) as (process, _channel, pids):
        assert process.wait(guardian.LINGERS + 5) == 0
        assert not any(map(alive, pids))


def test_a_bot_does_not_outlive_its_guardian():
    with staying() as (process, _channel, pids):
        process.kill()
        process.wait(5)
        until(lambda: not alive(pids[0]))


def test_signals_for_the_group_end_the_bot_and_not_its_guardian():
    with started("/bin/sh", "-c", "sleep 600 & echo up; kill 0; wait") as (process, _channel):
        assert process.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "code", "written"),
    [
        (("/bin/sh", "-c", "echo yes; exit 3"), 3, b"yes\n"),
        (("/bin/sh", "-c", "kill -SEGV $$"), -signal.SIGSEGV, b""),
        (("/bin/sh", "-c", "trap - PIPE; kill -PIPE $$"), -signal.SIGPIPE, b""),
        (("/nowhere/bot",), 127, b""),
    ],
)
def test_it_ends_as_the_bot_does(command, code, written):
    assert run_to_its_end(command, 10) == (code, written)


def test_a_run_that_takes_too_long_ends_with_all_that_it_has_started(tmp_path):
    script = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(subprocess.TimeoutExpired):
        run_to_its_end(("/bin/sh", "-c", script), 0.5)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_why_it_does_not_start_is_said():
    for command, problem in (("/nowhere/bot", "No such file or directory"), ("/etc", "Permission denied")):
        with started(command) as (_process, channel):
            assert os.strerror(int(channel.recv(16))) == problem


def test_a_bot_s_file_that_starts_something_leaves_nothing_when_it_is_checked(tmp_path):
    bot = tmp_path / "bot.py"
    bot.write_text(
        f"import subprocess\nprocess = subprocess.Popen(['sleep', '600'])\nopen('{tmp_path}/pid', 'w').write(str(process.pid))\n"
        "def reply(text): ...\n"
    )
    assert validate_bot(f"{bot}:reply") == BotSpec(bot, "reply")
    assert not alive(int((tmp_path / "pid").read_text()))
    with pytest.raises(UsageError, match="no function other"):
        validate_bot(f"{bot}:other")


def test_the_environment_of_a_bot_has_nothing_of_the_manager():
    ours = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "the bot's",
        "HTTPS_PROXY": "http://proxy",
        "WASESS_HOME": "/home",
        "WASESS_SANDBOX": "/box.json",
        "WASESS_PING": "https://secret",
        "WASESS_WEBHOOK": "https://secret",
        "WASESS_ANYTHING": "new",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "1",
    }
    kept = {"PATH", "OPENAI_API_KEY", "HTTPS_PROXY", "WASESS_HOME", "WASESS_SANDBOX", "WASESS_LANG"}
    assert set(bot_environment(ours)) == kept


def test_a_command_without_standard_streams_gets_empty_ones(tmp_path):
    script = (
        "import os, sys; import wasess.__main__ as command; command._open_standard_streams()\n"
        f"file = os.open('{tmp_path}', os.O_RDONLY)\n"
        f"open('{tmp_path}/seen', 'w').write(f'{{file}} ' + ' '.join(os.readlink(f'/proc/self/fd/{{n}}') for n in (0, 1, 2)))"
    )
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        subprocess.run(["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=True, stdin=subprocess.DEVNULL)
        number, *streams = (tmp_path / "seen").read_text().split()
        assert int(number) > 2, closed
        assert closed.count("&-") <= streams.count("/dev/null"), (closed, streams)


async def test_a_program_that_heeds_nothing_ends_within_its_grace(tmp_path):
    from wasess.core.message import Message  # noqa: PLC0415 -- this test alone asks a bot
    from wasess.delivery.program import ProgramSpec  # noqa: PLC0415 -- see above

    (tmp_path / "bot.py").write_text(f"import os\nos.chdir({str(tmp_path)!r})\n" + STAYS.format(stays=True, tell="write"))
    bot = ProgramBot(ProgramSpec((sys.executable, "-S", str(tmp_path / "bot.py"))), lambda _trouble: None)
    asked = asyncio.create_task(bot.ask(Message("A1", "a", "a", "hello", 1.0)))
    async with asyncio.timeout(10):
        while not (tmp_path / "pids").exists():  # noqa: ASYNC110 -- what is waited for is another process's doing
            await asyncio.sleep(0.01)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    began = time.monotonic()
    await bot.close()
    assert time.monotonic() - began < CLOSED_WITHIN
    assert not any(map(alive, pids))
    await asked
