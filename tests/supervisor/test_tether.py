"""A keeper's hold on a scripted worker: every question gets its answer, every start its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hand_clock import HandClock
from village import Village, link_device, until

from wasess.core.events import ProbeAnswered, ProbeFailed, TurnCame, WorkerStuck
from wasess.core.message import Reply
from wasess.errors import UnsupportedPlatform, WorkerFailed
from wasess.link.port import LinkSignal, Vitals
from wasess.supervisor.gate import Gate
from wasess.supervisor.tether import Tether
from wasess.supervisor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.link.port import LinkSpec
    from wasess.link.scripted import ScriptedLink
    from wasess.store.sessions import Home
    from wasess.supervisor.gate import Place


class Slow(Village):
    """A host that gives out a process when its door is opened, and closes it behind each."""

    def __init__(self) -> None:
        super().__init__()
        self.door = asyncio.Event()

    async def start(self, spec: LinkSpec) -> ScriptedLink:
        await self.door.wait()
        return await super().start(spec)


class Hold:
    """A tether, and what it put into the inbox."""

    def __init__(self, home: Home, host: Village) -> None:
        self.host = host
        self.clock = HandClock()
        self.inbox: list[Any] = []
        self.gate = Gate(1, 1000.0, self.clock, 10.0)
        session = link_device(home.session("alice"))
        host.silent.add("alice")
        self.tether = Tether(session, host, self.gate, self.clock, Watch(self.clock, 0), self.inbox.append)

    @property
    def link(self) -> ScriptedLink:
        return self.host.links["alice"]

    @property
    def probes(self) -> list[Any]:
        return [item for item in self.inbox if isinstance(item, (ProbeAnswered, ProbeFailed))]

    @property
    def last(self) -> Any:
        return self.inbox[-1] if self.inbox else None

    async def started(self) -> None:
        self.tether.start()
        await until(lambda: "alice" in self.host.links and self.inbox)

    async def passes(self) -> Place:
        """Go through the gate as somebody else does."""
        waiting = asyncio.create_task(self.gate.turn())
        await self.settle()
        self.clock.advance(1.0)  # its moment
        return await asyncio.wait_for(waiting, 5)

    async def settle(self) -> None:
        """Let everybody get as far as they get."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def hold(home: Home) -> AsyncIterator[Hold]:
    made = Hold(home, Village())
    yield made
    made.tether.close()


@pytest.fixture
async def slow(home: Home) -> AsyncIterator[Hold]:
    made = Hold(home, Slow())
    yield made
    made.tether.close()


# --- questions --------------------------------------------------------------------------------------------------------


async def test_a_question_that_is_answered(hold: Hold):
    await hold.started()
    hold.tether.probe(5.0)
    await until(lambda: hold.probes)
    assert hold.probes == [ProbeAnswered()]
    assert hold.link.probes == 1
    assert hold.clock.alarms == []
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeAnswered()]


async def test_a_question_that_is_refused(hold: Hold):
    await hold.started()
    hold.link.refusal = "not connected"
    hold.tether.probe(5.0)
    await until(lambda: hold.probes)
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeFailed("not connected")]


async def test_a_question_without_an_answer_has_failed_at_its_deadline_and_once(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(5.0)
    await until(lambda: hold.link.probes)
    hold.clock.advance(4.9)
    await hold.settle()
    assert hold.probes == []
    hold.clock.advance(0.1)
    await hold.settle()
    assert hold.probes == [ProbeFailed("no answer in 5 s")]
    hold.link.end("crashed")
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeFailed("no answer in 5 s")]


async def test_the_second_question_takes_the_place_of_the_first(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(30.0)
    await until(lambda: hold.link.probes == 1)
    hold.clock.advance(1.0)
    hold.tether.probe(5.0)
    await until(lambda: hold.link.probes == 2)
    assert len(hold.clock.alarms) == 1
    hold.clock.advance(5.0)
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeFailed("no answer in 5 s")]


