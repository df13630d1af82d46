from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mail_desk import MailDesk, ScriptedBot, mail_desk

from wasess.core.message import Media, Message, Reply
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.dispatcher import FETCHED_AT_ONCE
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.delivery.mailbox import Mailbox

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.inbox import Item

RAISED = Outcome(Verdict.RAISED, detail="ValueError at bot.py:1")
AWAY = Outcome(Verdict.AWAY, detail="connection refused")
HOUR = 3600.0


async def test_a_chat_keeps_its_order_and_each_message_is_answered_once(tmp_path: Path):
    async def slowly(message: Message) -> str:
        await asyncio.sleep(0.001 * (int(message.text) % 3))
        return message.text

    async with mail_desk(tmp_path, slowly) as desk:
        for number in range(20):
            for chat in ("a", "b", "c"):
                desk.arrive(chat, str(number))
        await desk.done()
        for chat in ("a", "b", "c"):
            assert [text for to, text in desk.replies if to == chat] == [str(number) for number in range(20)]


async def test_a_stuck_chat_holds_up_no_other(tmp_path: Path):
    forever = asyncio.Event()

    async def stuck(message: Message) -> str:
        if message.chat == "stuck":
            await forever.wait()
        return message.text

    async with mail_desk(tmp_path, stuck) as desk:
        desk.arrive("stuck", "1", "2")
        for number in range(100):
            desk.arrive(f"chat{number}", "hello", "again")
        await desk.until(lambda: desk.mailbox.inbox.waiting == 2)
        assert len(desk.replies) == 200


async def test_no_more_than_the_bot_takes_at_once(tmp_path: Path):
    async def breathe(_message: Message) -> None:
        await asyncio.sleep(0.001)

    bot = ScriptedBot(breathe, at_once=3)
    async with mail_desk(tmp_path, bot) as desk:
        for number in range(30):
            desk.arrive(f"chat{number}", "hello")
        await desk.done()
        assert bot.most == 3


async def test_replies_go_where_the_bot_says(tmp_path: Path):
    answer = Outcome(Verdict.ANSWERED, (Reply("here"), Reply("there", to="other")))
    async with mail_desk(tmp_path, lambda _message: answer) as desk:
        desk.arrive("a", "hello")
        await desk.done()
        assert desk.replies == [("a", "here"), ("other", "there")]
        assert desk.queued == ["a", "other"]
        assert desk.attended == [("a/hello", True), ("a/hello", False)]


async def test_the_bot_knows_whose_message_it_is(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.session) as desk:
        desk.arrive("a", "hello")
        await desk.done()
        assert desk.replies == [("a", "alice")]


