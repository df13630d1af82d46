"""A mailbox that can't be written, or not even opened: the keeper sees what becomes of the connection all the same, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_keeper import Echo, Stage
from village import EVENT, MoodyBot, mailbox_of, spooled, text, until

from wasess.core.events import Disconnected, LoggedOut, StreamReplaced
from wasess.core.states import State

if TYPE_CHECKING:
    from village import Told

    from wasess.core.events import Event
    from wasess.store.sessions import Home


async def test_a_mailbox_that_cannot_be_written_loses_nothing(home: Home, told: Told):
    stage = Stage(home, told, bot=Echo())
    async with stage.running():
        await stage.online()
        mail = mailbox_of(stage.keeper)._mail
        mail.execute("PRAGMA query_only = ON")
        stage.link.frames(EVENT, spooled(text("one")), spooled(text("two")))
        await until(lambda: "MAIL_NOT_TAKEN" in told.codes())
        assert stage.keeper.live().problem == "MAIL_NOT_TAKEN"
        mail.execute("PRAGMA query_only = OFF")
        stage.clock.advance(5)
        await until(lambda: len(stage.link.sent) == 2)
        await until(lambda: stage.keeper.live().problem == "")
        assert told.codes().count("MAIL_TAKEN") == 1


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Disconnected(), State.RECOVERING),
        (LoggedOut(401), State.LOGGED_OUT),
        (StreamReplaced(), State.PAUSED),
    ],
)
async def test_what_becomes_of_the_connection_is_seen_while_the_mailbox_can_not_be_written(
    home: Home, told: Told, said: Event, state: State
):
    stage = Stage(home, told, bot=Echo())
    async with stage.running():
        await stage.online()
        mailbox_of(stage.keeper)._mail.execute("PRAGMA query_only = ON")
        stage.link.frames(EVENT, spooled(text("one")), spooled(said))
        await stage.reach(state)
        await until(lambda: stage.keeper.live().problem == "MAIL_NOT_TAKEN")
        assert stage.uncommitted >= 2, "nothing was passed over"


async def test_a_login_is_seen_while_the_mailbox_can_not_be_opened(home: Home, told: Told):
    stage = Stage(home, told)
    inbox = stage.session.folder / "inbox.db"
    inbox.mkdir()
    async with stage.running():
        await until(lambda: stage.keeper.online)
        await until(lambda: stage.keeper.live().problem == "MAIL_NOT_TAKEN")
        stage.link.frames(EVENT, spooled(text("one")))
        inbox.rmdir()
        await until(lambda: stage.clock.advance(1) or stage.keeper.mail.is_open)
        await until(lambda: stage.uncommitted == 0)
        assert len(mailbox_of(stage.keeper).inbox.items()) == 1
        await until(lambda: stage.keeper.live().problem == "")
        assert len(stage.host.started) == 1


async def test_a_bot_that_fails_on_every_message_is_a_problem_until_it_answers_one(home: Home, told: Told):
    bot = MoodyBot()
    stage = Stage(home, told, bot=bot)
    async with stage.running():
        await stage.online()
        for number in (1, 2):
            stage.link.frames(EVENT, spooled(text(f"{number}", chat=f"49170123456{number}@s.whatsapp.net")))
        await until(lambda: told.codes().count("BOT_GAVE_UP") == 2)
        assert stage.keeper.live().problem == ""
        stage.link.frames(EVENT, spooled(text("3")))
        await until(lambda: stage.keeper.live().problem == "BOT_FAILING")
        bot.mended = True
        stage.link.frames(EVENT, spooled(text("4")))
        await until(lambda: stage.keeper.live().problem == "")
