"""What the tests of `wasess serve` share: a house with a sandbox, a home of linked sessions, and the commands that run in it.

The sandbox runs inside the test; wasess runs as what it is, a command. Nothing outlives the house: orphans are adopted by the test's
process, so that even a worker whose manager and fork server are dead is found at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wasess.core.reasons import NEVER_STARTED
from wasess.core.states import State
from wasess.drill.process import family, parents
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec
from wasess.sandbox import Sandbox
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.link.port import Link
    from wasess.sandbox.state import Device

    Limits = dict[int, tuple[int, int]]

PAIRED_AGO = 3600.0  # what happens to a session in its first minute is another story
ORPHANS_GONE_WITHIN = 5.0
PR_SET_CHILD_SUBREAPER = 36

ECHO_BOT = """
from pathlib import Path

GOT = Path(__file__).with_name("got.txt").open("a", buffering=1)

def reply(text):
    GOT.write(text + "\\n")
    return "echo " + text
"""


async def until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = 10) -> float:
    """Wait until a condition holds; return how many seconds that took. ``what`` did not happen, if it does not."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what if isinstance(what, str) else what()}"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def measured(sentence: str) -> None:
    """Tell a figure: pytest shows it with -rP, and when the test fails."""
    sys.stdout.write(f"{sentence}\n")


