"""Damage in inbox.db under a keeper: told, named by verify as long as it is there, and the session goes on."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from test_mailroom import Bot, Office
from village import mailbox_of, until

from wasess.core.message import Message, Reply
from wasess.delivery.mailbox import Mailbox
from wasess.store.inbox import Arrival
from wasess.store.mail import MailFile

if TYPE_CHECKING:
    from pathlib import Path

    from village import Told

    from wasess.store.sessions import Home


def spoilt(folder: Path) -> None:
    """Two messages and a reply wait; of one message and the reply the text was changed behind SQLite's back."""
    with closing(MailFile(folder)) as mail:
        box = Mailbox("alice", mail)
        box.inbox.take_in([Arrival(Message(f"ID{text}", "a@lid", "a@lid", text, 0.0), 1.0) for text in ("seven", "other")], None)
        box.outbox.queue("key", "a@lid", Reply("seven"), 1.0)
        for table in ("messages", "outbox"):
            mail.execute(f"UPDATE {table} SET body = CAST(replace(CAST(body AS TEXT), 'seven', 'eight') AS BLOB)")  # noqa: S608 - two constants


async def test_rows_that_were_changed_are_told_once_and_keep_verify_from_being_well(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    spoilt(office.session.folder)
    async with office.running():
        await office.online()
        await until(lambda: bot.asked)
        assert [message.text for message in bot.asked] == ["other"]
        assert told.codes().count("MESSAGES_DAMAGED") == 2, "the message, and the reply"
        assert (office.keeper.online, office.keeper.live().problem) == (True, "MESSAGES_DAMAGED")
        assert office.link.sent == []
        assert mailbox_of(office.keeper).inbox.drop(1, 5.0)
        assert office.keeper.live().problem == "MESSAGES_DAMAGED", "the reply"
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        assert office.keeper.live().problem == ""
    assert told.codes().count("MESSAGES_DAMAGED") == 2


async def test_a_file_that_breaks_while_it_is_used_is_set_aside_and_the_session_goes_on(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    path = office.session.folder / "inbox.db"
    async with office.running():
        await office.online()
        office.arrive("A", conversation="one")
        await until(lambda: bot.asked)
        workers = len(office.host.started)
        mailbox = mailbox_of(office.keeper)
        assert mailbox.settle()
        with path.open("r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)
        for wal in office.session.folder.glob("inbox.db-wal"):
            with wal.open("r+b") as file:
                file.write(bytes(wal.stat().st_size))
        mailbox._mail.execute("PRAGMA shrink_memory")  # what SQLite has in its cache is still good
        office.arrive("B", conversation="two")
        await until(lambda: mailbox.damage)
        office.keeper.look()
        await until(lambda: "MAIL_DAMAGED" in told.codes())
        office.clock.advance(6.0)  # the chat waits for the disk
        await until(lambda: [message.text for message in bot.asked][-1:] == ["two"])
        assert (len(office.host.started), office.keeper.online) == (workers, True), "nobody was disconnected"
        assert office.keeper.live().problem == "MESSAGES_DAMAGED"
        [kept] = (office.session.folder / "kept").iterdir()
        shutil.rmtree(kept)
        office.keeper.look()
        await until(lambda: not office.keeper.mail._care._tending or office.keeper.mail._care._tending.done())
        office.clock.advance(60.0)
        office.keeper.look()
        assert office.keeper.live().problem == "", "somebody has seen it, and taken it away"