async def test_the_second_question_may_be_answered_where_the_first_was_not(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(30.0)
    await until(lambda: hold.link.probes == 1)
    hold.link.silent_probe = False
    hold.tether.probe(5.0)
    await until(lambda: hold.probes)
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeAnswered()]


async def test_two_questions_in_one_breath_are_one(hold: Hold):
    await hold.started()
    hold.tether.probe(5.0)
    hold.tether.probe(5.0)
    await until(lambda: hold.probes)
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == [ProbeAnswered()]


async def test_a_link_that_ends_while_it_is_asked(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(5.0)
    await until(lambda: hold.link.probes)
    hold.link.end("crashed")
    await until(lambda: hold.probes)
    assert hold.probes == [ProbeFailed("The session ended before it could answer.")]


async def test_the_end_of_the_link_ends_the_question(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(5.0)
    await until(lambda: hold.link.probes)
    hold.tether.ended()
    hold.clock.advance(60.0)
    await hold.settle()
    assert hold.probes == []
    assert hold.clock.alarms == []


async def test_without_a_link_a_question_fails_at_once(hold: Hold):
    hold.tether.probe(5.0)
    await until(lambda: hold.probes)
    assert hold.probes == [ProbeFailed("The session is not running.")]
    assert hold.clock.alarms == []


async def test_without_a_link_nothing_can_be_sent(hold: Hold):
    with pytest.raises(WorkerFailed, match="not running"):
        await hold.tether.send("a@g.us", Reply("hello"), None, "", "")


# --- presence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "shown"), [(True, [True, False]), (False, [False])])
async def test_presence_is_shown_for_a_moment_or_never_and_the_phone_keeps_its_notifications(hold: Hold, seen: bool, shown: list[bool]):
    await hold.started()
    hold.tether.show_presence(seen=seen)
    await until(lambda: len(hold.link.presences) == len(shown))
    await hold.settle()
    assert hold.link.presences == shown


async def test_a_presence_that_is_refused_or_that_nobody_can_show_is_no_matter(hold: Hold):
    hold.tether.show_presence(seen=True)
    await hold.settle()
    await hold.started()
    hold.link.refusal = "not connected"
    hold.tether.show_presence(seen=True)
    await hold.settle()
    assert hold.link.presences == []
    assert hold.inbox == [LinkSignal("started", str(hold.link.pid), "0")]


async def test_a_device_that_has_no_name_yet_is_shown_later(hold: Hold):
    await hold.started()
    hold.link.refusal = "can't send presence without PushName set"
    hold.tether.show_presence(seen=True)
    await until(lambda: hold.clock.alarms)
    assert hold.link.presences == []
    hold.link.refusal = ""
    hold.clock.advance(60)
    await until(lambda: hold.link.presences == [True, False])


# --- life and death ----------------------------------------------------------------------------------------------------


async def test_a_start_is_told_and_so_is_its_end(hold: Hold):
    await hold.started()
    hold.tether.stop()
    await until(lambda: hold.last == LinkSignal("ended", "stopped", ""))
    assert [item.kind for item in hold.inbox] == ["started", "spooled", "ended"]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_what_is_asked_while_it_starts_is_done_when_it_has(slow: Hold, how: str):
    slow.tether.start()
    await slow.settle()
    getattr(slow.tether, how)()
    await slow.settle()
    assert slow.inbox == []
    slow.host.door.set()
    await until(lambda: slow.last == LinkSignal("ended", "stopped", ""))
    assert slow.link.ended.is_set()


async def test_a_kill_after_a_stop_while_it_starts_is_a_kill(slow: Hold):
    slow.tether.start()
    await slow.settle()
    slow.tether.stop()
    slow.tether.kill()
    slow.host.door.set()
    await until(lambda: slow.last == LinkSignal("ended", "stopped", ""))


async def test_a_stop_that_is_refused_becomes_a_kill(hold: Hold):
    await hold.started()
    refused = asyncio.Event()

    async def stop() -> None:
        refused.set()
        raise WorkerFailed("its pipe is broken")

    hold.link.stop = stop
    hold.tether.stop()
    await until(hold.link.ended.is_set)
    assert refused.is_set()


async def test_the_next_start_knows_nothing_of_the_last_end(hold: Hold):
    await hold.started()
    hold.tether.kill()
    await until(lambda: hold.last == LinkSignal("ended", "stopped", ""))
    hold.tether.ended()
    hold.tether.start()
    await until(lambda: len(hold.host.all) == 2)
    await hold.settle()
    assert not hold.link.ended.is_set()
    assert hold.last == LinkSignal("started", str(hold.link.pid), "0")


@pytest.mark.parametrize("fault", [WorkerFailed("no memory"), OSError(11, "Resource temporarily unavailable")])
async def test_a_host_without_a_process_to_give_is_an_end_too(hold: Hold, fault: Exception):
    hold.host.fault = fault
    hold.tether.start()
    await until(lambda: hold.inbox)
    assert hold.inbox == [LinkSignal("ended", "crashed", str(fault))]


@pytest.mark.parametrize("fault", [UnsupportedPlatform("there is no build for this machine"), KeyError("a bug")])
async def test_what_no_retry_can_mend_is_handed_to_the_keeper(hold: Hold, fault: Exception):
    hold.host.fault = fault
    hold.tether.start()
    await until(lambda: hold.inbox)
    assert hold.inbox == [fault]


async def test_closing_kills_and_ends_what_is_under_way(hold: Hold):
    await hold.started()
    hold.link.silent_probe = True
    hold.tether.probe(5.0)
    await until(lambda: hold.link.probes)
    hold.tether.close()
    assert hold.link.ended.is_set()
    await hold.settle()
    assert hold.clock.alarms == []
    assert hold.probes == []


# --- looks ---------------------------------------------------------------------------------------------------------------


async def test_what_is_seen_is_told_until_an_end_is_asked_for(hold: Hold):
    def look(silent: float) -> None:
        hold.clock.advance(1.0)
        hold.link.vital = Vitals(beat_age=silent, state="S")
        hold.tether.look()

    hold.tether.look()
    await hold.started()
    for second in range(10):
        look(second + 0.5)
    assert [type(item) for item in hold.inbox] == [LinkSignal, WorkerStuck]
    hold.tether.kill()
    for second in range(10):
        look(second + 0.5)
    await hold.settle()
    assert [type(item) for item in hold.inbox].count(WorkerStuck) == 1


# --- turns -----------------------------------------------------------------------------------------------------------------


async def test_a_turn_comes_and_holds_its_place_until_it_is_left(hold: Hold):
    hold.tether.ask_turn()
    await until(lambda: hold.inbox)
    assert hold.inbox == [TurnCame()]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hold.gate.turn(), 0.05)
    hold.tether.leave_place()
    hold.tether.leave_place()
    (await hold.passes()).leave()


async def test_closing_gives_up_the_place_and_the_wait_for_one(hold: Hold):
    other = await hold.gate.turn()
    hold.tether.ask_turn()
    await hold.settle()
    hold.tether.close()
    await hold.settle()
    other.leave()
    (await hold.passes()).leave()
    assert hold.inbox == []


async def test_a_second_turn_takes_the_place_of_the_first(hold: Hold):
    hold.tether.ask_turn()
    hold.tether.ask_turn()
    await until(lambda: hold.inbox)
    await hold.settle()
    assert hold.inbox == [TurnCame()]
    hold.clock.advance(10.0)  # the first place is lost by itself
    await hold.settle()
    hold.clock.advance(1.0)
    await until(lambda: len(hold.inbox) == 2)
    hold.tether.leave_place()
    (await hold.passes()).leave()
