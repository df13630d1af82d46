"""What the supervisor's tests share: linked sessions, a scripted host, a clock whose hands the test turns."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from at_once import AtOnce

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Verdict
from wasess.link.scripted import ScriptedHost, ScriptedLink
from wasess.supervisor.gate import Gate
from wasess.supervisor.keeper import Tools
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.report import trouble_teller
from wasess.supervisor.teller import Alerts

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.delivery.mailbox import Mailbox
    from wasess.store.sessions import Session
    from wasess.supervisor.keeper import Keeper
    from wasess.supervisor.report import Notice

EVENT, POISON = 1, 2


def translate(code: int, payload: bytes) -> events.Event:
    """The tests' own language: the name of an event and its fields as JSON."""
    if code == POISON:
        raise ValueError(f"secret {payload!r}")
    name, fields = json.loads(payload)
    if name == "MessageReceived":
        return events.MessageReceived(Message(**fields))
    return getattr(events, name)(**fields)


def spooled(event: events.Event) -> bytes:
    fields = asdict(event)
    return json.dumps([type(event).__name__, fields["message"] if isinstance(event, events.MessageReceived) else fields]).encode()


def text(words: str, *, chat: str = "491701234567@s.whatsapp.net") -> events.MessageReceived:
    return events.MessageReceived(Message(id=f"id-{words}", chat=chat, sender=chat, text=words, timestamp=0.0))


def link_device(session: Session, jid: str = "491700000001:1@s.whatsapp.net") -> Session:
    session.create()
    path = session.folder / "device.db"
    for part in ("", "-wal", "-shm"):  # what a worker's start has protected is not replaced: a pairing begins with a new file
        path.with_name(path.name + part).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE whatsmeow_device (jid TEXT, lid TEXT, platform TEXT, push_name TEXT, noise_key BLOB, identity_key BLOB)"
        )
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', 'android', '', zeroblob(32), zeroblob(32))", (jid,))
    path.chmod(0o600)
    return session


def unlink_device(session: Session) -> None:
    with closing(sqlite3.connect(session.folder / "device.db")) as database, database:
        database.execute("DELETE FROM whatsmeow_device")


def tools(host: Any, told: Told, clock: Any, *, dispatcher: Any = None, **others: Any) -> Tools:
    """What keepers share, with a wide gate and a lucky number in the middle."""
    shared = Tools(
        *(host, translate, translate, hint_of, told, clock, lambda: 0.5, Gate(8, 1000.0, clock), Alerts(), trouble_teller(told)),
        dispatcher=dispatcher,
        mail=MailSettings(threads=AtOnce()),
    )
    return replace(shared, **others)


def mailbox_of(keeper: Keeper) -> Mailbox:
    """The open mailbox of a keeper with these `tools`: the test may look into it, for it is used by the same thread."""
    return keeper.mail.mail._mailbox


def hint_of(name: str, fields: str) -> events.Event | None:
    """The tests' own hints: the name of an event, and its fields as JSON."""
    return getattr(events, name)(**json.loads(fields or "{}")) if hasattr(events, name) else None


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- conditions are about files and processes too
            await asyncio.sleep(0.005)


@dataclass
class Told:
    """A reporter that remembers."""

    notices: list[Notice] = field(default_factory=list)

    def report(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def lines(self) -> list[str]:
        return [notice.line for notice in self.notices if notice.line and notice.level != "debug"]

    def codes(self, event: str = "trouble") -> list[str]:
        return [notice.code for notice in self.notices if notice.event == event]


class Village(ScriptedHost):
    """A scripted host whose sessions log in by themselves, but for those in ``silent`` and those with an ``ends`` of their own.

    Those in ``mute`` answer no questions. ``fault`` is raised by every start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.silent: set[str] = set()
        self.mute: set[str] = set()
        self.ends: dict[str, str] = {}
        self.all: list[ScriptedLink] = []
        self.fault: Exception | None = None

    async def start(self, spec: Any) -> ScriptedLink:
        if self.fault:
            raise self.fault
        link = await super().start(spec)
        self.all.append(link)
        link.silent_probe = spec.user in self.mute
        if spec.user in self.ends:
            link.end(self.ends[spec.user])
        elif spec.user not in self.silent:
            link.frames(EVENT, spooled(events.Connected()))
        return link

    def living(self, user: str) -> list[ScriptedLink]:
        return [link for link in self.all if link.spec.user == user and not link.ended.is_set()]


class MoodyBot:
    """Fails on every message until it is ``mended``."""

    at_once = 8

    def __init__(self, *pauses: float) -> None:
        self.pauses = pauses
        self.mended = False
        self.asked: list[str] = []

    async def ask(self, message: Message) -> Outcome:
        self.asked.append(message.text)
        return Outcome(Verdict.ANSWERED, (Reply("thank you"),)) if self.mended else Outcome(Verdict.RAISED, detail="ValueError")

    async def close(self) -> None:
        return
