"""What can't be read, or fails in a way that nobody has thought of, keeps no chat waiting: it is told once, and the chat goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from mail_desk import MailDesk, ScriptedBot, mail_desk
from test_courier import road

from wasess.core.message import Media, Reply
from wasess.delivery.courier import TRIES
from wasess.store.row_check import DAMAGED

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.message import Message
    from wasess.store.inbox import Item


def spoil(desk: MailDesk, statement: str, *values: object) -> None:
    desk.mailbox._mail.execute(statement, values)


async def test_a_damaged_message_is_a_dead_letter_and_its_chat_goes_on(tmp_path: Path):
    bot = ScriptedBot(lambda message: message.text)
    async with mail_desk(tmp_path, bot) as desk:
        await desk.dispatcher.close()
        desk.arrive("a", "one", "two", "three")
        spoil(desk, "UPDATE messages SET body = replace(CAST(body AS TEXT), 'one', 'own') WHERE seq = 1")
        spoil(desk, "UPDATE messages SET body = CAST(replace(CAST(body AS TEXT), 'two', 'tow') AS BLOB) WHERE seq = 2")
        await desk.open()
        await desk.done()
        assert [message.text for message in bot.asked] == ["three"]
        assert [item.state for item in desk.mailbox.inbox.items()] == ["dead", "dead", "done"]
        assert desk.codes() == ["MESSAGES_DAMAGED", "MESSAGES_DAMAGED"]
        assert desk.troubles[0].sentence == (
            "message 1 is damaged and not given to the bot; ask who wrote to send it again, then: wasess inbox drop alice 1"
        )
        assert desk.mailbox.damaged == 2
        assert "one" not in str(desk.troubles)


async def test_a_message_that_is_whole_is_asked_about_whatever_stands_beside_it(tmp_path: Path):
    bot = ScriptedBot(lambda _message: None)
    async with mail_desk(tmp_path, bot) as desk:
        await desk.dispatcher.close()
        desk.arrive("a", "one")
        desk.arrive("b", "two")
        spoil(desk, "UPDATE messages SET tries = 'x', detail = x'ff', retry_at = -5 WHERE seq = 1")
        spoil(desk, "UPDATE messages SET retry_at = 9e9 WHERE seq = 2")
        await desk.open()
        await desk.done()
        assert sorted(message.text for message in bot.asked) == ["one", "two"]
        assert desk.codes() == []


@pytest.mark.parametrize("where", ["attend", "ask", "fetch"])
async def test_what_nobody_has_thought_of_costs_a_try_and_the_chat_goes_on(tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture):
    def answer(message: Message) -> None:
        if where == "ask" and message.text == "bad":
            raise KeyError("surprise")

    bot = ScriptedBot(answer)
    async with mail_desk(tmp_path, bot) as desk:
        attend, fetch = desk._attend, desk._fetch

        def failing(message: Message, *, begins: bool) -> None:
            if where == "attend" and begins and message.text == "bad":
                raise KeyError("surprise")
            attend(message, begins=begins)

        async def failing_fetch(item: Item) -> Message:
            if where == "fetch" and item.message and item.message.text == "bad":
                raise KeyError("surprise")
            return await fetch(item)

        desk._attend, desk._fetch = failing, failing_fetch
        await desk.dispatcher.close()
        await desk.open()
        desk.arrive("a", "bad", media=Media("text/plain"))
        desk.arrive("a", "good")

        def time_passes() -> bool:
            desk.clock.advance(1.0)
            return not desk.mailbox.inbox.waiting

        await desk.until(time_passes)
        assert [item.state for item in desk.mailbox.inbox.items()] == ["dead", "done"]
        assert desk.codes() == ["BOT_FAULT", "BOT_FAULT", "BOT_GAVE_UP"]
        assert "a message could not be handed to the bot (KeyError)" in desk.troubles[-1].sentence
    assert caplog.messages.count("serving message 1 of alice failed") == 3


async def test_a_damaged_letter_has_failed_and_its_chat_goes_on(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as mail:
        for key in ("one", "two", "three"):
            mail.mailbox.outbox.queue(key, "a", Reply(key), 1.0)
        spoil(mail, "UPDATE outbox SET body = CAST(replace(CAST(body AS TEXT), 'one', 'own') AS BLOB) WHERE key = 'one'")
        spoil(mail, "UPDATE outbox SET tries = 'x' WHERE key = 'two'")
        await mail.courier.open()
        mail.courier.online()
        await mail.until(lambda: mail.state("three") == "sent")
        assert (mail.state("one"), mail.state("two"), mail.carried) == ("failed", "sent", ["two", "three"])
        assert mail.codes() == ["MESSAGES_DAMAGED"]
        assert mail.mailbox.damaged == 1
        [(stored,)] = mail.mailbox._mail.rows("SELECT checksum FROM outbox WHERE key = 'one'")
        assert stored == DAMAGED


async def test_a_letter_over_which_the_sending_breaks_is_given_up_after_its_tries(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with road(tmp_path, lambda letter: KeyError("surprise") if letter.key == "bad" else None) as mail:
        mail.departs = False
        mail.queue("bad")
        mail.queue("good")
        mail.courier.online()
        for _ in range(TRIES + 1):
            await mail.quiet()
            mail.clock.advance(120.0)
        await mail.until(lambda: mail.state("good") == "sent")
        assert (mail.state("bad"), mail.carried.count("bad")) == ("failed", TRIES)
        assert mail.codes() == ["REPLY_GIVEN_UP"]
    assert "sending reply 1 of alice failed" in caplog.messages


async def test_a_line_that_can_not_even_be_begun_waits_and_harms_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    bot = ScriptedBot(lambda _message: None)
    async with mail_desk(tmp_path, bot) as desk:
        next_waiting = desk.mailbox.inbox.next_waiting

        def broken(chat: str) -> Item | None:
            if chat == "a" and len(bot.asked) < 2:
                raise KeyError("surprise")
            return next_waiting(chat)

        desk.mailbox.inbox.next_waiting = broken
        desk.arrive("a", "one")
        desk.arrive("b", "two")
        desk.arrive("c", "three")
        await desk.until(lambda: len(bot.asked) == 2)
        await asyncio.sleep(0)
        desk.clock.advance(6.0)
        await desk.done()
        assert [message.text for message in bot.asked] == ["two", "three", "one"]
    assert "a line failed" in caplog.messages
