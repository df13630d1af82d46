"""Long days with a bad bot, on a clock that is turned by hand: it is down, it hangs, it fails on every third message, it takes a minute.

Everything arrives, in order within each chat; what was given up comes when it is tried again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from mail_desk import MailDesk, ScriptedBot, mail_desk

from wasess.delivery.bot import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.core.message import Message

MINUTE, HOUR = 60.0, 3600.0
RAISED = Outcome(Verdict.RAISED, detail="ValueError at bot.py:1")
STUCK = Outcome(Verdict.STUCK, detail="no answer in 60 s")
AWAY = Outcome(Verdict.AWAY, detail="connection refused")
CHATS = [f"chat{number}" for number in range(10)]
EACH = 12


def write(desk: MailDesk, count: int, first: int = 0) -> None:
    """So many more messages in every chat, in turn."""
    for number in range(first, first + count):
        for chat in CHATS:
            desk.arrive(chat, str(number))


def said(desk: MailDesk, chat: str) -> list[int]:
    """The numbers of the messages that were answered in a chat, in the order of the answers."""
    return [int(text) for to, text in desk.replies if to == chat]


async def sleep(desk: MailDesk, seconds: float) -> None:
    """By the clock that is turned by hand."""
    over = asyncio.get_running_loop().create_future()
    desk.clock.call_later(seconds, lambda: over.done() or over.set_result(None))
    await over


async def turn(desk: MailDesk, step: float, condition: Callable[[], object], most: float = 2000 * HOUR) -> float:
    """Turn the clock on until the condition holds; return for how long that was."""
    began = desk.clock.time
    while not condition():
        for _ in range(20):
            await asyncio.sleep(0)
        assert desk.clock.time - began < most, f"{desk.mailbox.inbox.waiting} messages wait; {desk.codes()[-3:]}"
        desk.clock.advance(step)
    return desk.clock.time - began


async def try_dead_letters_again(desk: MailDesk, step: float) -> list[int]:
    """As `wasess inbox retry` does; return their positions."""
    dead = desk.mailbox.inbox.items(states=("dead",))
    for item in dead:
        assert item.message is not None
        assert desk.mailbox.inbox.retry(item.seq)
        desk.dispatcher.hurry(desk.user, item.message.chat)
    await turn(desk, step, lambda: not desk.mailbox.inbox.waiting)
    return [item.seq for item in dead]


async def test_down_for_a_day_in_which_the_manager_is_started_again_and_again(tmp_path: Path):
    down = True
    bot = ScriptedBot(lambda message: AWAY if down else message.text)
    now, codes = 1_700_000_000.0, []
    for part in range(4):  # six hours each
        async with mail_desk(tmp_path, bot) as desk:
            desk.clock.time = now
            write(desk, EACH // 4, part * EACH // 4)
            now += await turn(desk, 10 * MINUTE, lambda end=now + 6 * HOUR, desk=desk: desk.clock.time >= end)
            assert desk.mailbox.inbox.waiting == (part + 1) * EACH // 4 * len(CHATS)
            codes += desk.codes()
    assert codes == ["BOT_AWAY"] * 4, "each manager says it once"
    async with mail_desk(tmp_path, bot) as desk:
        down = False
        assert await turn(desk, 1.0, lambda: not desk.mailbox.inbox.waiting) < MINUTE
        assert all(said(desk, chat) == list(range(EACH)) for chat in CHATS)
        assert not desk.mailbox.inbox.items(states=("dead",))


async def test_every_third_message_raises_and_is_a_dead_letter_until_the_bot_is_mended(tmp_path: Path):
    broken = True

    def every_third(message: Message) -> Outcome | str:
        return RAISED if broken and int(message.text) % 3 == 2 else message.text

    async with mail_desk(tmp_path, ScriptedBot(every_third)) as desk:
        write(desk, EACH)
        await turn(desk, 1.0, lambda: not desk.mailbox.inbox.waiting)
        good = [number for number in range(EACH) if number % 3 != 2]
        bad = [number for number in range(EACH) if number % 3 == 2]
        assert all(said(desk, chat) == good for chat in CHATS)
        assert desk.codes().count("BOT_GAVE_UP") == len(bad) * len(CHATS)

        assert len(await try_dead_letters_again(desk, 1.0)) == len(bad) * len(CHATS), "not mended yet: dead letters once more"
        broken = False
        assert len(await try_dead_letters_again(desk, 1.0)) == len(bad) * len(CHATS)
        assert all(said(desk, chat) == good + bad for chat in CHATS)
        assert not desk.mailbox.inbox.items(states=("dead",))


async def test_every_third_message_raises_twice_and_nothing_is_given_up(tmp_path: Path):
    def every_third(message: Message) -> Outcome | str:
        return RAISED if int(message.text) % 3 == 2 and bot.asked.count(message) <= 2 else message.text

    bot = ScriptedBot(every_third)
    async with mail_desk(tmp_path, bot) as desk:
        write(desk, EACH)
        await turn(desk, 0.5, lambda: not desk.mailbox.inbox.waiting)
        assert all(said(desk, chat) == list(range(EACH)) for chat in CHATS)
        assert desk.codes() == ["BOT_RAISED"] * (2 * EACH // 3 * len(CHATS))


async def test_a_minute_for_each_answer_all_day_long(tmp_path: Path):
    async def slowly(message: Message) -> str:
        await sleep(desk, MINUTE)
        return message.text

    bot = ScriptedBot(slowly, at_once=8)
    async with mail_desk(tmp_path, bot) as desk:
        write(desk, EACH)
        took = await turn(desk, 10.0, lambda: not desk.mailbox.inbox.waiting)
        assert all(said(desk, chat) == list(range(EACH)) for chat in CHATS)
        assert bot.most == 8
        assert len(bot.asked) == EACH * len(CHATS), "each once"
        # ten chats for eight places: never idle while something can be asked
        assert EACH * len(CHATS) / 8 * MINUTE <= took <= EACH * len(CHATS) / 8 * (MINUTE + 20) + 3 * MINUTE


@pytest.mark.parametrize("hangs_for", [5 * MINUTE, 24 * HOUR])
async def test_it_hangs_and_what_was_given_up_meanwhile_comes_in_order_afterwards(tmp_path: Path, hangs_for: float):
    began = 0.0

    async def hang(message: Message) -> Outcome | str:
        if desk.clock.time - began < hangs_for:
            await sleep(desk, MINUTE)  # the deadline; then its process is started again
            return STUCK
        return message.text

    async with mail_desk(tmp_path, ScriptedBot(hang)) as desk:
        began = desk.clock.time
        write(desk, EACH)
        await turn(desk, 20.0, lambda: not desk.mailbox.inbox.waiting and desk.clock.time - began >= hangs_for)
        answered = {chat: said(desk, chat) for chat in CHATS}
        dead = {(item.message.chat, int(item.message.text)) for item in desk.mailbox.inbox.items(states=("dead",)) if item.message}
        assert dead
        for chat, numbers in answered.items():
            assert numbers == [number for number in range(EACH) if (chat, number) not in dead]

        await try_dead_letters_again(desk, 10.0)
        for chat, numbers in answered.items():
            assert said(desk, chat) == numbers + [number for number in range(EACH) if (chat, number) in dead]


async def test_one_message_hangs_every_time_and_holds_up_only_its_chat(tmp_path: Path):
    async def hang(message: Message) -> Outcome | str:
        if (message.chat, message.text) == ("chat3", "4"):
            await sleep(desk, MINUTE)
            return STUCK
        return message.text

    async with mail_desk(tmp_path, ScriptedBot(hang)) as desk:
        write(desk, EACH)
        others = EACH * (len(CHATS) - 1) + 4
        assert await turn(desk, 1.0, lambda: len(desk.replies) >= others) < MINUTE
        assert said(desk, "chat3") == [0, 1, 2, 3]
        await turn(desk, 1.0, lambda: not desk.mailbox.inbox.waiting)
        assert said(desk, "chat3") == [number for number in range(EACH) if number != 4]
        assert desk.states()["chat3/4"] == "dead"
