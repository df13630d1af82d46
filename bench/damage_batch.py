"""Many damaged sessions in one home: looked at, served by a supervisor with scripted connections, looked at again; and what became of each.

A session is judged by what it had (`bench.damage_session.Truth`). Whatever is other than without the damage must be counted somewhere that
`wasess diagnose` names: a dead letter that is damaged, an entry of the gap ledger, a file that was set aside.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.damage_session import EVENT, MISSING, Truth, answer, furnish, message, payload, translate
from bench.damage_strokes import strike
from wasess.core import events
from wasess.core.message import Reply
from wasess.core.states import State
from wasess.delivery.bot import Outcome, Verdict
from wasess.doctor.circumstances import Circumstances
from wasess.doctor.examination import examine
from wasess.errors import Locked, StoreError
from wasess.link.scripted import ScriptedHost
from wasess.store.gaps import Gaps
from wasess.store.inbox import Inbox
from wasess.store.kept_mail import kept_mail
from wasess.store.mail import MailFile
from wasess.store.outbox import Outbox
from wasess.store.sessions import Home
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasess.core.message import Message
    from wasess.link.scripted import ScriptedLink
    from wasess.supervisor.report import Notice

FILES = ("spool.log", "spool.pos", "inbox.db", "inbox.db-wal", "session.json", "device.db", "lock")
NEW = 3  # messages that come in just before the damage, while it is served, and nobody has read them; and as many after it
QUIET_FOR = 0.8
QUIET_WITHIN = 60.0  # on a machine that is busy with other things
LOOKS_EVERY = 0.05
HARMLESS = frozenset({"NO_MANAGER", "MANAGER_SILENT", "DEAD_LETTERS", "GAPS", "NOT_KEPT", "STOPPED"})
"""Findings of a session that is well, but for what it was furnished with."""


@dataclass(frozen=True, slots=True)
class Case:
    """One session that was damaged, and everything that is wrong with what became of it, in words; nothing, when all is well.

    ``harm``: what is other than it would be without the damage. ``named``: the findings about it.
    """

    file: str
    serving: bool
    stroke: str
    wrong: tuple[str, ...]
    harm: tuple[str, ...]
    named: tuple[str, ...]


@dataclass
class Clerk:
    """A bot that answers everything, once its ``door`` is open."""

    at_once: int = 100_000
    pauses: tuple[float, ...] = ()
    door: asyncio.Event = field(default_factory=asyncio.Event)
    asked: dict[str, list[str]] = field(default_factory=dict)

    async def ask(self, message: Message) -> Outcome:
        """See `delivery.bot.Bot`."""
        await self.door.wait()
        self.asked.setdefault(message.session, []).append(message.text)
        return Outcome(Verdict.ANSWERED, (Reply(answer(message.text)),))

    async def close(self) -> None:
        """See `delivery.bot.Bot`."""


class Host(ScriptedHost):
    """Whose sessions log in at once."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[ScriptedLink] = []

    async def start(self, spec: Any) -> ScriptedLink:
        """See `link.port.LinkHost`."""
        link = await super().start(spec)
        self.all.append(link)
        link.frames(EVENT, payload(events.Connected()))
        return link

    def sent(self, user: str) -> list[str]:
        """All texts that went out."""
        return [text for link in self.all if link.spec.user == user for _to, text in link.sent]


@dataclass
class Told:
    """A reporter that remembers, and a log handler that looks for tracebacks."""

    notices: list[Notice] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def report(self, notice: Notice) -> None:
        """See `supervisor.report.Reporter`."""
        self.notices.append(notice)

    def handler(self) -> logging.Handler:
        """For the root logger."""
        told = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.exc_info:
                    told.tracebacks.append(logging.Formatter().format(record))

        return Handler()