async def test_what_is_unasked_does_not_reach_the_bot(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.arrive("a", "mine", state="unasked")
        desk.arrive("a", "yours")
        await desk.done()
        assert desk.replies == [("a", "yours")]
        assert desk.states() == {"a/mine": "unasked", "a/yours": "done"}


async def test_a_message_that_always_raises_is_a_dead_letter_and_the_next_one_flows(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: RAISED if message.text == "bad" else message.text) as desk:
        desk.arrive("a", "bad", "good")
        for _ in range(3):
            await desk.until(lambda: desk.clock.alarms or not desk.mailbox.inbox.waiting)
            assert desk.replies == [] or not desk.mailbox.inbox.waiting
            desk.clock.advance(3)
        await desk.done()
        assert desk.replies == [("a", "good")]
        assert desk.codes() == ["BOT_RAISED", "BOT_RAISED", "BOT_GAVE_UP"]
        assert "ValueError at bot.py:1" in desk.troubles[0].sentence
        [dead] = desk.mailbox.inbox.items(states=("dead",))
        assert (dead.message.text, dead.detail, dead.tries) == ("bad", RAISED.detail, 3)


async def test_a_dead_letter_can_be_tried_again(tmp_path: Path):
    broken = True
    async with mail_desk(tmp_path, ScriptedBot(lambda message: RAISED if broken else message.text, pauses=())) as desk:
        desk.arrive("a", "bad")
        await desk.done()
        broken = False
        [dead] = desk.mailbox.inbox.items(states=("dead",))
        assert desk.mailbox.inbox.retry(dead.seq)
        desk.dispatcher.hurry("alice", "a")
        await desk.done()
        assert desk.replies == [("a", "bad")]


async def test_the_tries_outlive_the_manager(tmp_path: Path):
    bot = ScriptedBot(lambda _message: RAISED, pauses=(HOUR, HOUR))
    async with mail_desk(tmp_path, bot) as desk:
        desk.arrive("a", "bad")
        await desk.until(lambda: desk.clock.alarms)
        now = desk.clock.time
    for tries in (2, 3):
        after = MailDesk(tmp_path, bot)
        after.clock.time = now
        await after.open()
        await after.until(lambda found=after: found.clock.alarms)
        assert len(bot.asked) == tries - 1
        after.clock.advance(1.3 * HOUR)
        await after.until(lambda found=after, count=tries: len(bot.asked) == count and not found.dispatcher._turns.busy)
        now = after.clock.time
        await after.dispatcher.close()
        if tries == 3:
            assert after.states() == {"a/bad": "dead"}
        after.mailbox.close()


async def test_a_bot_that_is_away_for_a_day_gets_everything_in_order(tmp_path: Path):
    back = 24 * HOUR
    began = 0.0

    def away(message: Message) -> Outcome | str:
        return AWAY if desk.clock.time - began < back else message.text

    async with mail_desk(tmp_path, ScriptedBot(away, at_once=32)) as desk:
        began = desk.clock.time
        for number in range(300):
            desk.arrive(f"chat{number % 20}", str(number))
        while desk.clock.time - began < back + 120:
            await desk.until(lambda: not desk.dispatcher._turns.busy)
            desk.clock.advance(300)
            await asyncio.sleep(0)
        await desk.done()
        for chat in range(20):
            assert [text for to, text in desk.replies if to == f"chat{chat}"] == [str(number) for number in range(chat, 300, 20)]
        assert desk.codes() == ["BOT_AWAY", "BOT_BACK"]
        assert not desk.mailbox.inbox.items(states=("dead",))


async def test_one_that_is_away_is_asked_about_one_message_at_a_time(tmp_path: Path):
    bot = ScriptedBot(lambda _message: AWAY)
    async with mail_desk(tmp_path, bot) as desk:
        for number in range(100):
            desk.arrive(f"chat{number}", "hello")
        for _ in range(200):
            await desk.until(lambda: not desk.dispatcher._turns.busy)
            desk.clock.advance(1.0)
            await asyncio.sleep(0)
        # 8 at first, before anybody knew; then with growing pauses, up to a minute
        assert len(bot.asked) <= 8 + 12
        assert len({message.chat for message in bot.asked}) == len(bot.asked) > 6, "another chat's each time"


async def test_a_message_over_which_others_are_answered_is_charged_for_being_refused(tmp_path: Path):
    bot = ScriptedBot(lambda message: AWAY if message.text == "poison" else message.text)
    async with mail_desk(tmp_path, bot) as desk:
        desk.arrive("a", "poison")
        for number in range(300):
            desk.arrive("b", str(number))
            await desk.until(lambda: not desk.dispatcher._turns.busy)
            desk.clock.advance(3)
            await asyncio.sleep(0)
        await desk.done()
        assert desk.states()["a/poison"] == "dead"
        assert len([text for to, text in desk.replies if to == "b"]) == 300


async def test_what_the_bot_asks_to_wait_is_waited(tmp_path: Path):
    bot = ScriptedBot(lambda _message: Outcome(Verdict.AWAY, detail="429", wait=HOUR))
    async with mail_desk(tmp_path, bot) as desk:
        desk.arrive("a", "hello")
        await desk.until(lambda: desk.codes() == ["BOT_AWAY"])
        desk.clock.advance(HOUR - 1)
        await asyncio.sleep(0)
        assert len(bot.asked) == 1
        desk.clock.advance(2)
        await desk.until(lambda: len(bot.asked) == 2)


async def test_each_message_that_had_the_bot_when_it_died_is_tried_alone(tmp_path: Path):
    source = "import os, time\ndef reply(text):\n  if text == 'poison': os._exit(1)\n  time.sleep(0.05)\n  return text"
    file = tmp_path / "bot.py"
    file.write_text(source, encoding="utf-8")
    bot = FunctionBot(validate_bot(f"{file}:reply"), lambda _trouble: None, dice=lambda: 0.0)
    async with mail_desk(tmp_path / "mail", bot) as desk:
        for number in range(12):
            desk.arrive(f"chat{number}", "poison" if number == 3 else "fine")
        while desk.mailbox.inbox.waiting:
            await desk.until(lambda: not desk.mailbox.inbox.waiting or desk.clock.alarms)
            desk.clock.advance(3)
        await bot.close()
        assert sorted(chat for chat, _ in desk.replies) == sorted(f"chat{number}" for number in range(12) if number != 3)
        assert [trouble.code for trouble in desk.troubles] == ["BOT_DIED", "BOT_DIED", "BOT_GAVE_UP"]
        assert desk.states()["chat3/poison"] == "dead"


async def test_a_file_is_fetched_before_the_bot_is_asked(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.kind) as desk:
        desk.arrive("a", "picture", kind="image", media=Media("image/png", 3))
        await desk.done()
        assert desk.fetched == ["a/picture"]
        assert desk.replies == [("a", "image")]


async def test_a_file_that_must_wait_keeps_its_chat_in_order_and_holds_no_other_up(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.id) as desk:
        desk.held["a/picture"] = desk.clock.now() + 60
        desk.arrive("a", "picture", kind="image", media=Media("image/png", 3))
        desk.arrive("a", "text")
        for number in range(FETCHED_AT_ONCE + 1):
            desk.arrive(f"b{number}", "picture", kind="image", media=Media("image/png", 3))
        await desk.until(lambda: len(desk.replies) == FETCHED_AT_ONCE + 1)
        assert "a/picture" not in desk.fetched
        desk.clock.advance(59)
        assert "a" not in {chat for chat, _ in desk.replies}
        desk.clock.advance(2)
        await desk.done()
        assert desk.replies[-2:] == [("a", "a/picture"), ("a", "a/text")]


async def test_the_files_that_one_session_waits_for_hold_no_other_up(tmp_path: Path):
    never = asyncio.Event()

    async def stuck(item: Item) -> Message:
        await never.wait()
        raise AssertionError(item)

    async with mail_desk(tmp_path / "alice", lambda message: message.id) as desk:
        (tmp_path / "bob").mkdir()
        bob, _ = Mailbox.open("bob", tmp_path / "bob", durable=False)
        await desk.dispatcher.open(replace(desk.of(bob), fetch=stuck))
        alice, desk.mailbox, desk.user = desk.mailbox, bob, "bob"
        for number in range(FETCHED_AT_ONCE + 1):
            desk.arrive(f"b{number}", "picture", kind="image", media=Media("image/png", 3))
        await desk.until(lambda: desk.dispatcher._turns.busy > FETCHED_AT_ONCE)
        desk.mailbox, desk.user = alice, "alice"
        desk.arrive("a", "picture", kind="image", media=Media("image/png", 3))
        await desk.done()
        assert desk.replies == [("a", "a/picture")]
        await desk.dispatcher.close("bob")
        bob.close()


async def test_what_is_too_old_is_not_worth_an_answer(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text, max_age=HOUR) as desk:
        desk.arrive("a", *map(str, range(300)), timestamp=desk.clock.now() - 2 * HOUR)
        desk.arrive("a", "new")
        await desk.done()
        assert desk.replies == [("a", "new")]
        assert [item.detail for item in desk.mailbox.inbox.items(states=("unasked",))] == ["too old"] * 300


async def test_what_the_disk_does_not_note_is_done_again(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.arrive("a", "hello")
        desk.mailbox._mail.execute("PRAGMA query_only = ON")
        await desk.until(lambda: desk.codes() and desk.clock.alarms)
        assert desk.codes() == ["INBOX_UNUSABLE"]
        desk.mailbox._mail.execute("PRAGMA query_only = OFF")
        desk.clock.advance(6)
        await desk.until(lambda: desk.replies == [("a", "hello")])


async def test_an_answer_that_was_queued_before_a_crash_is_not_queued_again(tmp_path: Path):
    async with mail_desk(tmp_path, lambda message: message.text) as desk:
        desk.arrive("a", "hello")
        await desk.done()
        desk.mailbox._mail.execute("UPDATE messages SET state = 'waiting'")  # a power cut took the end, and the spool brought it again
        desk.dispatcher.arrived("alice", "a")
        await desk.until(lambda: desk.states() == {"a/hello": "done"})
        assert desk.replies == [("a", "hello")]


async def test_drain_finishes_what_the_bot_has_and_starts_nothing(tmp_path: Path):
    go = asyncio.Event()

    async def wait(message: Message) -> str:
        await go.wait()
        return message.text

    async with mail_desk(tmp_path, wait) as desk:
        desk.arrive("a", "first", "second")
        await desk.until(lambda: desk.dispatcher._turns.busy)
        await desk.dispatcher.drain(0.01)
        assert desk.replies == []
        draining = asyncio.create_task(desk.dispatcher.drain(20))
        go.set()
        await draining
        assert desk.replies == [("a", "first")]
        assert desk.states() == {"a/first": "done", "a/second": "waiting"}


async def test_closing_a_session_leaves_the_others(tmp_path: Path):
    async def stuck(message: Message) -> str:
        if message.session == "alice":
            await asyncio.Event().wait()
        return message.text

    async with mail_desk(tmp_path / "alice", stuck) as desk:
        (tmp_path / "bob").mkdir()
        bob, _ = Mailbox.open("bob", tmp_path / "bob", durable=False)
        await desk.dispatcher.open(desk.of(bob))
        desk.arrive("a", "hello")
        await desk.until(lambda: desk.dispatcher._turns.busy)
        await desk.dispatcher.close("alice")
        desk.mailbox.close()
        desk.mailbox, desk.user = bob, "bob"
        desk.arrive("a", "hello")
        await desk.done()
        assert desk.replies == [("a", "hello")]
