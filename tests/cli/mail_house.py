"""Sessions with mail: a manager with scripted links that answers on the control socket, commands typed beside it, and messages in boxes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from test_supervisor import QUICK, managing, ready
from village import Told, Village, link_device, until

from wasess.control.server import serving
from wasess.core import events
from wasess.core.message import Message
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.store.sessions import Home
from wasess.store.spool import Place
from wasess.supervisor.operations import Operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from wasess.store.inbox import State

CAROL = "491701234567@s.whatsapp.net"
DAVE = "491707654321@s.whatsapp.net"
ENDS_WITHIN = 30.0


@dataclass
class Typed:
    """What a command has said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.out)["data"])

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.out)["error"])


async def begun(home: Home, *arguments: str, out: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """A command that goes on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wasess", *arguments),
        env=environment | {"WASESS_HOME": str(home.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=out,
        stderr=asyncio.subprocess.PIPE,
    )


async def typed(home: Home, *arguments: str, stdin: bytes = b"") -> Typed:
    """A command that ends."""
    process = await begun(home, *arguments)
    out, err = await asyncio.wait_for(process.communicate(stdin), ENDS_WITHIN)
    assert process.returncode is not None
    return Typed(process.returncode, out.decode(), err.decode())


def furnished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in which alice is linked, and which commands find."""
    home = Home(folder / "auth_sessions").open(create=True)
    monkeypatch.setenv("WASESS_HOME", str(home.path))
    link_device(home.session("alice"))
    return home


@asynccontextmanager
async def managed(home: Home, host: Village, *users: str, bot: Any = None) -> AsyncIterator[Operations]:
    """A manager of these sessions that answers on the control socket."""
    for user in users:
        link_device(home.session(user))
    told, known = Told(), []

    @asynccontextmanager
    async def answering(supervisor: Any) -> AsyncIterator[None]:
        known.append(Operations(supervisor, told, "sandbox", time.time))
        async with serving(home.path, known[0], pytest.fail):
            yield

    async with managing(home, host, told, settings=QUICK, serving=answering, bot=bot):
        await until(lambda: ready(told) or host.silent & host.links.keys())
        yield known[0]


@contextmanager
def box(home: Home, user: str) -> Iterator[Mailbox]:
    """A session's mail, as its manager has it."""
    session = home.session(user)
    session.create()
    mailbox, _ = Mailbox.open(user, session.folder, durable=False)
    try:
        yield mailbox
    finally:
        mailbox.close()


def arrive(mailbox: Mailbox, *messages: Message, at: float | None = None, state: State = "waiting") -> None:
    """Messages come in."""
    now = time.time() if at is None else at
    place = Place(1, "head", mailbox.inbox.last() + 1)
    mailbox.take_in([Spooled(events.MessageReceived(message)) for message in messages], place, now, lambda _message: state)


def texts(*words: str, chat: str = CAROL) -> Sequence[Message]:
    """Messages of one chat."""
    return [Message(id=f"{chat}/{word}", chat=chat, sender=chat, text=word, timestamp=0.0, push_name="Carol") for word in words]


def died(mailbox: Mailbox, *positions: int, detail: str = "ValueError at bot.py:9") -> None:
    """The bot has given up on these."""
    for position in positions:
        mailbox.inbox.postpone(position, 3, 0.0, detail)
        mailbox.inbox.finish(position, "dead", time.time(), detail)
