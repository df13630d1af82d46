from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from at_once import AtOnce
from mail_desk import MailDesk, ScriptedBot

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery import by_hand
from wasess.delivery.courier import DOUBT_PATIENCE, TRIES, Courier
from wasess.delivery.mail_queue import MailQueue
from wasess.errors import SendRefused, UsageError, WorkerFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from wasess.store.outbox import Letter

GONE = WorkerFailed("the session ended before it could answer")


class Road(MailDesk):
    """An outbox with its courier. ``act(letter)`` is what becomes of a sending: an id, or an exception. A departure is spooled before."""

    def __init__(self, folder: Path, act: Callable[[Letter], object], per_minute: float = 0.0) -> None:
        super().__init__(folder, ScriptedBot(lambda _message: None))
        self.act = act
        self.carried: list[str] = []
        self.departs = True
        self.most = 0
        self._now = 0
        self._noted: list[events.Event] = []
        mail = MailQueue(self.mailbox, AtOnce())
        self.courier = Courier(
            mail, self._carry, self._caught_up, self.clock, self.troubles.append, per_minute=per_minute, dice=lambda: 0.5
        )

    def queue(self, key: str, chat: str = "a", text: str = "") -> None:
        self.mailbox.outbox.queue(key, chat, Reply(text or key), self.clock.now())
        self.courier.queued(chat)

    def state(self, key: str) -> str:
        return next(letter.state for letter in self.mailbox.outbox.letters() if letter.key == key)

    async def quiet(self) -> None:
        """Until nothing is under way; sleeping lines sleep."""
        await asyncio.sleep(0)
        await self.until(lambda: not self.courier._turns.busy and not self.courier._turns._going_on)

    async def _carry(self, letter: Letter) -> str:
        self._now += 1
        self.most = max(self.most, self._now)
        self.carried.append(letter.key)
        message_id = f"ID{len(self.carried)}"
        if self.departs:
            self._noted.append(events.Departing(letter.key, message_id))
        try:
            found = self.act(letter)
            if asyncio.iscoroutine(found):
                found = await found
        finally:
            self._now -= 1
        if isinstance(found, Exception):
            raise found
        return message_id

    async def _caught_up(self) -> None:
        self.take_in(*self._noted)
        self._noted.clear()


@asynccontextmanager
async def road(folder: Path, act: Callable[[Letter], object], **options: float) -> AsyncIterator[Road]:
    made = Road(folder, act, **options)
    await made.courier.open()
    try:
        yield made
    finally:
        await made.courier.close()
        await made.dispatcher.close()
        made.mailbox.close()


