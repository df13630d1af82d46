"""The scene of the proofs that nothing is lost: traffic to some sessions, a `wasess serve` with a bot, and what can happen to them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.figure import BenchFailed, tell
from bench.ledger_truth import Entry, Evidence
from bench.manager import WASESS, Manager
from bench.process import children, runs
from bench.stage import wait_until
from wasess.store.inbox import Inbox
from wasess.store.mail import MAIL_NAME, MailFile
from wasess.store.spool import SPOOL_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from bench.stage import Stage

CLERK = Path(__file__).parent / "clerk.py"
LOOKS_EVERY = 0.25
STILL_FOR = 75.0  # a session that was refused or killed too often waits for as long
NOTHING_ON_ITS_WAY_AFTER = 5.0  # from a spool that nobody counts to the bot
ORDERED_WITHIN = 60.0
ROUNDS_OF_RETRIES = 3


@dataclass
class Scene:
    """A context manager. ``folder`` keeps what was said and done; ``dice`` chooses. ``bot`` is a function of `bench.clerk`, ``options`` are those of `serve`.

    ``program``: what is run as `wasess`.
    """

    stage: Stage
    folder: Path
    dice: Random
    bot: str = "answer"
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = (WASESS,)
    ended: set[int] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    manager: Manager | None = None

    # --- the manager ----------------------------------------------------------------------------------------------------

    @property
    def serve(self) -> Manager:
        """The manager that runs. Raises `BenchFailed` when none does."""
        if self.manager is None:
            raise BenchFailed("serve does not run")
        self.manager.check()
        return self.manager

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.manager is not None:
            with suppress(BenchFailed):  # how it ends counts in `stop`; here something else has failed, or it has ended
                self.manager.__exit__()
        self.keep()

    def start(self) -> None:
        """Start `wasess serve`, and don't wait for it."""
        if self.manager is not None:
            self.keep()
        self.manager = Manager(self.stage, "--bot", f"{CLERK}:{self.bot}", *self.options, program=self.program)

    def stop(self) -> None:
        """SIGTERM, and wait for its end. Raises `BenchFailed`."""
        self.serve.ready_after()  # before that, Python itself ends it
        self.serve.stop()

    def keep(self) -> None:
        """Append what the last manager has said to what the ones before have."""
        for file in self.manager.files if self.manager else ():
            with (self.folder / file.name).open("a") as kept:
                kept.write(file.read_text())

    def note(self, text: str) -> None:
        """Write down what was done: what stands before a colon is counted."""
        self.done[text.partition(":")[0]] += 1
        with (self.folder / "actions").open("a") as file:
            file.write(f"{time.time():.3f} {text}\n")

    # --- kills ------------------------------------------------------------------------------------------------------------

    def bots(self) -> list[int]:
        """The processes of the bot, below their guardians; not the one that only looks whether it can be loaded."""
        return [pid for guardian in self.guardians() for pid in children(guardian) if runs(pid, "bot_process")]

    def guardians(self) -> list[int]:
        """The processes that start a bot and end with it."""
        return [pid for pid in children(self.serve.pid) if runs(pid, "guardian") and not runs(pid, "--check")]

    def workers(self) -> list[int]:
        """The processes of the sessions; none while there is no fork server."""
        with suppress(BenchFailed):
            return self.serve.workers
        return []

    def holder(self, user: str) -> int:
        """The process of a session; 0 when there is none."""
        with suppress(BenchFailed):
            return self.serve.holders().get(user, 0)
        return 0

    def everybody(self) -> list[int]:
        """The supervisor first, then all that it has started."""
        pid = self.serve.pid
        guardians = self.guardians()
        server = [child for child in children(pid) if child not in guardians]
        return [pid, *server, *self.workers(), *guardians, *self.bots()]

    def serve_is_gone(self) -> None:
        """Bury the manager, which somebody has killed."""
        if self.manager is not None:
            self.manager.kill()

    def kill(self, what: str, worker: int = 0) -> bool:
        """Kill -9 of "worker" (this one, if it lives; else any), "supervisor", "bot" or "all" of them. Returns whether there was something to kill.

        A supervisor is started again, as systemd would do it.
        """
        bots, workers = self.bots(), [worker] if worker else self.workers()
        chosen = {"worker": [self.dice.choice(workers)] if workers else [], "bot": bots, "all": [*bots, *workers]}.get(what, [])
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if what != "worker":
            self.ended.update(bots)
        if what in {"supervisor", "all"}:
            self.ended.update(self.bots())  # one that was started meanwhile
            self.serve.kill()
            self.start()
        return bool(chosen) or what in {"supervisor", "all"}

    # --- the bot ----------------------------------------------------------------------------------------------------------

    def break_bot(self, how: str) -> None:
        """Order the bot to "raise" or "hang"; empty: to work again."""
        outage = self.stage.folder / "seen.outage"  # as `bench.clerk` looks for it
        if not how:
            outage.unlink(missing_ok=True)
            return
        new = outage.with_suffix(".new")
        new.write_text(how)
        new.rename(outage)

    @property
    def notes(self) -> list[str]:
        """What the bot has written down."""
        file = self.stage.folder / "seen"
        return file.read_text().splitlines() if file.exists() else []

    # --- the network, the operator ----------------------------------------------------------------------------------------

    def cut(self, user: str, *words: str) -> bool:
        """Faults for a session ("*": all); False when there was no connection to strike."""
        try:
            for one in words:
                self.stage.fault(user, one)
        except BenchFailed:
            return False
        return True

    def reconnect(self, *whom: str) -> int:
        """`wasess reconnect`; its exit code."""
        command = [WASESS, "reconnect", *whom, "--home", str(self.stage.home.path), "--sandbox", str(self.stage.contract_file)]
        return subprocess.run(command, capture_output=True, check=False, timeout=ORDERED_WITHIN).returncode

    # --- the traffic --------------------------------------------------------------------------------------------------------

    def write(self, rate: float) -> None:
        """Let contacts write to all sessions, so many messages a second, until they fall silent."""
        self.stage.order("write", users=self.stage.users, rate=rate, seed=self.dice.randrange(10**6))

    def fall_silent(self) -> int:
        """No more messages; how many there were."""
        count: int = self.stage.order("fall-silent")
        return count

    def burst(self, user: str, count: int) -> None:
        """Many messages at once."""
        self.stage.order("burst", user=user, count=count)

    def unacknowledged(self, user: str) -> int:
        """How many messages the server has for a user, and no receipt."""
        count: int = self.stage.order("open", ORDERED_WITHIN)["of"][user]
        return count

    def spooled(self, user: str) -> int:
        """The size of a session's spool."""
        try:
            return (self.stage.home.session(user).folder / SPOOL_NAME).stat().st_size
        except FileNotFoundError:
            return 0

    # --- the end ------------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until nothing moves any more, let the bot try again what it was given up for, and end the manager."""
        for _ in range(ROUNDS_OF_RETRIES):
            self._come_to_rest()
            self.stop()
            given_up = self._retry_dead_letters()
            self.given_up |= given_up
            if not given_up:
                return
            tell(f"{len(given_up)} dead letters are tried again")
            self.start()
        self._come_to_rest()
        self.stop()

    def evidence(self) -> Evidence:
        """Everything that is known. The manager must have ended."""
        books: dict[str, Any] = self.stage.order("books", ORDERED_WITHIN)
        for at, user, why in books["why"]:
            self.note(f"unreadable answer: of {user} at {at:.3f}, {why}")
        inboxes = {session.user: Entry.read(session.folder) for session in self.stage.home.sessions()}
        return Evidence.of(books, inboxes, self.notes, self.ended)

    def _come_to_rest(self) -> None:
        self.break_bot("")
        for user in ("*", *self.stage.users):
            self.stage.ask("clear", user=user)
        last, since = (0, 0, 0), time.monotonic()
        while (still := time.monotonic() - since) < STILL_FOR:
            self.serve.check()
            found = self.stage.order("open", ORDERED_WITHIN)
            now = (found["waiting"], self._undone(), found["written"] - self._seen())
            if not any(now) or (not any(now[:2]) and still > NOTHING_ON_ITS_WAY_AFTER):
                return
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(LOOKS_EVERY)
        tell(f"at rest with {last[0]} messages at the server, {last[1]} in the inboxes, {last[2]} not seen by the bot")

    def _seen(self) -> int:
        """How many texts the bot was done with."""
        return len({line.split(" ", 2)[2] for line in self.notes})

    def _undone(self) -> int:
        """How many messages wait for the bot, and replies to be sent."""
        return sum(_undone(session.folder / MAIL_NAME) for session in self.stage.home.sessions())

    def _retry_dead_letters(self) -> set[str]:
        retried = set()
        for session in self.stage.home.sessions():
            mail = MailFile(session.folder)
            inbox = Inbox(mail)
            for item in inbox.items(states=("dead",)):
                if item.message is not None and inbox.retry(item.seq):
                    retried.add(item.message.text)
            mail.close()
        return retried


def wait_or_pass(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until it holds, at most so long; whether it does."""
    try:
        wait_until(condition, "", seconds)
    except BenchFailed:
        return False
    return True


def told(texts: Iterable[str], most: int = 10) -> str:
    """Some of them."""
    found = list(texts)
    return "\n  ".join(["", *found[:most], *([f"… and {len(found) - most} more"] if len(found) > most else [])])


def _undone(path: Path) -> int:
    if not path.exists():
        return 0
    query = "SELECT (SELECT count(*) FROM messages WHERE state = 'waiting') + (SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending'))"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 1  # it is just being made