def command_line(pid: int) -> str:
    """With blanks between the arguments; empty when the process is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


class Running:
    """A wasess command. ``log`` and ``out``: its lines on stderr and stdout so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.began = time.monotonic()
        self.log: list[str] = []
        self.out: list[str] = []
        self._reading = [
            asyncio.create_task(self._read(process.stderr, self.log)),
            asyncio.create_task(self._read(process.stdout, self.out)),
        ]

    @property
    def text(self) -> str:
        """All it has said."""
        return "\n".join([*self.log, *self.out])

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.began

    @property
    def fork_server(self) -> int:
        """The pid of the process that all workers are children of."""
        return next(pid for pid in family(self.process.pid) if "forkserver" in command_line(pid) and self.process.pid == parents().get(pid))

    @property
    def workers(self) -> set[int]:
        """The pids of the sessions' processes."""
        return family(self.fork_server)

    def has_said(self, part: str, times: int = 1) -> bool:
        """Whether so many log lines have this in them."""
        return sum(part in line for line in self.log) >= times

    async def said(self, part: str, seconds: float = 10) -> float:
        """Wait for a log line with this in it; return how many seconds that took."""
        return await until(lambda: self.has_said(part), lambda: f"{part!r} was said; only:\n{self.text}", seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone, not to what it has started."""
        self.process.send_signal(number)

    async def over(self, seconds: float = 10) -> int:
        """Wait for its end; return the exit code (negative: a signal)."""
        await self._ended(seconds)
        await asyncio.wait(self._reading, timeout=ORPHANS_GONE_WITHIN)
        return self.process.returncode or 0

    async def kill(self) -> None:
        """Kill -9, and come back when it is gone. What it has started may live on."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self._ended(ORPHANS_GONE_WITHIN)

    async def close(self) -> None:
        """End it, whatever the test had in mind."""
        await self.kill()
        await asyncio.wait(self._reading, timeout=ORPHANS_GONE_WITHIN)
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _ended(self, seconds: float) -> None:
        """Not `asyncio.subprocess.Process.wait`: that waits for what has the same stderr, too."""
        await until(lambda: self.process.returncode is not None, lambda: f"it ended:\n{self.text}", seconds)

    async def _read(self, stream: asyncio.StreamReader | None, lines: list[str]) -> None:
        assert stream
        while line := await stream.readline():
            lines.append(line.decode().rstrip("\n"))


class House:
    """A sandbox (``box``), a home, and what runs in them, as a context manager. ``folder`` is where commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box = Sandbox(folder / "sandbox", claimed_pre_keys=1)
        self.home = Home(folder / "home")
        self._running: list[Running] = []
        self._strangers: set[int] = set()

    async def __aenter__(self) -> Self:
        self._strangers = family(os.getpid())
        _adopt_orphans(wanted=True)
        await self.box.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for running in self._running:
                await running.close()
            await until(
                lambda: not self._ours(), lambda: f"all processes ended: {[command_line(p) for p in self._ours()]}", ORPHANS_GONE_WITHIN
            )
        finally:
            for pid in self._ours():
                os.kill(pid, signal.SIGKILL)
            _bury_orphans(self._strangers)
            _adopt_orphans(wanted=False)
            await self.box.__aexit__()

    @property
    def environment(self) -> dict[str, str]:
        """That of the commands: this home and this sandbox, and no other setting."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
        return ours | {"WASESS_HOME": str(self.home.path), "WASESS_SANDBOX": str(self.box.contract_path)}

    async def link(self, *users: str) -> None:
        """Link sessions as `wasess connect` does, all at once and without a screen."""
        self.home.open(create=True).claim_realm("sandbox")
        host = WorkerHost(Contract.load(self.box.contract_path))
        try:
            await asyncio.gather(*(self._link(host, user) for user in users))
        finally:
            await host.close()

    async def connect(self, user: str, *options: str) -> Running:
        """`wasess connect`, with a phone that scans the code; comes back when the command has ended."""
        camera = self.box.directory / "camera" / user
        connecting = await self.run("connect", user, *options)
        await until(lambda: camera.exists() or connecting.process.returncode is not None, lambda: f"a code:\n{connecting.text}")
        await self.box.scan(user, camera.read_text())
        assert await connecting.over() == 0, connecting.text
        return connecting

    async def serve(self, *options: str, bot: str = "", environment: dict[str, str] | None = None, limits: Limits | None = None) -> Running:
        """`wasess serve`; ``bot`` is the source of a file whose function ``reply`` answers."""
        if bot:
            (self.folder / "bot.py").write_text(bot)
            options = (*options, "--bot", "bot.py:reply")
        return await self.run("serve", *options, environment=environment, limits=limits)

    async def run(self, *arguments: str, environment: dict[str, str] | None = None, limits: Limits | None = None) -> Running:
        """Any wasess command; ``limits`` by the numbers of setrlimit(2): soft and hard."""

        def limit() -> None:
            for which, pair in (limits or {}).items():
                resource.setrlimit(which, pair)

        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wasess", *arguments),
            cwd=self.folder,
            env=self.environment | (environment or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            preexec_fn=limit if limits else None,
        )
        running = Running(process)
        self._running.append(running)
        return running

    def device(self, user: str) -> Device:
        """What the server knows of a session."""
        device = self.box.state.device(user)
        assert device, f"{user} is not linked"
        return device

    async def online(self, serve: Running, *users: str, seconds: float = 10) -> float:
        """Wait until the manager and the server agree that these sessions are back; return how old the manager is then."""

        def agreed() -> bool:
            return all(serve.has_said(f"{user} restored") and self.device(user).online for user in users)

        await until(agreed, lambda: f"{users} online; the manager said:\n{serve.text}", seconds)
        return serve.age

    def pairings(self, user: str) -> int:
        """How often a phone has linked this session."""
        return sum(fact.user == user and fact.what == "paired" for fact in self.box.state.history)

    def answers(self, contact: str) -> list[str]:
        """What the echo bot has answered this contact, by the texts it was asked."""
        return [text.removeprefix("echo ") for text in self.box.contact(contact).texts]

    @property
    def bot_got(self) -> list[str]:
        """The texts the echo bot was given, in order."""
        got = self.folder / "got.txt"
        return got.read_text().splitlines() if got.exists() else []

    async def _link(self, host: WorkerHost, user: str) -> None:
        session = self.home.session(user)
        session.create()
        link = await host.start(LinkSpec(user, session.folder, "pair"))
        await self.box.scan(user, await _first_code(link))
        await until(lambda: self.device(user).active, f"{user} logged in")
        await link.stop()
        now = time.time()
        found = session.device()
        assert found
        paired = now - PAIRED_AGO
        record = SessionRecord(user, paired, State.NEW, NEVER_STARTED.code, now, paired_at=paired, jid=found.jid, lid=found.lid)
        session.record.save(record)

    def _ours(self) -> set[int]:
        return family(os.getpid()) - self._strangers


async def _first_code(link: Link) -> str:
    async for found in link.signals():
        if found.kind == "qr":
            return found.value
    raise AssertionError("the worker ended without a code")


def _processes() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _adopt_orphans(*, wanted: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _bury_orphans(strangers: set[int]) -> None:
    """Reap what died in our care."""
    for process in _processes() - strangers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