async def test_replies_go_out_in_order_once_the_session_is_online(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as it:
        for number in range(5):
            it.queue(f"key{number}")
        await it.quiet()
        assert it.carried == []
        it.courier.online()
        await it.until(lambda: not it.mailbox.outbox.waiting())
        assert it.carried == [f"key{number}" for number in range(5)]
        assert {it.state(key) for key in it.carried} == {"sent"}


async def test_chats_go_side_by_side_and_a_slow_one_delays_no_other(tmp_path: Path):
    async def slow(letter: Letter) -> None:
        if letter.chat == "slow":
            await asyncio.Event().wait()

    async with road(tmp_path, slow) as it:
        it.queue("s", "slow")
        for number in range(20):
            it.queue(f"key{number}", f"chat{number % 7}")
        it.courier.online()
        await it.until(lambda: it.mailbox.outbox.waiting() == 1)
        assert it.most <= 4


async def test_what_surely_did_not_go_out_is_sent_again(tmp_path: Path):
    answers = iter([GONE, None])
    async with road(tmp_path, lambda _letter: next(answers)) as it:
        it.departs = False
        it.courier.online()
        it.queue("key")
        await it.quiet()
        assert it.state("key") == "queued"
        it.clock.advance(10)
        await it.until(lambda: it.state("key") == "sent")


async def test_a_reply_in_doubt_waits_for_a_receipt(tmp_path: Path):
    async with road(tmp_path, lambda _letter: GONE) as it:
        it.courier.online()
        it.queue("reply:1:0")
        await it.quiet()
        assert it.state("reply:1:0") == "sending"
        it.take_in(events.ReceiptCame("delivered", "a", ("ID1",)))
        assert it.state("reply:1:0") == "delivered"
        it.clock.advance(2 * DOUBT_PATIENCE)
        await it.quiet()
        assert it.carried == ["reply:1:0"]


async def test_a_reply_in_doubt_without_a_receipt_is_sent_again(tmp_path: Path):
    answers = iter([GONE, None])
    async with road(tmp_path, lambda _letter: next(answers)) as it:
        it.courier.online()
        it.queue("reply:1:0")
        it.queue("reply:2:0")
        await it.quiet()
        assert it.carried == ["reply:1:0"], "those behind it wait"
        it.courier.offline()
        it.clock.advance(100)
        it.courier.online()
        it.clock.advance(DOUBT_PATIENCE - 1)
        await it.quiet()
        assert it.carried == ["reply:1:0"], "it has not been online for long enough"
        answers = iter([None, None])
        it.act = lambda _letter: None
        it.clock.advance(2)
        await it.until(lambda: not it.mailbox.outbox.waiting())
        assert it.carried == ["reply:1:0", "reply:1:0", "reply:2:0"]


async def test_a_message_with_a_key_of_its_own_is_never_sent_twice(tmp_path: Path):
    async with road(tmp_path, lambda _letter: GONE) as it:
        it.courier.online()
        it.queue("order-7")
        await it.quiet()
        it.act = lambda _letter: None
        it.clock.advance(DOUBT_PATIENCE + 1)
        await it.until(lambda: it.state("order-7") == "unknown")
        it.queue("order-7")
        await it.quiet()
        assert it.carried == ["order-7"]
        it.take_in(events.ReceiptCame("read", "a", ("ID1",)))
        assert it.state("order-7") == "read"


async def test_what_a_dead_process_was_sending_is_in_doubt(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as it:
        it.queue("reply:1:0")
        it.take_in(events.Departing("reply:1:0", "X"))
        it.courier.online()
        await it.quiet()
        assert it.carried == []
        it.take_in(events.ReceiptCame("delivered", "a", ("X",)))
        it.clock.advance(DOUBT_PATIENCE + 1)
        await it.quiet()
        assert (it.carried, it.state("reply:1:0")) == ([], "delivered")


async def test_a_departure_that_a_power_cut_took_goes_out_once(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as it:
        it.take_in(events.Departing("reply:1:0", "X"))
        it.queue("reply:1:0")
        await it.courier.open()
        it.courier.online()
        await it.quiet()
        assert it.carried == []
        it.clock.advance(DOUBT_PATIENCE + 1)
        await it.until(lambda: it.state("reply:1:0") == "unknown")


async def test_what_whatsapp_refuses_is_tried_a_few_times(tmp_path: Path):
    async with road(tmp_path, lambda _letter: SendRefused("server returned error 479")) as it:
        it.courier.online()
        it.queue("key")
        it.queue("next")
        for _ in range(3 * TRIES):
            await it.quiet()
            it.clock.advance(70)
        await it.until(lambda: not it.mailbox.outbox.waiting())
        assert it.carried == ["key"] * TRIES + ["next"] * TRIES
        assert (it.state("key"), it.codes()) == ("failed", ["REPLY_GIVEN_UP"] * 2)


async def test_what_can_never_be_sent_is_not_tried_again(tmp_path: Path):
    async with road(tmp_path, lambda _letter: UsageError("no such file")) as it:
        it.departs = False
        it.courier.online()
        it.queue("key")
        await it.until(lambda: it.state("key") == "failed")
        assert it.carried == ["key"]


async def test_an_outage_costs_no_try(tmp_path: Path):
    async with road(tmp_path, lambda _letter: GONE) as it:
        it.departs = False
        it.act = lambda _letter: (it.courier.offline(), GONE)[1]
        it.queue("key")
        for _ in range(3 * TRIES):
            it.courier.online()
            await it.quiet()
        assert (it.state("key"), it.mailbox.outbox.letters()[0].tries) == ("queued", 0)
        it.act = lambda _letter: None
        it.courier.online()
        await it.until(lambda: it.state("key") == "sent")


async def test_the_pace_is_kept(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None, per_minute=60.0) as it:
        it.courier.online()
        for number in range(65):
            it.queue(f"key{number}", f"chat{number}")
        sent = []
        for _ in range(60):
            await it.quiet()
            sent.append(len(it.carried))
            it.clock.advance(1)
        assert sent[0] == 5, "a few may go at once"
        assert all(count <= 5 + 2 * second + 2 for second, count in enumerate(sent))
        assert 55 <= sent[-1] <= 65


async def test_drain_lets_what_is_being_sent_come_to_its_end(tmp_path: Path):
    go = asyncio.Event()

    async def wait(_letter: Letter) -> None:
        await go.wait()

    async with road(tmp_path, wait) as it:
        it.courier.online()
        it.queue("first")
        it.queue("second")
        await it.until(lambda: it.carried)
        draining = asyncio.create_task(it.courier.drain(20))
        await asyncio.sleep(0)
        go.set()
        await draining
        assert (it.state("first"), it.state("second")) == ("sent", "queued")


async def test_what_the_disk_does_not_note_is_not_sent_twice(tmp_path: Path):
    async with road(tmp_path, lambda _letter: None) as it:
        it.queue("order-7")
        it.act = lambda _letter: it.mailbox._mail.execute("PRAGMA query_only = ON") and None
        it.courier.online()
        await it.quiet()
        assert it.codes() == ["OUTBOX_UNUSABLE"]
        it.mailbox._mail.execute("PRAGMA query_only = OFF")
        await it._caught_up()
        it.clock.advance(DOUBT_PATIENCE + 6)
        await it.quiet()
        assert it.carried == ["order-7"]


async def test_an_outage_of_the_server_costs_no_try_and_keeps_the_order(tmp_path: Path):
    async with road(tmp_path, lambda _letter: SendRefused("503", status=503)) as it:
        it.courier.online()
        it.queue("key")
        it.queue("next")
        for _ in range(20):
            await it.quiet()
            it.clock.advance(8000)
        assert (set(it.carried), it.codes()) == ({"key"}, ["SENDS_DELAYED"])
        assert [(letter.state, letter.tries) for letter in it.mailbox.outbox.letters()] == [("queued", 0)] * 2
        assert it.courier.problem == "SENDS_DELAYED"
        it.act = lambda _letter: None
        it.clock.advance(8000)
        await it.until(lambda: not it.mailbox.outbox.waiting())
        assert (it.carried[-2:], it.courier.problem) == (["key", "next"], "")


async def test_a_new_login_does_not_shorten_the_pause_after_a_refusal(tmp_path: Path):
    async with road(tmp_path, lambda _letter: SendRefused("503", status=503)) as it:
        it.courier.online()
        it.queue("key")
        await it.quiet()
        for _ in range(5):
            it.courier.offline()
            it.courier.online()
            await it.quiet()
        assert it.carried == ["key"]


async def test_a_busy_answer_in_one_chat_holds_no_other(tmp_path: Path):
    async with road(tmp_path, lambda letter: SendRefused("503", status=503) if letter.chat == "a" else None) as it:
        it.courier.online()
        it.queue("key", "a")
        await it.quiet()
        it.queue("other", "b")
        await it.until(lambda: it.state("other") == "sent")
        assert it.courier.problem == "SENDS_DELAYED"


async def test_too_many_messages_hold_the_whole_session(tmp_path: Path):
    async with road(tmp_path, lambda _letter: SendRefused("429", status=429)) as it:
        it.courier.online()
        it.queue("key", "a")
        await it.quiet()
        it.queue("other", "b")
        await it.quiet()
        assert it.carried == ["key"]
        it.act = lambda _letter: None
        it.clock.advance(120)
        await it.until(lambda: not it.mailbox.outbox.waiting())
        assert sorted(it.carried) == ["key", "key", "other"]


async def test_a_message_that_was_under_way_ends_no_pause(tmp_path: Path):
    refused = asyncio.Event()

    async def act(letter: Letter) -> None:
        if letter.chat == "a":
            refused.set()
            raise SendRefused("429", status=429)
        await refused.wait()

    async with road(tmp_path, act) as it:
        it.courier.online()
        it.queue("slow", "b")
        it.queue("key", "a")
        await it.until(lambda: it.state("slow") == "sent")
        it.queue("other", "c")
        await it.quiet()
        assert (sorted(it.carried), it.courier.problem) == (["key", "slow"], "SENDS_DELAYED")


async def test_a_lock_on_first_messages_holds_them_and_lets_answers_go_on(tmp_path: Path):
    warm, cold, third = ("1@s.whatsapp.net", "2@s.whatsapp.net", "3@s.whatsapp.net")
    async with road(tmp_path, lambda letter: None if letter.chat in {warm, "4@g.us"} else SendRefused("463", status=463)) as it:
        it.take_in(events.MessageReceived(Message("in", warm, warm, it.clock.now(), "text", "hello")))
        it.courier.online()
        it.queue("first", cold)
        await it.quiet()
        it.queue("second", third)
        it.queue("answer", warm)
        it.queue("group", "4@g.us")
        await it.until(lambda: it.state("answer") == it.state("group") == "sent")
        await it.quiet()
        assert sorted(it.carried) == ["answer", "first", "group"]
        assert (it.codes(), it.courier.problem) == (["FIRST_MESSAGES_LOCKED"], "FIRST_MESSAGES_LOCKED")
        it.clock.advance(3600)
        await it.quiet()
        assert (it.state("first"), it.state("second"), len(it.carried)) == ("queued", "queued", 3)
        it.act = lambda _letter: None
        it.take_in(events.MessageReceived(Message("in2", third, third, it.clock.now(), "text", "hello")))
        it.courier.wrote(third)
        await it.until(lambda: it.state("second") == "sent")
        it.clock.advance(10 * 3600)
        await it.until(lambda: it.state("first") == "sent")
        assert it.courier.problem == ""


async def test_a_failed_reply_is_a_problem_until_somebody_has_dealt_with_it(tmp_path: Path):
    async with road(tmp_path, lambda _letter: UsageError("it can't be")) as it:
        it.departs = False
        it.courier.online()
        it.queue("again")
        it.queue("given up")
        await it.until(lambda: it.state("given up") == "failed")
        assert it.courier.problem == "REPLIES_FAILED"
        await it.courier.open()
        assert it.courier.problem == "REPLIES_FAILED", "after a restart too"
        first, second = it.mailbox.outbox.failed()
        assert by_hand.drop_reply(it.mailbox, second)
        assert not by_hand.drop_reply(it.mailbox, second)
        assert not by_hand.resend(it.mailbox, second)
        it.act = lambda _letter: None
        assert by_hand.resend(it.mailbox, first)
        assert not by_hand.resend(it.mailbox, first)
        await it.courier.open()
        await it.until(lambda: it.state("again") == "sent")
        assert (it.state("given up"), it.courier.problem, it.carried) == ("failed", "", ["again", "given up", "again"])
