"""What every link host promises (`link.port`), checked on the scripted one and on the real one with the sandbox behind it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import time

import pytest
from message_events import message

from wasess.core.message import Location, Message, Poll, Reply
from wasess.errors import FileUnavailable, UsageError, WorkerFailed
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.link.port import LinkSpec, Vitals
from wasess.link.protobuf import e2e, neonize
from wasess.link.scripted import ScriptedHost
from wasess.link.translate import MESSAGE, translate
from wasess.sandbox import Sandbox, content
from wasess.store.outgoing_files import ANYWHERE, OutgoingFiles
from wasess.store.preflight import obstacle
from wasess.store.sessions import Home
from wasess.store.spool import SpoolReader

NUMBER = "4915748178650"
ADDRESS = f"{NUMBER}@s.whatsapp.net"
CONTENT = b"a picture" * 1000
MOST = 2**20
SHA = hashlib.sha256(CONTENT).digest()
PICTURE = {
    "mimetype": "image/png",
    "directPath": "/1",
    "fileLength": len(CONTENT),
    "mediaKey": bytes(32),
    "fileSHA256": SHA,
    "fileEncSHA256": SHA,
}
CHOSEN = (hashlib.sha256(b"now").hexdigest(),)


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

    async def received(self, user, what):
        """The spooled event of a message that a contact has sent: a picture of CONTENT, a text, or a vote for CHOSEN in the session's poll."""
        link = self.host.links[user]
        link.file, link.chosen = CONTENT, CHOSEN
        update = {"pollCreationMessageKey": {"ID": "3EB0AA"}, "vote": {"encPayload": b"x" * 40, "encIV": b"i" * 12}}
        return message(
            {
                "picture": e2e().Message(imageMessage=PICTURE),
                "text": e2e().Message(conversation="hello"),
                "vote": e2e().Message(pollUpdateMessage=update),
            }[what]
        )

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
        self.links = {}
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
        self.box.state.account(NUMBER)
        self.links[user] = await self.host.start(_spec(self.home, user, "run"))
        return self.links[user]

    async def pairing(self, user):
        link = await self.host.start(_spec(self.home, user, "pair"))
        await asyncio.sleep(0)
        return link

    async def received(self, user, what):
        if what == "vote":
            poll = await self.links[user].send(ADDRESS, Reply(poll=Poll("When?", ("now", "later"))))
        posts = {
            "picture": lambda: content.file("image", CONTENT),
            "text": lambda: content.text("hello"),
            "vote": lambda: content.vote(poll, "now"),
        }
        _forget(self.home.session(user))
        self.box.post(NUMBER, user, posts[what]())
        reader = SpoolReader(self.home.session(user).folder)
        async with asyncio.timeout(20):
            while not (frames := [frame for frame in reader.read_new() if frame.code == MESSAGE]):  # noqa: ASYNC110 - the file is the only witness here
                await asyncio.sleep(0.01)
        return frames[-1].payload

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
    return LinkSpec(user, session.folder, mode, obstacle(session) if mode == "run" else ("", ""))


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


async def test_every_kind_of_reply_gets_an_id(world, tmp_path):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    (tmp_path / "a.png").write_bytes(CONTENT)
    hello = Message("3EB0AA", ADDRESS, ADDRESS, "hello", 1.0)
    replies = [
        Reply("hi", quote=True, mentions=(ADDRESS,)),
        Reply("look", file=str(tmp_path / "a.png")),
        Reply(react="👍"),
        Reply(location=Location(52.5, 13.4)),
        Reply(poll=Poll("When?", ("now", "later"))),
    ]
    files = OutgoingFiles(world.home.session("alice").folder)
    kept = [files.copy(reply.file, ANYWHERE) if reply.file else "" for reply in replies]
    ids = [await link.send(ADDRESS, reply, hello, kept=copy) for reply, copy in zip(replies, kept, strict=True)]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for impossible in (Reply(), Reply(poll=Poll("When?", ())), Reply(react="👍")):
        with pytest.raises(UsageError):
            await link.send(ADDRESS, impossible)
    picture = str(tmp_path / "a.png")
    for reply, copy in ((Reply(file=picture), ""), (Reply(file=picture), "../device.db"), (Reply(file=picture), "f" * 32)):
        with pytest.raises(UsageError):
            await link.send(ADDRESS, reply, kept=copy)
    await link.stop()


async def test_a_file_is_written_into_the_sessions_folder_and_nowhere_else(world, tmp_path):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    raw = await world.received("alice", "picture")
    folder = world.home.session("alice").folder
    assert await link.download(raw, folder / "picture", MOST) == len(CONTENT)
    assert (folder / "picture").read_bytes() == CONTENT
    with pytest.raises(UsageError, match="not in the session"):
        await link.download(raw, tmp_path / "picture", MOST)
    with pytest.raises(FileUnavailable, match="9000 bytes; 8999 are allowed"):
        await link.download(raw, folder / "picture", len(CONTENT) - 1)
    with pytest.raises(UsageError, match="no file"):
        await link.download(await world.received("alice", "text"), folder / "text", MOST)
    await link.stop()
    with pytest.raises(WorkerFailed):
        await link.download(raw, folder / "late", MOST)


async def test_a_vote_is_read(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    assert await link.votes(await world.received("alice", "vote")) == CHOSEN
    with pytest.raises(UsageError, match="no vote"):
        await link.votes(await world.received("alice", "text"))
    await link.stop()


async def test_a_chat_is_told_that_something_was_read_and_that_somebody_writes(world):
    link = await world.online("alice")
    await _until_connected(world, link, "alice")
    await link.mark_read(ADDRESS, ADDRESS, ["3EB0AA", "3EB0BB"])
    await link.typing(ADDRESS, on=True)
    await link.typing(ADDRESS, on=False)
    with pytest.raises(UsageError):
        await link.mark_read(ADDRESS, ADDRESS, [])
    with pytest.raises(UsageError):
        await link.typing("bob", on=True)
    await link.stop()
    with pytest.raises(WorkerFailed):
        await link.mark_read(ADDRESS, ADDRESS, ["3EB0AA"])
    with pytest.raises(WorkerFailed):
        await link.typing(ADDRESS, on=True)


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