class Batch:
    """``count`` sessions, of each one of the ``files`` in turn is damaged: while nobody serves them, or with ``serving`` while somebody does."""

    def __init__(self, files: Sequence[str], count: int, seed: str, *, serving: bool) -> None:
        self._serving = serving
        self._dice = Random(seed)
        self._users = [f"s{number:03}" for number in range(count)]
        self._files = {user: files[number % len(files)] for number, user in enumerate(self._users)}
        self._truth: dict[str, Truth] = {}
        self._strokes: dict[str, str] = {}
        self._told = Told()
        self._clerk, self._host = Clerk(), Host()
        self._named: dict[str, set[str]] = {user: set() for user in self._users}
        self._revived: set[str] = set()
        self._dead: dict[str, str] = {}

    def run(self) -> list[Case]:
        """Do it all; a case for each session."""
        handler = self._told.handler()
        logging.getLogger().addHandler(handler)
        try:
            with TemporaryDirectory(prefix="wasess-damage-") as name:
                self._home = Home(Path(name) / "home").open(create=True)
                self._home.claim_realm("whatsapp")
                for user in self._users:
                    self._truth[user] = furnish(self._home.session(user))
                shutil.copytree(self._home.path, Path(name) / "good")
                self._good = Path(name) / "good"
                if not self._serving:
                    self._strike()
                    self._diagnose()
                asyncio.run(self._serve())
                self._diagnose()
                return [self._judge(user) for user in self._users]
        finally:
            logging.getLogger().removeHandler(handler)

    def _strike(self) -> None:
        for user in self._users:
            self._strokes[user] = strike(self._home.session(user).folder / self._files[user], self._dice)

    def _diagnose(self) -> None:
        for report in examine(self._home, Circumstances()).sessions:
            for found in report.findings:
                if found.code == "CHECK_FAILED":
                    self._told.tracebacks.append(f"{found.session}: {found.sentence}")
                if found.level != "ok" and found.fix:
                    self._named[report.user].add(found.code)

    # --- served ---------------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """While it is served, the damage strikes between two halves; then a later manager goes on with what was left."""
        asyncio.get_running_loop().set_exception_handler(self._note_unhandled)
        if self._serving:
            async with _Served(self) as supervisor:
                await self._quiet(supervisor, bot=False)
                self._come("unread")
                self._strike()
                self._come("fresh")
                self._clerk.door.set()
                await self._quiet(supervisor)
                for user, keeper in supervisor.keepers.items():
                    if keeper.live().problem:
                        self._named[user].add(keeper.live().problem)
            self._diagnose()
        self._clerk.door.set()
        async with _Served(self) as supervisor:
            await self._quiet(supervisor)
            await self._revive(supervisor)

    def _come(self, kind: str) -> None:
        """New messages for each session that is served: read once the event loop goes on."""
        for user, link in self._host.links.items():
            messages = [message(user, kind, number) for number in range(NEW)]
            before = self._truth[user]
            self._truth[user] = Truth((*before.due, *(one.message.text for one in messages)), before.kept, before.letters)
            link.frames(EVENT, *map(payload, messages))

    async def _quiet(self, supervisor: Supervisor, *, bot: bool = True) -> None:
        """Until every session has had its try, and nothing moves any more."""
        loop = asyncio.get_running_loop()
        deadline, last, since = loop.time() + QUIET_WITHIN, (), loop.time()
        while loop.time() < deadline:
            await asyncio.sleep(LOOKS_EVERY)
            now = (
                *(sum(map(len, self._clerk.asked.values())), sum(len(link.sent) for link in self._host.all), len(self._told.notices)),
                *(supervisor.ready, sum(keeper.mail.waiting for keeper in supervisor.keepers.values()) if bot else 0),
            )
            if now != last or not supervisor.ready or (bot and now[-1]):
                last, since = now, since if now == last else loop.time()
                if loop.time() - since < QUIET_FOR or not supervisor.ready or (bot and now[-1]):
                    continue
            if loop.time() - since > QUIET_FOR:
                return
        self._told.tracebacks.append(f"not at rest within {QUIET_WITHIN:.0f} s")

    async def _revive(self, supervisor: Supervisor) -> None:
        """What is not online gets its good file back, and must go on; only credentials may need that."""
        down = [user for user in self._users if not self._online(supervisor, user)]
        if not down:
            return
        for user in down:
            shutil.copyfile(self._good / user / self._files[user], self._home.session(user).folder / self._files[user])
            self._revived.add(user)
        deadline = asyncio.get_running_loop().time() + QUIET_WITHIN
        while not all(self._online(supervisor, user) for user in down) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - what it waits for is in many places
            await asyncio.sleep(LOOKS_EVERY)
        await self._quiet(supervisor)
        for user in down:
            if not self._online(supervisor, user):
                keeper = supervisor.keepers.get(user)
                self._dead[user] = f"{keeper.live().state} {keeper.live().code}" if keeper else "not kept"

    def _online(self, supervisor: Supervisor, user: str) -> bool:
        keeper = supervisor.keepers.get(user)
        return keeper is not None and keeper.snapshot.state is State.ONLINE

    def _note_unhandled(self, _loop: object, context: dict[str, Any]) -> None:
        self._told.tracebacks.append(f"{context.get('message')}: {context.get('exception') or context.get('task')!r}")

    # --- judged ---------------------------------------------------------------------------------------------------------------

    def _judge(self, user: str) -> Case:
        left = _Left.of(self._home.session(user).folder)
        harm, wrong = [*self._harm(user, left)], [*self._changed(user), *self._lost(user, left)]
        named = self._named[user] - HARMLESS
        if user in self._revived:
            harm.append("down until its good file was back")
        if user in self._dead:
            wrong.append(f"dead for good: {self._dead[user]}")
        if harm and not named and left.gaps <= MISSING:
            wrong.append("not named by diagnose")
        if self._told.tracebacks and user == self._users[0]:
            wrong.append(f"{len(self._told.tracebacks)} tracebacks in the batch: {self._told.tracebacks[0][-1500:]}")
        return Case(self._files[user], self._serving, self._strokes.get(user, ""), tuple(wrong), tuple(harm), tuple(sorted(named)))

    def _changed(self, user: str) -> Iterator[str]:
        """Texts that nobody has written."""
        truth = self._truth[user]
        if changed := set(self._clerk.asked.get(user, [])) - truth.messages:
            yield f"{len(changed)} changed texts reached the bot"
        if changed := set(self._host.sent(user)) - set(truth.letters) - {answer(text) for text in truth.messages}:
            yield f"{len(changed)} changed texts were sent"

    def _missing(self, user: str, left: _Left) -> tuple[list[str], list[str]]:
        """The messages that are nowhere, and the replies that were not sent."""
        truth, asked, sent = self._truth[user], self._clerk.asked.get(user, []), self._host.sent(user)
        messages = [text for text in truth.due if text not in asked]
        messages += [text for text in truth.kept if text not in left.texts and text not in asked]
        return messages, [text for text in truth.letters if text not in sent]

    def _harm(self, user: str, left: _Left) -> Iterator[str]:
        messages, replies = self._missing(user, left)
        if messages:
            yield f"{len(messages)} messages not where they belong"
        if replies:
            yield f"{len(replies)} replies not sent"

    def _lost(self, user: str, left: _Left) -> Iterator[str]:
        """What is missing, and counted nowhere. What was set aside is not lost."""
        if left.aside:
            return
        messages, replies = self._missing(user, left)
        counted = left.damaged + max(0, left.gaps - MISSING)
        if len(messages) > counted:
            yield f"more lost than counted: {len(messages)}, {counted}: {[text.partition(':')[0] for text in messages[:3]]}"
        if len(replies) > left.failed:
            yield f"more replies lost than failed: {len(replies)}, {left.failed}"
        if left.gaps < MISSING:
            yield f"gaps lost: {MISSING - left.gaps}"


