"""The dispatcher with real bot processes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasess.core.message import Message
from wasess.delivery.dispatcher import Dispatcher, Parcel
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.errors import WorkerFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from wasess.delivery.bot import Trouble


@dataclass
class Desk:
    """A dispatcher and everything that came out of it."""

    dispatcher: Dispatcher
    troubles: list[Trouble]
    replies: list[tuple[str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def submit(self, chat: str, text: str, *, session: str = "alice", from_me: bool = False) -> None:
        message = Message(id=f"{chat}/{text}", chat=chat, sender=chat, text=text, timestamp=0.0, from_me=from_me)
        self.dispatcher.submit(Parcel(session, message, self.reply, lambda: self.done.append(message.id)))

    async def reply(self, chat: str, text: str) -> None:
        if text == "unsendable":
            raise WorkerFailed("no such chat")
        self.replies.append((chat, text))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- the condition is about another process: nobody here could set an event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def desk(tmp_path: Path, source: str, *, deadline: float = 20.0) -> AsyncIterator[Desk]:
    file = tmp_path / "bot.py"
    file.write_text(source, encoding="utf-8")
    troubles: list[Trouble] = []
    bot = FunctionBot(validate_bot(f"{file}:reply"), troubles.append, deadline=deadline, dice=lambda: 0.0)
    made = Desk(Dispatcher(bot, troubles.append, dice=lambda: 0.0), troubles)
    try:
        yield made
    finally:
        await made.dispatcher.forget()
        await bot.close()


async def test_a_chat_keeps_its_order_and_each_message_is_done_once(tmp_path: Path):
    source = "import time, random\ndef reply(text):\n  time.sleep(random.random() / 50)\n  return text"
    async with desk(tmp_path, source) as it:
        for number in range(10):
            for chat in ("a", "b", "c"):
                it.submit(chat, str(number))
        await until(lambda: len(it.done) == 30)
        for chat in ("a", "b", "c"):
            assert [text for to, text in it.replies if to == chat] == [str(number) for number in range(10)]
        assert len(set(it.done)) == 30


async def test_a_stuck_chat_holds_up_no_other(tmp_path: Path):
    source = "import threading\ndef reply(text):\n  if text == 'stuck': threading.Event().wait()\n  return text"
    async with desk(tmp_path, source) as it:
        it.submit("a", "stuck")
        it.submit("a", "behind")
        it.submit("b", "free")
        await until(lambda: it.done)
        assert it.replies == [("b", "free")]


async def test_own_messages_and_those_without_text_do_not_reach_the_bot(tmp_path: Path):
    async with desk(tmp_path, "def reply(text): return text") as it:
        it.submit("a", "mine", from_me=True)
        it.submit("a", "")
        assert it.done == ["a/mine", "a/"]
        it.submit("a", "yours")
        await until(lambda: len(it.done) == 3)
        assert it.replies == [("a", "yours")]


async def test_a_message_that_always_raises_is_given_up_and_the_next_one_flows(tmp_path: Path):
    async with desk(tmp_path, "def reply(text):\n  return 1 / 0 if text == 'bad' else text") as it:
        it.submit("a", "bad")
        it.submit("a", "good")
        await until(lambda: len(it.done) == 2)
        assert it.replies == [("a", "good")]
        assert [trouble.code for trouble in it.troubles] == ["BOT_RAISED", "BOT_RAISED", "BOT_GAVE_UP"]
        assert "ZeroDivisionError at bot.py:2" in it.troubles[0].sentence


async def test_a_message_that_raises_once_is_answered_at_the_second_try(tmp_path: Path):
    source = "seen = []\ndef reply(text):\n  seen.append(text)\n  return text if len(seen) > 1 else 1 / 0"
    async with desk(tmp_path, source) as it:
        it.submit("a", "hello")
        await until(lambda: it.done)
        assert it.replies == [("a", "hello")]


async def test_a_message_that_kills_the_bot_is_given_up_and_no_other_is(tmp_path: Path):
    source = "import os, time\ndef reply(text):\n  if text == 'poison': os._exit(1)\n  time.sleep(0.05)\n  return text"
    async with desk(tmp_path, source) as it:
        for number in range(20):
            it.submit(f"chat{number}", "poison" if number == 3 else "fine")
        await until(lambda: len(it.done) == 20)
        assert sorted(chat for chat, _ in it.replies) == sorted(f"chat{number}" for number in range(20) if number != 3)
        assert [trouble.sentence for trouble in it.troubles if trouble.code == "BOT_GAVE_UP"] == [
            "the bot's process ended over a message (its process ended with exit code 1); gave up on message chat3/poison after 3 tries"
        ]


async def test_a_message_over_which_the_bot_hangs_is_given_up(tmp_path: Path):
    source = "import threading\ndef reply(text):\n  if text == 'hang': threading.Event().wait()\n  return text"
    async with desk(tmp_path, source, deadline=1.0) as it:
        it.submit("a", "hang")
        it.submit("a", "next")
        await until(lambda: len(it.done) == 2)
        assert it.replies == [("a", "next")]
        assert [trouble.code for trouble in it.troubles] == ["BOT_STUCK", "BOT_STUCK", "BOT_GAVE_UP"]


async def test_a_reply_that_cannot_be_sent_is_told(tmp_path: Path):
    async with desk(tmp_path, "def reply(text): return 'unsendable'") as it:
        it.submit("a", "hello")
        await until(lambda: it.done)
        assert [(trouble.code, trouble.session) for trouble in it.troubles] == [("REPLY_GIVEN_UP", "alice")]


async def test_drain_finishes_what_the_bot_has_and_starts_nothing(tmp_path: Path):
    source = "import os, time\ndef reply(text):\n  open(f'{FOLDER}/{text}', 'w').close()\n  time.sleep(0.3)\n  return text"
    async with desk(tmp_path, f"FOLDER = {str(tmp_path)!r}\n{source}") as it:
        it.submit("a", "first")
        it.submit("a", "second")
        await until((tmp_path / "first").exists)
        await it.dispatcher.drain(20)
        assert it.done == ["a/first"]
        assert not (tmp_path / "second").exists()


async def test_drain_does_not_wait_longer_than_told(tmp_path: Path):
    source = "import threading\ndef reply(text):\n  open(f'{FOLDER}/{text}', 'w').close()\n  threading.Event().wait()"
    async with desk(tmp_path, f"FOLDER = {str(tmp_path)!r}\n{source}") as it:
        it.submit("a", "first")
        await until((tmp_path / "first").exists)
        await it.dispatcher.drain(0.05)
        assert it.done == []


async def test_forgetting_a_session_leaves_the_others(tmp_path: Path):
    source = "import threading\ndef reply(text):\n  if text == 'stuck': threading.Event().wait()\n  return text"
    async with desk(tmp_path, source) as it:
        it.submit("a", "stuck")
        it.submit("a", "hello", session="bob")
        await it.dispatcher.forget("alice")
        await until(lambda: it.done)
        assert it.replies == [("a", "hello")]
