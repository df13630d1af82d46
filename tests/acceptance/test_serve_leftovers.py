"""What `wasess serve` leaves behind, and what its bot sees of it: nothing, however stubborn the bot is and however the manager ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
import sys
from pathlib import Path

import pytest
from homes import House, Running, command_line, until

from wasess.drill.process import family

pytestmark = pytest.mark.acceptance

GONE_WITHIN = {signal.SIGTERM: 3.0, signal.SIGKILL: 8.0}  # workers of a killed manager drain first
# Starts a child and a daemon that has left its process group, tells what it sees, and then heeds nothing.
STUBBORN = """
import ctypes, json, os, signal, subprocess, sys
from pathlib import Path

HERE = Path(__file__).parent

LISTED = "import os; print(*sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)))"

def stay():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        try:
            signal.signal(number, signal.SIG_IGN)
        except ValueError:  # not in the main thread
            pass
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    files = [os.readlink(path) for path in paths if os.path.lexists(path)]
    child = subprocess.run([sys.executable, "-S", "-c", LISTED], close_fds=False, stdout=subprocess.PIPE)
    seen = {"environment": dict(os.environ), "files": files, "inherited": child.stdout.decode().split()}
    (HERE / "seen.new").write_text(json.dumps(seen))
    (HERE / "seen.new").rename(HERE / "seen.json")
    while True:
        ctypes.PyDLL(None).sleep(600)  # in C code, with the interpreter's lock held: no signal and no thread comes through
"""
PROGRAM = f"{STUBBORN}\nsys.stdin.readline()\nstay()\n"
FUNCTION = f"{STUBBORN}\ndef reply(text):\n    stay()\n"
SECRETS = {
    "WASESS_PING": "https://ping.example/secret",
    "WASESS_MAX_AGE": "1",
    "WATCHDOG_USEC": "60000000",
    "LISTEN_FDNAMES": "secret",
}


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


async def serve_with_another_file(house: House, *options: str) -> Running:
    """`wasess serve` under a shell that has left it a file of its own."""
    (house.folder / "other").touch()
    words = shlex.join([sys.executable, "-m", "wasess", "serve", *options])
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"exec 7<>other; exec {words}"),
        cwd=house.folder,
        env=house.environment | SECRETS | {"BOTS_OWN": "kept"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    house._running.append(serve := Running(process))
    return serve


def files_of(pid: int) -> set[str]:
    with contextlib.suppress(OSError):
        return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return set()


def left(house: House) -> list[str]:
    return [f"{pid} {command_line(pid)}" for pid in house._ours() if command_line(pid)]


@pytest.mark.parametrize("how", GONE_WITHIN, ids=lambda how: how.name)
@pytest.mark.parametrize("kind", ["program", "function"])
async def test_nothing_outlives_the_manager_and_its_bot_sees_nothing_of_it(house, kind, how):
    await house.link("alice")
    bot = house.folder / "bot.py"
    bot.write_text(PROGRAM if kind == "program" else FUNCTION)
    options = ("--program", f"{sys.executable} bot.py") if kind == "program" else ("--bot", "bot.py:reply")
    serve = await serve_with_another_file(house, *options)
    await house.online(serve, "alice")
    house.box.say("carol", "alice", "hello")
    await until((house.folder / "seen.json").exists, lambda: f"the bot was asked:\n{serve.text}", 20)
    running = family(serve.process.pid)
    assert len(running) >= 5, running  # a fork server, a worker, a guardian, a bot, what it has started
    assert str(house.folder / "other") in files_of(serve.process.pid)
    assert str(house.folder / "other") not in set().union(*map(files_of, running)), "neither bot nor worker has what the manager was left"

    seen = json.loads((house.folder / "seen.json").read_text())
    assert seen["environment"]["BOTS_OWN"] == "kept"
    assert seen["environment"]["WASESS_HOME"] == str(house.home.path)
    assert {name for name in seen["environment"] if name.startswith("WASESS_")} == {"WASESS_HOME", "WASESS_SANDBOX", "WASESS_LANG"}
    assert not SECRETS.keys() & seen["environment"].keys()
    assert len(seen["files"]) == (3 if kind == "program" else 5), seen["files"]  # a function's stdin and stdout stand in for two pipes
    assert str(house.home.path) not in "".join(seen["files"])
    assert seen["inherited"] == ["0", "1", "2"]

    if how is signal.SIGKILL:
        await serve.kill()
    else:
        serve.signal(how)
        assert await serve.over(15) == 0, serve.text
    await until(lambda: not left(house), lambda: f"all have ended: {left(house)}", GONE_WITHIN[how])
