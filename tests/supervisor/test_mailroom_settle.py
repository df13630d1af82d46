"""What a keeper's mail brings to the disk, and what it takes away from it, now and then."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from test_mailroom import PICTURE, Bot, Office
from village import mailbox_of, until

from wasess.core.message import Reply
from wasess.store.mail import MAIL_NAME
from wasess.store.media import MEDIA_NAME
from wasess.store.spool import SPOOL_NAME
from wasess.supervisor import mail_care
from wasess.supervisor.mail_care import FORGOTTEN_EVERY, SETTLED_EVERY

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from village import Told

    from wasess.store.sessions import Home

SECRET = "a private sentence of which nothing is to be left " * 50
KEPT = 1000.0


def holds(folder: Path, text: str) -> list[str]:
    """The files in which it stands."""
    return [path.name for path in sorted(folder.iterdir()) if path.is_file() and text.encode() in path.read_bytes()]


async def answered(office: Office, bot: Bot, count: int) -> None:
    await until(lambda: len(bot.asked) == count and not office.keeper.mail.waiting)
    outbox = mailbox_of(office.keeper).outbox
    await until(lambda: len(outbox.letters(("sent",))) == count)


async def test_nothing_is_left_of_a_text_whose_time_is_over(home: Home, told: Told):
    bot = Bot(lambda message: Reply(f"re {message.text}"))
    office = Office(home, told, bot, keep_texts=KEPT)
    folder = office.session.folder
    async with office.running():
        await office.online()
        office.arrive("A", conversation=SECRET)
        office.arrive("B", **PICTURE)
        await answered(office, bot, 2)
        assert holds(folder, "private sentence")
        assert [path.name for path in (folder / MEDIA_NAME).iterdir()] == ["2.png"]
        office.keeper.look()
        await until(lambda: SPOOL_NAME not in holds(folder, "private sentence"))
        assert holds(folder, "private sentence"), "but the mailbox keeps it"
        office.clock.advance(KEPT + FORGOTTEN_EVERY)
        await until(lambda: office.keeper.look() or not holds(folder, "private sentence"))
        await until(lambda: not list((folder / MEDIA_NAME).iterdir()))


async def test_what_somebody_was_in_the_way_of_is_done_later(home: Home, told: Told):
    bot = Bot(lambda _message: Reply("yes"))
    office = Office(home, told, bot, keep_texts=KEPT)
    folder = office.session.folder
    async with office.running():
        await office.online()
        office.arrive("A", conversation=SECRET)
        await answered(office, bot, 1)
        with closing(sqlite3.connect(folder / MAIL_NAME, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM messages").fetchone()
            office.clock.advance(KEPT + FORGOTTEN_EVERY)
            office.keeper.look()
            tending = office.keeper.mail._care._tending
            assert tending is not None
            await tending
            assert holds(folder, "private sentence")
        office.clock.advance(SETTLED_EVERY)
        office.keeper.look()
        await until(lambda: not holds(folder, "private sentence"))


async def test_a_session_is_only_down_when_nothing_has_its_mail_open(home: Home, told: Told, monkeypatch: pytest.MonkeyPatch):
    busy, done = threading.Event(), threading.Event()

    def slow_disk(_folder: Path, *, forgot: bool) -> bool:
        busy.set()
        return done.wait(20) and forgot

    monkeypatch.setattr(mail_care, "settle", slow_disk)
    office = Office(home, told, Bot(lambda _message: None))
    async with office.running():
        await office.online()
        office.keeper.look()
        await asyncio.to_thread(busy.wait, 20)
        closing_it = asyncio.create_task(office.keeper.mail.close())
        ended, _ = await asyncio.wait([closing_it], timeout=0.1)
        assert not ended
        done.set()
        await closing_it
