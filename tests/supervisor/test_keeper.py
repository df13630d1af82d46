"""One keeper on a real folder, with a scripted worker and a clock that the test turns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hand_clock import HandClock
from village import EVENT, POISON, Told, Village, link_device, mailbox_of, spooled, text, tools, until

from wasess.core.events import Connected, Disconnected, LoggedOut, StreamReplaced
from wasess.core.message import Reply
from wasess.core.snapshot import Worker
from wasess.core.states import State
from wasess.delivery.bot import Bot, Outcome, Verdict
from wasess.delivery.dispatcher import Dispatcher
from wasess.errors import UnsupportedPlatform
from wasess.link.port import LinkSignal
from wasess.store.frame import frame
from wasess.store.spool import SpoolReader
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.report import trouble_teller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.core.message import Message
    from wasess.link.port import LinkSpec
    from wasess.link.scripted import ScriptedLink
    from wasess.store.sessions import Home, Session


class Echo:
    """A bot in this process. It answers when its gate is open."""

    at_once = 8
    pauses = (1.0, 2.0)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, message: Message) -> Outcome:
        self.asked.append(message.text)
        await self.gate.wait()
        return Outcome(Verdict.ANSWERED, (Reply(f"re {message.text}"),))

    async def close(self) -> None:
        self.gate.set()


class Stage:
    def __init__(self, home: Home, told: Told, *, bot: Bot | None = None) -> None:
        self.session: Session = link_device(home.session("alice"))
        self.host = Village()
        self.clock = HandClock()
        self.told = told
        self.dispatcher = Dispatcher(bot, trouble_teller(told), self.clock, dice=lambda: 0.0) if bot else None
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        return Keeper(self.session, tools(self.host, self.told, self.clock, dispatcher=self.dispatcher))

    @property
    def link(self) -> ScriptedLink:
        return self.host.links["alice"]

    @property
    def uncommitted(self) -> int:
        return len(SpoolReader(self.session.folder, mailbox_of(self.keeper).inbox.place()).read_new())

    def append(self, *frames: bytes) -> None:
        """What an earlier worker left."""
        with (self.session.folder / "spool.log").open("ab") as spool:
            spool.write(b"".join(frames))
        (self.session.folder / "spool.log").chmod(0o600)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.keeper.run())
        try:
            yield task
            self.keeper.request_stop()
            await asyncio.wait_for(task, 20)
        finally:
            task.cancel()
            if self.dispatcher:
                await self.dispatcher.close()

    async def online(self) -> None:
        await until(lambda: self.keeper.online and self.keeper.mail.is_open)

    async def reach(self, state: State) -> None:
        await until(lambda: self.keeper.snapshot.state is state)


async def test_a_session_is_restored_recorded_and_taken_down(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        assert stage.keeper.settled.is_set()
        await until(lambda: (record := stage.session.record.load()) and record.state == "online")
    assert told.lines == ["restoring alice", "alice restored (0.0 s)", "automatic reconnect on for alice", "alice stopped"]
    record = stage.session.record.load()
    assert record
    assert (record.state, record.jid, record.last_online_at) == ("stopped", "491700000001:1@s.whatsapp.net", stage.clock.time)
    assert [change.code for change in stage.session.record.history()] == ["STARTING", "ONLINE", "STOPPED"]
    assert stage.link.ended.is_set()


async def test_a_lost_connection_that_comes_back_keeps_its_worker(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.frames(EVENT, spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        stage.link.frames(EVENT, spooled(Connected()))
        await stage.online()
        assert len(stage.host.started) == 1
    assert "alice: the connection was lost; reconnecting" in told.lines
    assert "alice is online again" in told.lines


async def test_a_worker_that_does_not_come_back_is_killed_and_replaced(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        first = stage.link
        stage.link.frames(EVENT, spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        stage.clock.advance(48)
        await until(first.ended.is_set)
        await until(lambda: stage.keeper.snapshot.timer == "retry")
        stage.clock.advance(1)
        await until(lambda: len(stage.host.started) == 2)
        await stage.online()
        assert stage.host.living("alice") == [stage.link]
    record = stage.session.record.load()
    assert record
    assert record.restarts == 1


async def test_a_worker_that_never_logs_in_is_killed_at_the_deadline(home: Home, told: Told):
    stage = Stage(home, told)
    stage.host.silent.add("alice")
    async with stage.running():
        await until(lambda: "alice" in stage.host.links)
        await until(lambda: stage.clock.alarms)
        assert not stage.keeper.settled.is_set()
        stage.clock.advance(45)
        await until(stage.link.ended.is_set)
        await until(stage.keeper.settled.is_set)
        assert stage.keeper.snapshot.reason.code == "NO_ANSWER"


async def test_a_crash_is_mended_at_once(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.end("crashed", "SIGSEGV")
        await until(lambda: stage.keeper.snapshot.timer == "retry")
        stage.clock.advance(0)
        await until(lambda: len(stage.host.started) == 2)
        await stage.online()


async def test_a_host_that_has_no_process_to_give_is_tried_again(home: Home, told: Told):
    stage = Stage(home, told)
    stage.host.refusal = "no memory"
    async with stage.running():
        await until(lambda: stage.keeper.snapshot.timer == "retry")
        stage.host.refusal = ""
        stage.clock.advance(0)
        await stage.online()


@pytest.mark.parametrize("fault", [UnsupportedPlatform("there is no build for this machine"), KeyError("a bug")])
async def test_what_no_retry_can_mend_ends_the_keeper(home: Home, told: Told, fault: Exception):
    stage = Stage(home, told)
    stage.host.fault = fault
    with pytest.raises(type(fault)):
        await stage.keeper.run()


async def test_messages_are_taken_in_at_once_and_reach_the_bot(home: Home, told: Told):
    bot = Echo()
    stage = Stage(home, told, bot=bot)
    async with stage.running():
        await stage.online()
        bot.gate.clear()
        stage.link.frames(EVENT, spooled(text("one", chat="a@g.us")), spooled(text("two", chat="b@g.us")))
        await until(lambda: len(bot.asked) == 2)
        assert (stage.uncommitted, stage.keeper.live().waiting) == (0, 2)
        bot.gate.set()
        await until(lambda: len(stage.link.sent) == 2)
        assert sorted(stage.link.sent) == [("a@g.us", "re one"), ("b@g.us", "re two")]
        assert stage.keeper.live().waiting == 0


async def test_without_a_bot_messages_are_kept_and_wait_for_nobody(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.frames(EVENT, spooled(text("one")))
        await until(lambda: stage.uncommitted == 0)
        assert [item.state for item in mailbox_of(stage.keeper).inbox.items()] == ["unasked"]


async def test_a_slow_bot_holds_up_no_connection_event(home: Home, told: Told):
    bot = Echo()
    bot.gate.clear()
    stage = Stage(home, told, bot=bot)
    async with stage.running():
        await stage.online()
        stage.link.frames(EVENT, *(spooled(text(str(number))) for number in range(300)), spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        await until(lambda: bot.asked == ["0"])


async def test_what_was_left_in_the_spool_is_delivered_and_drives_nothing(home: Home, told: Told):
    bot = Echo()
    stage = Stage(home, told, bot=bot)
    stage.host.silent.add("alice")
    stale = [Connected(), text("left"), StreamReplaced(), LoggedOut(401)]
    stage.append(*(frame(EVENT, spooled(event)) for event in stale))
    async with stage.running():
        await until(lambda: bot.asked == ["left"] and stage.host.links)
        assert stage.keeper.snapshot.state is State.CONNECTING
        stage.link.frames(EVENT, spooled(Connected()))
        await until(lambda: stage.link.sent)
        assert stage.link.sent == [("491701234567@s.whatsapp.net", "re left")]


async def test_a_message_the_bot_did_not_finish_comes_again_after_a_restart(home: Home, told: Told):
    bot = Echo()
    bot.gate.clear()
    stage = Stage(home, told, bot=bot)
    async with stage.running():
        await stage.online()
        stage.link.frames(EVENT, spooled(text("one")))
        await until(lambda: bot.asked)
    bot.gate.set()
    stage.keeper = stage.new_keeper()
    async with stage.running():
        await until(lambda: stage.link.sent)
        assert stage.link.sent == [("491701234567@s.whatsapp.net", "re one")]
    assert bot.asked == ["one", "one"]


async def test_a_reply_waits_for_the_session_to_be_online(home: Home, told: Told):
    bot = Echo()
    stage = Stage(home, told, bot=bot)
    async with stage.running():
        await stage.online()
        stage.link.refusal = "not connected"
        stage.link.frames(EVENT, spooled(text("one")), spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        stage.link.refusal = ""
        assert stage.link.sent == []
        stage.link.frames(EVENT, spooled(Connected()))
        await until(lambda: stage.link.sent)
        await until(lambda: stage.uncommitted == 0)


async def test_a_reply_that_a_lost_connection_cut_off_follows_the_next_login_at_once(home: Home, told: Told):
    """Otherwise the next message of this chat would wait for it, seconds after the connection is back."""
    stage = Stage(home, told, bot=Echo())
    async with stage.running():
        await stage.online()
        stage.link.refusal = "websocket disconnected before info query returned response"
        stage.link.frames(EVENT, spooled(text("one")))
        await until(lambda: [letter.tries for letter in mailbox_of(stage.keeper).outbox.letters()] == [1])
        stage.link.refusal = ""
        stage.link.frames(EVENT, spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        assert not stage.link.sent
        stage.link.frames(EVENT, spooled(Connected()))
        await until(lambda: stage.link.sent)


async def test_a_frame_that_cannot_be_read_is_told_once_and_skipped(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.frames(POISON, b"hidden words")
        stage.link.frames(EVENT, spooled(Disconnected()))
        await stage.reach(State.RECOVERING)
        await until(lambda: stage.uncommitted == 0)
    assert [line for line in told.lines if "kind 2" in line] == ["alice: an event of kind 2 can't be read and was skipped (ValueError)"]
    assert not any("hidden" in str(notice) for notice in told.notices)


async def test_events_written_at_the_very_end_are_heard_before_the_end(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.append(frame(EVENT, spooled(LoggedOut(401))))
        stage.link.end("library-returned")
        await stage.reach(State.LOGGED_OUT)
        assert len(stage.host.started) == 1


async def test_a_record_that_cannot_be_kept_is_told_once_and_stops_nothing(home: Home, told: Told):
    stage = Stage(home, told)
    record = stage.session.folder / "session.json"
    record.mkdir(mode=0o700)
    async with stage.running():
        await stage.online()
    assert told.codes().count("RECORD_NOT_KEPT") == 1


async def test_a_large_spool_is_compacted_before_the_next_worker(home: Home, told: Told):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.frames(EVENT, *(spooled(text("x" * 100_000)) for _ in range(12)))
        await until(lambda: stage.uncommitted == 0)
        before = (stage.session.folder / "spool.log").stat().st_size
        stage.link.end("crashed")
        await until(lambda: stage.keeper.snapshot.timer == "retry")
        stage.clock.advance(0)
        await until(lambda: len(stage.host.started) == 2)
        await stage.online()
        assert (stage.session.folder / "spool.log").stat().st_size < before // 100
        stage.link.frames(EVENT, spooled(text("after")))
        await until(lambda: stage.uncommitted == 0)


async def test_a_stop_while_the_worker_is_being_started_still_stops_it(home: Home, told: Told):
    class Slow(Village):
        def __init__(self) -> None:
            super().__init__()
            self.gate = asyncio.Event()

        async def start(self, spec: LinkSpec) -> ScriptedLink:
            await self.gate.wait()
            return await super().start(spec)

    stage = Stage(home, told)
    stage.host = slow = Slow()
    stage.keeper = stage.new_keeper()
    async with stage.running() as task:
        await until(lambda: stage.keeper.snapshot.worker is Worker.RUNNING)
        stage.keeper.request_stop()
        await stage.reach(State.STOPPED)
        slow.gate.set()
        await asyncio.wait_for(task, 20)
        assert slow.links["alice"].ended.is_set()


async def test_worker_log_lines_go_to_the_log_with_the_sessions_name(home: Home, told: Told, caplog: pytest.LogCaptureFixture):
    stage = Stage(home, told)
    async with stage.running():
        await stage.online()
        stage.link.say(LinkSignal("log", "WARNING something odd"))
        await until(lambda: "alice: something odd" in caplog.text)
