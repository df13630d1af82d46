"""The unit that `wasess service` prints, carried out: its command line, its restrictions, its watchdog, its end; and the crontab."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
from homes import ECHO_BOT, House, Running, command_line, until
from service_manager import HERE, ServiceManager
from unit_file import Unit

from wasess.drill.process import family, living

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.acceptance

ECHO = 'def reply(text):\n    return "echo " + text\n'
# A bot whose restrictions can be asked for.
PROBE = """
import ctypes, mmap, os, pathlib, socket

def tried(action):
    try:
        action()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"

HERE = pathlib.Path(__file__).parent
TRIES = {
    "write": lambda: (HERE / "probe.txt").write_text(""),
    "write home": lambda: (HERE / "home" / "probe.txt").write_text(""),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "chown": lambda: os.chown(HERE / "home" / "probe.txt", os.getuid(), os.getgid()),
    "executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "name": lambda: socket.getaddrinfo("localhost", 80),
    "kmsg": lambda: open("/dev/kmsg"),
    "sysctl": lambda: open("/proc/sys/kernel/hostname", "w"),
    "boot id": lambda: open("/proc/sys/kernel/random/boot_id").read(),
    "callback": lambda: ctypes.CFUNCTYPE(ctypes.c_int)(int)(),
}

def reply(text):
    return tried(TRIES[text]) if text in TRIES else "echo " + text
"""
BETWEEN_WORDS = 10.0


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as built:
        yield built


async def unit_of(house: House, *, bot: str = ECHO) -> Path:
    """Print the manager's unit for this house into a file."""
    (house.folder / "bot.py").write_text(bot)
    printing = await house.run("service", "--bot", "bot.py:reply")
    assert await printing.over() == 0, printing.text
    path = house.folder / "wasess.service"
    path.write_text("\n".join(printing.out) + "\n")
    return path


async def ready(systemd: ServiceManager, running) -> None:
    await until(lambda: "READY=1" in systemd.heard(), lambda: f"ready:\n{running.text}", 20)


async def answer(house: House, text: str, wanted: str | None = None) -> str:
    """What the bot of alice answers, if it is asked this now."""
    before = len(house.box.contact("carol").texts)
    house.box.say("carol", "alice", text)
    await until(lambda: len(house.box.contact("carol").texts) > before, f"an answer to {text}", 20)
    return house.box.contact("carol").texts[-1]


async def test_the_service_is_ready_when_its_sessions_are_up_and_feeds_the_watchdog(house):
    await house.link("alice", "bob")
    with ServiceManager(await unit_of(house), house) as systemd:
        running = await systemd.start()
        await ready(systemd, running)
        assert "STATUS=2 of 2 sessions online" in systemd.heard()
        assert house.device("alice").online
        assert house.device("bob").online
        began = time.monotonic()
        await until(lambda: systemd.last("WATCHDOG=1") > began, "the watchdog was fed", systemd.unit.seconds("WatchdogSec") / 2)
        assert await answer(house, "hello") == "echo hello"


async def test_a_service_that_stands_still_feeds_no_watchdog_and_comes_back_when_it_is_killed(house):
    await house.link("alice")
    with ServiceManager(await unit_of(house), house) as systemd:
        running = await systemd.start()
        await ready(systemd, running)
        await until(lambda: "WATCHDOG=1" in systemd.heard(), "the watchdog was fed")
        running.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        family = {running.process.pid, running.fork_server, *running.workers}
        await until(lambda: time.monotonic() - stopped > BETWEEN_WORDS, "twice the time between two words", BETWEEN_WORDS + 5)
        assert systemd.last("WATCHDOG=1") <= stopped + 0.1
        running.signal(signal.Signals[systemd.unit.one("WatchdogSignal")])  # what systemd does after WatchdogSec
        house.box.say("carol", "alice", "meanwhile")
        await until(lambda: not living(family), "all ended", systemd.unit.seconds("TimeoutStopSec"))
        again = await systemd.start()
        await ready(systemd, again)
        await until(lambda: "echo meanwhile" in house.box.contact("carol").texts, lambda: f"the answer:\n{again.text}")
        assert house.pairings("alice") == 1


async def test_an_upgrade_drains_comes_back_and_loses_nothing(house):
    await house.link("alice", "bob")
    texts = [(user, f"{user} {number}") for number in range(60) for user in ("alice", "bob")]
    with ServiceManager(await unit_of(house, bot=ECHO_BOT), house) as systemd:
        running = await systemd.start()
        await ready(systemd, running)
        say(house, texts[:40])
        await until(lambda: house.bot_got, "the first message was under way")
        family = {running.process.pid, running.fork_server, *running.workers}
        running.signal(signal.SIGTERM)
        say(house, texts[40:80])
        assert await running.over(systemd.unit.seconds("TimeoutStopSec")) == 0
        assert "STOPPING=1" in systemd.heard()
        assert not living(family)
        say(house, texts[80:])
        again = await systemd.start()
        await ready(systemd, again)

        def missing(got: list[str]) -> list[str]:
            return [text for _, text in texts if text not in got]

        await until(lambda: not missing(house.bot_got), lambda: f"{missing(house.bot_got)} came:\n{running.text}\n{again.text}", 30)
        # A contact of the sandbox does not ask again for an answer that it can't decrypt.
        carol = house.box.contact("carol")
        await until(
            lambda: len(missing(house.answers("carol"))) <= len(carol.undecryptable),
            lambda: f"{missing(house.answers('carol'))} was answered, but for {len(carol.undecryptable)}:\n{again.text}",
        )
        assert house.pairings("alice") == house.pairings("bob") == 1


