"""How many messages a second one session takes in, beside neonize's library alone: in one run, in turn, as the figures depend on the machine.

Messages are queued while a session is offline; then its client logs in and takes what it can. The time is from the login, when the stand-in begins
to deliver, to the last receipt that it gets from the bare library; to the last message in inbox.db, and to the last that the bot writes down. (The
first receipt is no beginning: the stand-in may not come to read it before it has sent hundreds of messages.) Each has a device of its own, with
the same contacts, so that none finds what another one has done to its database.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Figure, tell
from bench.manager import Manager
from bench.process import cpu_seconds
from bench.stage import ROOT, linked_sessions, wait_until
from wasess.link import wheel
from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stage import Stage

NOTEBOOK = str(Path(__file__).parent / "notebook.py")
SHIPPED, WAL = "bare library, as shipped", "bare library, in WAL mode"
BARE = {SHIPPED: "device.db", WAL: "device.db?_foreign_keys=on&_journal_mode=WAL&rest="}
INBOX, BOT = "wasess, to the inbox", "wasess, to the bot"
OF_SHIPPED = 90  # percent
CONTACTS = (1, 20)
WITHIN = 180.0


def measure(messages: int = 2000, rounds: int = 3, contacts: int = 0) -> list[Figure]:
    """From so many contacts in turn; 0: from one, then from twenty."""
    command = f"python -m bench mail --messages {messages} --rounds {rounds} --contacts {contacts}"
    with linked_sessions(1 + len(BARE)) as stage:
        wasess, *others = stage.users
        bare = dict(zip(BARE, others, strict=True))
        for user in others:
            _take_away(stage, user)
        races = [_Race(stage, wasess, bare, number, messages) for number in ([contacts] if contacts else CONTACTS)]
        return [figure for race in races for figure in _compare(race, rounds, command)]


def rate(login: float, moments: list[float]) -> float:
    """Messages a second, up to the last."""
    return len(moments) / (max(moments) - login)


@dataclass(frozen=True, slots=True)
class _Race:
    """Who takes part: the user that wasess keeps, and the users of the bare library by its name."""

    stage: Stage
    wasess: str
    bare: dict[str, str]
    contacts: int
    messages: int

    def round(self) -> dict[str, float]:
        """Each once: messages a second, and milliseconds of CPU for each message."""
        found: dict[str, float] = {}
        for name in BARE:
            found |= self._bare(name)
        return found | self._wasess()

    def _each(self, seconds: float) -> float:
        return seconds / self.messages * 1000

    def _queue(self, user: str) -> None:
        self.stage.order(
            "queue", WITHIN, user=user, contacts=[f"{self.contacts}-{one}" for one in range(self.contacts)], count=self.messages
        )

    def _receipts(self, user: str) -> list[float]:
        found: list[float] = self.stage.order("receipts", user=user)
        return found

    def _bare(self, name: str) -> dict[str, float]:
        user = self.bare[name]
        self._queue(user)
        with _library(self.stage, user, BARE[name]) as pid:
            wait_until(lambda: len(self._receipts(user)) > self.messages, f"{name}: not all were received", WITHIN)
            used = self._each(cpu_seconds(pid))
        login, *received = self._receipts(user)
        return {name: rate(login, received), f"CPU of the {name}": used}

    def _wasess(self) -> dict[str, float]:
        self._queue(self.wasess)
        with Manager(self.stage, "--only", self.wasess, "--bot", f"{NOTEBOOK}:note") as manager:
            before = len(manager.seen)
            manager.ready_after()
            used = cpu_seconds(manager.pid)
            wait_until(lambda: len(manager.seen) >= before + self.messages, "not all reached the bot", WITHIN)
            used = self._each(cpu_seconds(manager.pid) - used)
            worker = self._each(sum(map(cpu_seconds, manager.workers)))
            seen = [float(line.partition(" ")[0]) for line in manager.seen[before:]]
            arrived = _arrived(self.stage.home.session(self.wasess).folder / MAIL_NAME, manager.started_at)
        login = self._receipts(self.wasess)[0]
        return {INBOX: rate(login, arrived), BOT: rate(login, seen), "CPU of the worker": worker, "CPU of the manager": used}


def _compare(race: _Race, rounds: int, command: str) -> list[Figure]:
    found: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        one = race.round()
        tell(f"round {number} of {rounds}, {race.contacts} contacts, load {os.getloadavg()[0]:.1f}: " + _told(one))
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    chats = f"{race.contacts} contact" + ("s" if race.contacts > 1 else "")
    figures = [Figure(f"mail, {chats}: {name}", tuple(found[name]), "1/s", command) for name in (*BARE, INBOX, BOT)]
    for name, least in ((SHIPPED, OF_SHIPPED), (WAL, None)):
        shares = tuple(100 * ours / bare for ours, bare in zip(found[INBOX], found[name], strict=True))
        figures.append(Figure(f"mail, {chats}: to the inbox, of the {name}", shares, "%", command, least=least))
    return figures + [
        Figure(f"mail, {chats}: {name} a message", tuple(found[name]), "ms", command) for name in found if name.startswith("CPU")
    ]


def _told(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


def _arrived(mail: Path, since: float) -> list[float]:
    with closing(sqlite3.connect(f"{mail.as_uri()}?mode=ro", uri=True)) as connection:
        return [moment for (moment,) in connection.execute("SELECT received_at FROM messages WHERE received_at >= ?", (since,))]


def _bare_folder(stage: Stage, user: str) -> Path:
    return stage.folder / "bare" / user


def _take_away(stage: Stage, user: str) -> None:
    """Move a session out of wasess's home: its device only."""
    folder = _bare_folder(stage, user)
    folder.mkdir(parents=True)
    for file in stage.home.session(user).folder.glob("device.db*"):
        shutil.move(file, folder)


@contextmanager
def _library(stage: Stage, user: str, database: str) -> Iterator[int]:
    """Run it meanwhile; gives its pid."""
    contract = stage.contract
    command = [sys.executable, "-m", "bench.bare", database, str(wheel.library()), contract.proxy_for(user), contract.root_key.hex()]
    environment = os.environ | {"SSL_CERT_FILE": str(contract.ca_file), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=_bare_folder(stage, user), env=environment, stdin=subprocess.PIPE, stdout=sys.stderr, process_group=0
    ) as child:
        try:
            yield child.pid
        finally:
            child.communicate(timeout=WITHIN)
