"""What every link host promises (`link.port`), checked on the scripted one and on the real one with the sandbox behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest

from wasess.core.message import Reply
from wasess.errors import UsageError, WorkerFailed
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec, Vitals
from wasess.link.protobuf import neonize
from wasess.link.scripted import ScriptedHost
from wasess.link.translate import translate
from wasess.sandbox import Sandbox
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

ADDRESS = "4915748178650@s.whatsapp.net"


class Scripted:
    """Plays what the sandbox and the library do for the real one."""

    def __init__(self, home):
        self.home = home
        self.host = ScriptedHost()

    async def online(self, user):
        link = await self.host.start(_spec(self.home, user, "run"))
        link.frames(3, neonize().Connected(status=True).SerializeToString())
        return link

    async def pairing(self, user):
        return await self.host.start(_spec(self.home, user, "pair"))

    def mute(self, user):
        self.host.links[user].silent_probe = True

    async def freeze(self, user):
        self.host.links[user].vital = Vitals(beat_age=5, state="T")

    async def unlinked(self, user):
        link = await self.host.start(_spec(self.home, user, "run"))
        link.end("no-device")
        return link


class Real:
    def __init__(self, home, box):
        self.home = home
        self.box = box
        self.pids = {}
        self.host = WorkerHost(Contract.load(box.contract_path))

    async def online(self, user):
        link = await self.pairing(user)
        async for told in link.signals():
            if told.kind == "qr":
                await self.box.scan(user, told.value)
            if told.kind == "spooled" and "Connected" in _spooled(self.home.session(user)):
                break
        await link.stop()
        _forget(self.home.session(user))
        return await self.host.start(_spec(self.home, user, "run"))

    async def pairing(self, user):
        link = await self.host.start(_spec(self.home, user, "pair"))
        await asyncio.sleep(0)
        return link

    def mute(self, user):
        self.box.fault(user, "mute", "iq")

    async def freeze(self, user):
        os.kill(self.pids[user], signal.SIGSTOP)

    async def unlinked(self, user):
        return await self.host.start(_spec(self.home, user, "run"))


@pytest.fixture(params=["scripted", pytest.param("real", marks=pytest.mark.wire)])
async def world(request, tmp_path):
    home = Home(tmp_path / "home").open(create=True)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "scripted":
            made = Scripted(home)
        else:
            made = Real(home, await stack.enter_async_context(Sandbox(tmp_path / "box", claimed_pre_keys=50)))
        yield made
        await made.host.close()


def _spec(home, user, mode):
    session = home.session(user)
    session.create()
    return LinkSpec(user, session.folder, mode)


def _spooled(session):
    frames = SpoolReader(session.folder).read_new()
    return [type(translate(frame.code, frame.payload)).__name__ for frame in frames]


def _forget(session):
    """Have what was spooled so far behind us: the pairing had its own Connected."""
    reader = SpoolReader(session.folder)
    while frames := reader.read_new():
        reader.commit(frames[-1].end)


async def _until(link, kind):
    """Read signals up to the first of a kind; return them."""
    found = []
    async with asyncio.timeout(20):
        async for told in link.signals():
            found.append(told)
            if told.kind == kind:
                return found
    return found


async def _until_connected(world, link, user):
    async with asyncio.timeout(20):
        async for told in link.signals():
            if told.kind == "started" and isinstance(world, Real):
                world.pids[user] = int(told.value)
            if told.kind == "spooled" and _spooled(world.home.session(user)).count("Connected"):
                return


async def test_started_comes_first_with_a_pid_and_ended_last_and_once(world):
    link = await world.online("alice")
    stopping = asyncio.create_task(_stop_soon(world, link))
    found = await _until(link, "ended")
    await stopping
    kinds = [told.kind for told in found]
    assert kinds[0] == "started"
    assert int(found[0].value) > 1
    assert kinds.count("started") == kinds.count("ended") == 1
    assert "spooled" in kinds
    assert found[-1].value == "stopped"
    assert "qr" not in kinds


async def _stop_soon(world, link):
    async with asyncio.timeout(20):
        while "Connected" not in _spooled(world.home.session("alice")):  # noqa: ASYNC110 - the file is the only witness here
            await asyncio.sleep(0.01)
    await link.stop()


async def test_events_are_in_the_spool_when_it_is_said_so(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    assert "Connected" in _spooled(world.home.session("alice"))
    await link.stop()


async def test_a_text_gets_an_id(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    if isinstance(world, Real):
        world.box.state.account(ADDRESS.partition("@")[0])
    first, second = await link.send(ADDRESS, Reply("one")), await link.send(ADDRESS, Reply("two"))
    assert first
    assert first != second
    await link.stop()


async def test_bad_arguments_are_the_callers_fault(world):
    link = await world.online("alice")
    with pytest.raises(UsageError):
        await link.send("bob", Reply("hello"))
    with pytest.raises(UsageError):
        await link.pairing_code("0170 1234567")
    await link.stop()


async def test_after_the_end_nothing_works_and_nothing_hurts(world):
    link = await world.online("alice")
    await link.stop()
    await link.stop()
    link.kill()
    with pytest.raises(WorkerFailed):
        await link.send(ADDRESS, Reply("too late"))
    with pytest.raises(WorkerFailed):
        await link.logout()
    assert (await _until(link, "ended"))[-1].value == "stopped"


async def test_a_session_that_can_not_run_ends_instead_of_raising(world):
    link = await world.unlinked("alice")
    assert (await _until(link, "ended"))[-1].value == "no-device"


async def test_closing_the_host_ends_every_link(world):
    links = [await world.pairing("alice"), await world.pairing("bob")]
    await world.host.close()
    for link in links:
        assert (await _until(link, "ended"))[-1].value == "stopped"


async def test_whatsapp_answers_a_probe_and_one_that_is_not_answered_can_be_given_up(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    async with asyncio.timeout(5):
        await link.probe()
    world.mute("alice")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await link.probe()
    await link.stop()
    with pytest.raises(WorkerFailed):
        await link.probe()


async def test_a_probe_that_waits_hears_of_the_end(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    world.mute("alice")
    probing = asyncio.create_task(link.probe())
    await asyncio.sleep(0)
    link.kill()
    async with asyncio.timeout(5):
        with pytest.raises(WorkerFailed, match="ended"):
            await probing


async def test_a_presence_is_shown_or_refused_with_the_reason(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    if isinstance(world, Real):
        with pytest.raises(WorkerFailed, match="PushName"):  # nobody has named this device yet
            await link.presence(available=True)
    else:
        await link.presence(available=True)
        await link.presence(available=False)
        assert link.presences == [True, False]
    await link.stop()
    with pytest.raises(WorkerFailed):
        await link.presence(available=True)


async def test_a_frozen_process_shows_it_and_can_be_killed(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    found = await _vitals(link, lambda now: now.beat_age or not isinstance(world, Real))
    assert found.line_age == found.unacked_age == 0
    assert found.beat_age < 5
    if isinstance(world, Real):
        assert found.memory > 1 << 20
        assert found.cpu > 0
    await world.freeze("alice")
    await _vitals(link, lambda now: now.state == "T" and now.beat_age > 2)
    began = time.monotonic()
    link.kill()
    assert (await _until(link, "ended"))[-1].value == "stopped"
    assert time.monotonic() - began < 5
    assert link.vitals() == Vitals()


async def _vitals(link, wanted):
    async with asyncio.timeout(20):
        while not wanted(found := link.vitals()):  # noqa: ASYNC110 - a process says nothing when it changes
            await asyncio.sleep(0.05)
        return found
