"""`kill -9`, at any instant: the manager, the fork server. Nobody has to pair again, nothing on the disk is damaged, nothing lives on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING

import pytest
from homes import ECHO_BOT, House, measured, until

from wasess.drill.process import living
from wasess.link.translate import translate
from wasess.store.spool import SPOOL_NAME, SpoolReader, depth

if TYPE_CHECKING:
    from homes import Running

pytestmark = pytest.mark.acceptance

SEED = 20261124
BACK_WITHIN = 2.0
WRITES_EVERY = 0.05


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


class Writer:
    """A contact who writes all the time, whether or not anybody is there."""

    def __init__(self, house: House, user: str) -> None:
        self.said: list[str] = []
        self._house = house
        self._user = user
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            self.said.append(f"number {len(self.said)}")
            self._house.box.say("carol", self._user, self.said[-1])
            await asyncio.sleep(WRITES_EVERY)


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_kill_9_of_serve_at_random_instants_costs_no_pairing_no_file_and_two_seconds(house, request):
    await house.link("alice")
    dice = random.Random(SEED)
    writer = Writer(house, "alice")
    back: list[float] = []
    managers: list[Running] = []
    for _ in range(request.config.getoption("--kills")):
        managers.append(serve := await house.serve(bot=ECHO_BOT))
        when = dice.choice(("starting", "just online", "in traffic"))
        if when == "starting":
            instant = dice.uniform(0, 0.8)
            await until(lambda serve=serve, instant=instant: serve.age > instant, "the instant")
        else:
            back.append(await house.online(serve, "alice"))
        if when == "in traffic":
            got, wanted = len(house.bot_got), dice.randrange(1, 30)
            await until(lambda got=got, wanted=wanted: len(house.bot_got) >= got + wanted, f"{wanted} messages")
        await serve.kill()
    serve = await house.serve(bot=ECHO_BOT)
    back.append(await house.online(serve, "alice"))
    await writer.stop()
    await _until_quiet(house)
    assert await _stopped(serve) == 0

    answers = house.answers("carol")
    unheard = set(writer.said) - set(house.bot_got)
    unreadable = len(house.box.contact("carol").undecryptable)
    measured(f"{len(back)} comebacks, median {median(back):.2f} s, longest {max(back):.2f} s; {len(writer.said)} messages")
    measured(f"{len(unheard)} never came to the bot, {len(set(writer.said) - set(answers))} answers never came to the contact")
    measured(f"{unreadable} answers could not be read by the contact's phone, {len(answers) - len(set(answers))} came more than once")
    assert house.pairings("alice") == 1
    assert not [manager.text for manager in managers if "Traceback" in manager.text]
    assert_undamaged(house, "alice")
    load = f"at a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    assert max(back) <= BACK_WITHIN, f"{[round(seconds, 2) for seconds in back]} {load}"


def assert_undamaged(house: House, user: str) -> None:
    session = house.home.session(user)
    with closing(sqlite3.connect(f"file:{session.folder}/device.db?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert session.linked
    assert json.loads((session.folder / "session.json").read_bytes())["record"]["1"]["user"] == user
    assert session.record.history()
    alone = house.folder / f"spool of {user}"
    alone.mkdir()
    shutil.copy(session.folder / SPOOL_NAME, alone)
    reader, end = SpoolReader(alone), (alone / SPOOL_NAME).stat().st_size - depth(alone).unread  # what is before was released
    while frames := reader.read_new():
        assert all(translate(frame.code, frame.payload) for frame in frames)
        end = frames[-1].end
    assert reader.skipped_bytes == 0
    assert end == (alone / SPOOL_NAME).stat().st_size


@pytest.mark.alone
async def test_kill_9_of_the_manager_leaves_no_worker_behind(house):
    users = ("alice", "bob", "frozen", "stalled")
    await house.link(*users)
    house.box.fault("stalled", "stall", "upgrade")
    serve = await house.serve(bot=ECHO_BOT)
    await house.online(serve, "alice", "bob", "frozen")
    house.box.fault("frozen", "freeze")
    writer = Writer(house, "alice")
    await until(lambda: house.answers("carol"), "an answer")
    family = {serve.fork_server, *serve.workers}
    assert len(family) == 1 + len(users)
    serve.signal(signal.SIGKILL)
    gone = await until(lambda: not living(family), lambda: f"{living(family)} of {family} are gone", 5)
    measured(f"the last worker was gone after {gone:.1f} s")

    house.box.clear("stalled")
    house.box.fault("frozen", "thaw")
    serve = await house.serve(bot=ECHO_BOT)
    await house.online(serve, *users)
    await writer.stop()
    house.box.say("carol", "alice", "still there?")
    await until(lambda: "still there?" in house.bot_got, lambda: f"the bot was asked:\n{serve.text}")


@pytest.mark.alone
async def test_kill_9_of_the_fork_server_is_healed_by_serve_itself(house):
    await house.link("alice", "bob")
    serve = await house.serve(bot=ECHO_BOT)
    await house.online(serve, "alice", "bob")
    before = {serve.fork_server, *serve.workers}
    logins = {user: house.device(user).logins for user in ("alice", "bob")}
    os.kill(serve.fork_server, signal.SIGKILL)
    back = await until(
        lambda: all(house.device(user).online and house.device(user).logins > logins[user] for user in logins) and not living(before),
        lambda: f"both are back:\n{serve.text}",
    )
    measured(f"both were back after {back:.1f} s")
    house.box.say("carol", "bob", "still there?")
    await until(lambda: "still there?" in house.answers("carol"), "an answer")
    assert house.pairings("alice") == house.pairings("bob") == 1


@pytest.mark.alone
async def test_kill_9_of_a_worker_concerns_its_session_alone(house):
    await house.link("alice", "bob")
    serve = await house.serve()
    await house.online(serve, "alice", "bob")
    holder = house.home.session("alice").lock_holder()
    assert holder
    assert holder.pid in serve.workers
    logins = house.device("alice").logins
    os.kill(holder.pid, signal.SIGKILL)
    back = await until(lambda: house.device("alice").online and house.device("alice").logins > logins, lambda: serve.text)
    measured(f"alice was back after {back:.1f} s")
    assert house.device("bob").logins == 2  # the pairing's own, and one by this manager
    assert house.device("bob").online


async def _until_quiet(house: House) -> None:
    """Everything was handed over, and no answer is on its way."""
    device, seen, since = house.device("alice"), -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if seen != len(house.answers("carol")) or device.pending:
            seen, since = len(house.answers("carol")), time.monotonic()
        return time.monotonic() - since > 1

    await until(quiet, "quiet", 60)


async def _stopped(serve: Running) -> int:
    serve.signal(signal.SIGTERM)
    return await serve.over()
