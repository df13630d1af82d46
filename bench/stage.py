"""What every figure about sessions needs first: a stand-in, and a home with sessions that are linked to it. Nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figure import BenchFailed, tell
from bench.truth import Truth
from wasess.core import events, reasons
from wasess.core.outages import MONTH, MOST_KEPT, Outage
from wasess.core.states import State
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec
from wasess.link.translate import translate
from wasess.store.records import HISTORY_LENGTH, Change, SessionRecord
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasess.link.port import LinkSignal
    from wasess.store.sessions import Session

ROOT = Path(__file__).parent.parent
PAIRED_AT_A_TIME = 8
PAIRED_WITHIN = 60.0
LOOKS_EVERY = 0.02
FACTS_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder with a running stand-in and ``count`` linked sessions."""

    folder: Path
    contract: Contract
    contract_file: Path
    count: int
    process: subprocess.Popen[str]

    @property
    def stand_in(self) -> int:
        """The stand-in's pid."""
        return self.process.pid

    @property
    def home(self) -> Home:
        """Where the sessions are."""
        return Home(self.folder / "home")

    def active_since(self) -> dict[str, float]:
        """When each session that the stand-in now calls online and active became so (Unix time): the truth about who is there."""
        return self.truth().active()

    @property
    def users(self) -> list[str]:
        """The sessions, in order."""
        return [f"user-{number:03d}" for number in range(self.count)]

    def truth(self) -> Truth:
        """What the stand-in knows now. It costs the stand-in milliseconds: don't ask all the time."""
        return Truth.of(self.ask("state"))

    def fault(self, user: str, words: str) -> None:
        """Break something (see `wasess.sandbox.faults`; "*" for all). Raises `BenchFailed` when there is nothing live to strike."""
        self.ask("fault", user=user, words=words.split())

    def all_back(self, since: float, within: float, users: list[str] | None = None) -> dict[str, float]:
        """Wait until these sessions (default: all) have become active after ``since``; when each did. Raises `BenchFailed`."""
        wanted = set(self.users if users is None else users)
        deadline = time.monotonic() + within
        while missing := wanted - (back := self.truth().active(since)).keys():
            if time.monotonic() > deadline:
                raise BenchFailed(f"not back within {within:.0f} s: {', '.join(sorted(missing))}")
            time.sleep(FACTS_EVERY)
        return {user: back[user] for user in wanted}

    def ask(self, verb: str, **request: object) -> Any:
        """One question to the stand-in's control socket. Raises `BenchFailed`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PAIRED_WITHIN)
            connection.connect(str(self.contract.control))
            connection.sendall(json.dumps({"verb": verb, **request}).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        if not answer["ok"]:
            raise BenchFailed(f"the stand-in refused {verb}: {answer['error']}")
        return answer["data"]

    def order(self, verb: str, within: float = PAIRED_WITHIN, **request: object) -> Any:
        """Have the stand-in do one of the orders in `bench.stand_in` by itself. Raises `BenchFailed`."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise BenchFailed("the stand-in takes no orders")
        stdin.write(json.dumps({"verb": verb, **request}) + "\n")
        stdin.flush()
        answered, _, _ = select.select([stdout], [], [], within)
        line = stdout.readline() if answered else ""
        if not line:
            raise BenchFailed(f"the stand-in did not {verb} within {within:.0f} s")
        return json.loads(line)


@contextmanager
def linked_sessions(count: int, *, aged: bool = False) -> Iterator[Stage]:
    """Set the stage: start a stand-in, link ``count`` sessions, leave all of them offline. Ctrl+C reaches neither it nor a manager.

    ``aged``: each with as full a history and ledger as a session can have.
    """
    with tempfile.TemporaryDirectory(prefix="wasess-bench-") as name:
        command = [sys.executable, "-m", "bench.stand_in", str(Path(name) / "stand-in")]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as stand_in:
            try:
                stage = _stage(Path(name), stand_in, count)
                tell(f"linking {count} sessions")
                began = time.monotonic()
                asyncio.run(_link_all(stage))
                tell(f"linked in {time.monotonic() - began:.1f} s")
                wait_until(lambda: not stage.active_since(), "the sessions that were just linked are still online")
                if aged:
                    for session in stage.home.sessions():
                        _age(session)
                yield stage
            finally:
                stand_in.communicate()  # closes its stdin, waits for its end


def wait_until(condition: Callable[[], object], otherwise: str, seconds: float = 60.0) -> None:
    """Look until it holds. Raises `BenchFailed` with ``otherwise``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchFailed(f"{otherwise} ({seconds:.0f} s)")
        time.sleep(LOOKS_EVERY)


def _stage(folder: Path, stand_in: subprocess.Popen[str], count: int) -> Stage:
    contract_file = stand_in.stdout.readline().strip() if stand_in.stdout else ""
    if not contract_file:
        raise BenchFailed("the stand-in did not start")
    return Stage(folder, Contract.load(Path(contract_file)), Path(contract_file), count, stand_in)


async def _link_all(stage: Stage) -> None:
    home = stage.home.open(create=True)
    host = WorkerHost(stage.contract)
    places = asyncio.Semaphore(PAIRED_AT_A_TIME)
    try:
        async with asyncio.TaskGroup() as linking:
            for user in stage.users:
                linking.create_task(_link(stage, host, home.session(user), places))
    finally:
        await host.close()


async def _link(stage: Stage, host: WorkerHost, session: Session, places: asyncio.Semaphore) -> None:
    """What `wasess connect` does, without a terminal."""
    async with places, asyncio.timeout(PAIRED_WITHIN):
        session.create()
        link = await host.start(LinkSpec(session.user, session.folder, "pair"))
        reader = SpoolReader(session.folder)
        scanned = False
        async for signal in link.signals():
            if signal.kind == "qr" and not scanned:
                scanned = True
                await asyncio.to_thread(stage.ask, "scan", user=session.user, qr=signal.value)
            elif _logged_in(signal, reader):
                break
        await link.stop()
        now, device = time.time(), session.device()
        jid = device.jid if device else None
        session.record.save(SessionRecord(session.user, now, State.NEW, "NEVER_STARTED", now, paired_at=now, jid=jid))


def _age(session: Session) -> None:
    """Give it a month in which it was away 500 times."""
    began = time.time() - MONTH
    moments = [began + MONTH * number / MOST_KEPT for number in range(MOST_KEPT)]
    outages = tuple(Outage(at, at + 20 + number % 7, reasons.CONNECTION_LOST.code, 1) for number, at in enumerate(moments))
    lost = reasons.CONNECTION_LOST
    changes = [Change(at, State.CONNECTING, lost.code, lost.sentence) for at in moments[-HISTORY_LENGTH:]]
    session.record.note(*changes, outages=outages, paired_at=began, last_online_at=outages[-1].end)


def _logged_in(signal: LinkSignal, reader: SpoolReader) -> bool:
    if signal.kind == "ended":
        raise BenchFailed(f"a pairing ended: {signal.value} {signal.detail}")
    frames = reader.read_new()
    if frames:
        reader.commit(frames[-1].end)
    return any(isinstance(translate(frame.code, frame.payload), events.Connected) for frame in frames)