def say(house: House, texts: list[tuple[str, str]]) -> None:
    for user, text in texts:
        house.box.say("carol", user, text)


async def test_the_restrictions_of_the_unit_leave_wasess_all_that_it_needs(house):
    await house.link("alice")
    with ServiceManager(await unit_of(house, bot=PROBE), house) as systemd:
        running = await systemd.start(confined=True)
        await ready(systemd, running)
        assert "STATUS=1 of 1 sessions online" in systemd.heard(), running.text
        assert await answer(house, "hello") == "echo hello"
        refused = {"write": "OSError", "netlink": "OSError", "chown": "PermissionError", "executable": "PermissionError"}
        refused |= {"kmsg": "FileNotFoundError", "sysctl": "OSError"}
        for what in ("write home", "name", "boot id", "callback", *refused):
            assert await answer(house, what) == refused.get(what, "done"), what
        house.box.fault("alice", "rst")
        await running.said("alice is online again")
        checking = await house.run("verify", "--all")  # from outside
        assert await checking.over() == 0, checking.text
        checking = await confined_check(house)
        assert await checking.over() == 0, checking.text
        began = time.monotonic()
        await until(lambda: systemd.last("WATCHDOG=1") > began, "the watchdog was fed")
        running.signal(signal.SIGTERM)
        assert await running.over(systemd.unit.seconds("TimeoutStopSec")) == 0
        assert "Traceback" not in running.text


async def confined_check(house: House) -> Running:
    """Start the check that the timer starts, under the restrictions of its own unit."""
    printing = await house.run("service", "verify")
    assert await printing.over() == 0, printing.text
    path = house.folder / "wasess-verify.service"
    path.write_text("\n".join(printing.out) + "\n")
    words = [sys.executable, str(HERE / "confine.py"), str(path), *Unit(path.read_text()).command]
    process = await asyncio.create_subprocess_exec(*words, cwd=house.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    running = Running(process)
    house._running.append(running)
    return running


class Cron:
    """What cron does with a crontab: each job in a shell that knows hardly anything."""

    def __init__(self, house: House, lines: list[str]) -> None:
        self._house = house
        self.jobs = [line.split(maxsplit=5)[5].replace("\\%", "%") for line in lines if not line.startswith("#")]

    async def minute(self, job: int) -> Running:
        """The time of this job has come."""
        environment = {"HOME": "/", "PATH": "/usr/bin:/bin", "WASESS_SANDBOX": str(self._house.box.contract_path)}
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", self.jobs[job]),
            cwd="/",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        self._house._running.append(running)
        return running


async def test_cron_starts_a_manager_when_there_is_none_and_mails_only_what_is_wrong(tmp_path):
    folder = tmp_path / "50% off"
    folder.mkdir()
    async with House(folder) as house:
        await house.link("alice")
        (folder / "bot.py").write_text(ECHO)
        printing = await house.run("service", "cron", "--bot", "bot.py:reply")
        assert await printing.over() == 0, printing.text
        cron = Cron(house, printing.out)
        log = folder / "home.log"

        checking = await cron.minute(1)
        assert await checking.over() == 8
        assert "wasess serve" in checking.text
        serving = await cron.minute(0)
        await until(lambda: log.exists() and "manager ready: 1 of 1 online" in log.read_text(), lambda: f"ready:\n{serving.text}", 20)
        assert log.stat().st_mode & 0o777 == 0o600
        second = await cron.minute(0)
        assert await second.over() == 1
        checking = await cron.minute(1)
        assert await checking.over() == 0, checking.text
        assert [serving.text, second.text, checking.text] == ["", "", ""]

        os.kill(managers(serving)[0], signal.SIGKILL)
        await serving.over()
        house.box.say("carol", "alice", "meanwhile")
        again = await cron.minute(0)
        await until(lambda: "echo meanwhile" in house.box.contact("carol").texts, lambda: f"an answer:\n{log.read_text()}", 20)
        os.kill(managers(again)[0], signal.SIGTERM)
        assert await again.over(15) == 0


def managers(job: Running) -> list[int]:
    """The process that cron's job is about: below a shell and flock."""
    return [pid for pid in sorted(family(job.process.pid)) if " serve " in command_line(pid) and not command_line(pid).startswith("flock")]