class _Served:
    """A supervisor that runs for the ``async with`` block."""

    def __init__(self, batch: Batch) -> None:
        settings = Settings(max_parallel=1000, dials_per_second=100_000.0, ready_within=QUIET_WITHIN, look_every=0.1)
        self._supervisor = Supervisor(batch._home, batch._host, translate, batch._told, bot=batch._clerk, settings=settings)  # noqa: SLF001 - a part of it

    async def __aenter__(self) -> Supervisor:
        self._task = asyncio.create_task(self._supervisor.run())
        await asyncio.sleep(0)
        return self._supervisor

    async def __aexit__(self, *_: object) -> None:
        self._supervisor.stop()
        await asyncio.wait({self._task}, timeout=30)
        self._task.result()


@dataclass(frozen=True, slots=True)
class _Left:
    """What is in a session's inbox.db at the end."""

    texts: frozenset[str] = frozenset()
    damaged: int = 0
    gaps: int = 0
    failed: int = 0
    aside: bool = False

    @classmethod
    def of(cls, folder: Path) -> _Left:
        """Read it."""
        try:
            with closing(MailFile(folder, create=False)) as mail:
                items, letters = Inbox(mail).items(), Outbox(mail).letters()
                texts = frozenset(item.message.text for item in items if item.message)
                failed = sum(letter.state == "failed" for letter in letters)
                damaged, gaps = sum(bool(item.damage) for item in items), sum(gap.count for gap in Gaps(mail).entries())
                return cls(texts, damaged, gaps, failed, bool(kept_mail(folder)))
        except (StoreError, Locked):
            return cls()
