"""The manager on a real home, with scripted sessions and real time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from hand_clock import HandClock
from village import EVENT, Told, Village, link_device, spooled, text, translate, unlink_device, until

from wasess.core.events import Connected, Disconnected, LoggedOut
from wasess.core.snapshot import Timer, Worker
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.errors import Locked, UnsupportedPlatform
from wasess.store.disk import room
from wasess.store.sessions import Home
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.notify import Notifier
from wasess.supervisor.report import trouble_teller
from wasess.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

QUICK = Settings(ready_within=2.0, look_every=0.02)


@asynccontextmanager
async def managing(
    home: Home, host: Village, told: Told, *, settings: Settings = QUICK, **others: Any
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int]]]:
    supervisor = Supervisor(home, host, translate, told, settings=settings, **others)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, task
        supervisor.stop()
        await asyncio.wait_for(task, 20)
    finally:
        supervisor.leave()
        await asyncio.wait({task}, timeout=20)


def ready(told: Told) -> bool:
    return any(notice.event == "manager_ready" for notice in told.notices)


async def test_the_manager_says_what_it_does_in_plain_words(home: Home, told: Told):
    link_device(home.session("alice"))
    link_device(home.session("bob"))
    (home.path / "notes").mkdir(mode=0o700)
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
    words = [line.partition(" (")[0] for line in told.lines]
    assert words[:2] == ["manager starting", "2 sessions found"]
    for user in ("alice", "bob"):
        told_of = [word for word in words if user in word]
        assert told_of == [f"restoring {user}", f"{user} restored", f"automatic reconnect on for {user}", f"{user} stopped"]
    assert words[8] == "manager ready: 2 of 2 online"
    assert words[-1] == "manager stopped"


async def test_an_empty_home_is_managed_until_a_session_comes(home: Home, told: Told):
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
        assert told.lines == ["manager starting", "0 sessions found", "manager ready: 0 of 0 online"]
        link_device(home.session("late"))
        await until(lambda: "automatic reconnect on for late" in told.lines)


async def test_bad_sessions_delay_no_good_one(home: Home, told: Told):
    host = Village()
    for number in range(12):
        host.silent.add(link_device(home.session(f"a{number}-bad")).user)
    link_device(home.session("broken")).folder.joinpath("device.db").write_bytes(b"garbage" * 1000)
    link_device(home.session("zoe"))
    settings = Settings(max_parallel=4, place_for=0.05, ready_within=1.0)
    async with managing(home, host, told, settings=settings):
        await until(lambda: "automatic reconnect on for zoe" in told.lines)
        assert not ready(told)
        await until(lambda: ready(told))
    assert "14 sessions found" in told.lines
    assert "manager ready: 1 of 14 online" in told.lines
    assert told.codes().count("SESSION_DAMAGED") == 1


async def test_no_more_sessions_than_allowed_are_brought_up_at_once(home: Home, told: Told):
    host = Village()
    for number in range(6):
        host.silent.add(link_device(home.session(f"s{number}")).user)
    async with managing(home, host, told, settings=Settings(max_parallel=2, place_for=60.0, ready_within=0.2)):
        await until(lambda: ready(told))
        assert len(host.started) == 2


async def test_a_session_that_fails_does_not_hold_up_readiness(home: Home, told: Told):
    host = Village()
    host.ends = {"alice": "no-device", "bob": "dial-failed"}
    for user in ("alice", "bob", "carol"):
        link_device(home.session(user))
    async with managing(home, host, told, settings=Settings(ready_within=600.0)):
        await until(lambda: ready(told))
    assert "manager ready: 1 of 3 online" in told.lines
    assert "alice: not linked to a phone. Pair it: `wasess connect alice`." in told.lines


async def test_a_session_that_was_linked_once_is_explained(home: Home, told: Told):
    link_device(home.session("alice"))
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
    unlink_device(home.session("alice"))
    again = Told()
    async with managing(home, Village(), again):
        await until(lambda: ready(again))
    assert again.lines[1:4] == [
        "1 session found",
        "alice: logged out by WhatsApp or on the phone. The old credentials are kept. Pair again: `wasess connect alice`.",
        "manager ready: 0 of 1 online",
    ]


async def test_a_new_session_is_taken_over_when_its_pairing_lets_go(home: Home, told: Told):
    host = Village()
    async with managing(home, host, told):
        await until(lambda: ready(told))
        session = home.session("new")
        session.create()
        pairing = session.lock("pairing")
        link_device(session)
        probe = home.session("probe")
        link_device(probe)
        await until(lambda: host.living("probe"))
        assert not host.living("new")
        pairing.release()
        await until(lambda: "automatic reconnect on for new" in told.lines)


@pytest.mark.parametrize("row_kept", [False, True])
async def test_a_session_paired_again_after_a_logout_is_taken_over(home: Home, told: Told, row_kept: bool):
    session = link_device(home.session("alice"), "1:1@s.whatsapp.net")
    host = Village()
    async with managing(home, host, told):
        await until(lambda: ready(told))
        host.links["alice"].frames(EVENT, spooled(LoggedOut(401)))
        await until(host.links["alice"].ended.is_set)
        if not row_kept:
            unlink_device(session)
        link_device(home.session("probe"))
        await until(lambda: host.living("probe"))  # so the manager has looked around since
        assert [spec.user for spec in host.started] == ["alice", "probe"]
        link_device(session, "1:2@s.whatsapp.net")
        await until(lambda: told.lines.count("automatic reconnect on for alice") == 2)
        assert len(host.living("alice")) == 1


async def test_one_that_waits_for_a_human_is_not_looked_at_each_second(home: Home, told: Told):
    for user in ("alice", "bob"):
        link_device(home.session(user))
    host = Village()
    async with managing(home, host, told) as (supervisor, _task):
        await until(lambda: ready(told))
        host.links["alice"].frames(EVENT, spooled(LoggedOut(401)))
        await until(host.links["alice"].ended.is_set)
        alice, bob = supervisor.keepers.values()
        await until(lambda: alice.snapshot.worker is Worker.ABSENT)
        alice.look()
        alice.look()
        bob.look()
        assert (alice._inbox.qsize(), bob._inbox.qsize()) == (0, 1)


async def test_a_removed_session_is_let_go(home: Home, told: Told, tmp_path: Path):
    session = link_device(home.session("alice"))
    host = Village()
    async with managing(home, host, told):
        await until(lambda: ready(told))
        session.folder.rename(tmp_path / "elsewhere")
        await until(lambda: not host.living("alice"))
        await until(lambda: "alice was removed; no longer kept" in told.lines)
        link_device(session)
        await until(lambda: host.living("alice"))
    assert told.codes().count("RECORD_NOT_KEPT") == 0


async def test_a_second_manager_is_told_who_holds_the_home(home: Home, told: Told):
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
        with pytest.raises(Locked, match=f"process {os.getpid()}"):
            await Supervisor(Home(home.path), Village(), translate, Told()).run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_0(home: Home, told: Told, number: signal.Signals):
    link_device(home.session("alice"))
    host = Village()
    async with managing(home, host, told) as (_, task):
        await until(lambda: ready(told))
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(task, 20) == 0
    assert not host.living("alice")


async def test_sessions_that_do_not_end_are_killed_in_time(home: Home, told: Told):
    class Stubborn(Village):
        async def start(self, spec):
            link = await super().start(spec)
            link.stop = asyncio.Event().wait
            return link

        async def close(self) -> None:
            await asyncio.Event().wait()

    link_device(home.session("alice"))
    host = Stubborn()
    settings = Settings(look_every=0.02, drain_patience=0.2, gone_within=0.5)
    async with managing(home, host, told, settings=settings) as (supervisor, task):
        await until(lambda: ready(told))
        began = time.monotonic()
        supervisor.stop()
        assert await asyncio.wait_for(task, 20) == 0
        assert time.monotonic() - began < 3
    assert not host.living("alice")


async def test_a_second_signal_does_not_wait(home: Home, told: Told):
    class Stubborn(Village):
        async def start(self, spec):
            link = await super().start(spec)
            link.stop = asyncio.Event().wait
            return link

    link_device(home.session("alice"))
    host = Stubborn()
    async with managing(home, host, told) as (_, task):
        await until(lambda: ready(told))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: "manager stopping" in told.lines)
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 20) == 130
        assert time.monotonic() - began < 3
    assert not host.living("alice")


async def test_a_machine_without_the_library_ends_the_manager(home: Home, told: Told):
    link_device(home.session("alice"))
    host = Village()
    host.fault = UnsupportedPlatform("there is no build for this machine")
    with pytest.raises(UnsupportedPlatform):
        await asyncio.wait_for(Supervisor(home, host, translate, told, settings=QUICK).run(), 20)


async def test_a_bug_in_one_keeper_concerns_one_session(home: Home, told: Told, caplog: pytest.LogCaptureFixture):
    class Buggy(Village):
        async def start(self, spec):
            if spec.user == "alice":
                raise KeyError("a bug")
            return await super().start(spec)

    link_device(home.session("alice"))
    link_device(home.session("bob"))
    async with managing(home, Buggy(), told, settings=Settings(ready_within=600.0)):
        await until(lambda: ready(told))
    assert "manager ready: 1 of 2 online" in told.lines
    assert told.codes().count("KEEPER_FAILED") == 1
    assert "Traceback" in caplog.text


async def test_the_bot_answers_and_its_last_reply_is_sent_before_the_end(home: Home, told: Told, tmp_path: Path):
    file = tmp_path / "bot.py"
    source = f"import time\ndef reply(text):\n  open({str(tmp_path / 'begun')!r}, 'w').close()\n  time.sleep(0.3)\n  return text + '!'"
    file.write_text(source, encoding="utf-8")
    link_device(home.session("alice"))
    host = Village()
    bot = FunctionBot(validate_bot(f"{file}:reply"), trouble_teller(told))
    async with managing(home, host, told, bot=bot) as (supervisor, task):
        await until(lambda: ready(told))
        host.links["alice"].frames(EVENT, spooled(text("hello")))
        await until((tmp_path / "begun").exists)
        supervisor.stop()
        await asyncio.wait_for(task, 20)
    assert host.links["alice"].sent == [("491701234567@s.whatsapp.net", "hello!")]


async def test_a_bot_that_hangs_does_not_hold_up_the_end(home: Home, told: Told, tmp_path: Path):
    file = tmp_path / "bot.py"
    source = f"import threading\ndef reply(text):\n  open({str(tmp_path / 'begun')!r}, 'w').close()\n  threading.Event().wait()"
    file.write_text(source, encoding="utf-8")
    link_device(home.session("alice"))
    host = Village()
    bot = FunctionBot(validate_bot(f"{file}:reply"), trouble_teller(told))
    async with managing(home, host, told, bot=bot, settings=Settings(bot_patience=0.2)) as (supervisor, task):
        await until(lambda: ready(told))
        host.links["alice"].frames(EVENT, spooled(text("hello")))
        await until((tmp_path / "begun").exists)
        began = time.monotonic()
        supervisor.stop()
        await asyncio.wait_for(task, 20)
        assert time.monotonic() - began < 3


# --- the whole house ----------------------------------------------------------------------------------------------------


async def test_systemd_hears_of_readiness_once_the_first_tries_are_over_and_of_the_end(home: Home, told: Told, tmp_path: Path):
    host = Village()
    host.silent.add(link_device(home.session("alice")).user)
    link_device(home.session("bob"))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        async with managing(home, host, told, settings=Settings(ready_within=600.0), notifier=notifier):
            await until(lambda: host.living("alice") and "automatic reconnect on for bob" in told.lines)
            assert not any(words.startswith("READY") for words in heard(systemd))
            host.links["alice"].frames(EVENT, spooled(Connected()))
            await until(lambda: ready(told))
            assert "READY=1\nSTATUS=2 of 2 sessions online" in heard(systemd)
        assert heard(systemd)[-1] == "STOPPING=1\nSTATUS=draining"


def heard(systemd: socket.socket) -> list[str]:
    words = []
    while True:
        try:
            words.append(systemd.recv(65536).decode())
        except BlockingIOError:
            return words


async def test_on_a_full_disk_no_session_is_brought_up_also_none_that_comes_later(home: Home, told: Told):
    host = Village()
    link_device(home.session("alice"))
    settings = Settings(look_every=0.02, ready_within=2.0, disk_reserve=2 * room(home.path))
    async with managing(home, host, told, settings=settings):
        await until(lambda: "DISK_FULL" in told.codes("state"))
        await until(lambda: not host.living("alice"))
        link_device(home.session("late"))
        await until(lambda: any(notice.session == "late" and notice.code == "DISK_FULL" for notice in told.notices))
        assert not [spec for spec in host.started if spec.user == "late"]
    alerts = [notice for notice in told.notices if notice.code == "DISK_FULL" and notice.level == "error"]
    assert len(alerts) == 1


async def test_dials_keep_the_pace_of_the_settings(home: Home, told: Told):
    class Timed(Village):
        def __init__(self) -> None:
            super().__init__()
            self.moments: list[float] = []

        async def start(self, spec):
            self.moments.append(time.monotonic())
            return await super().start(spec)

    host = Timed()
    for number in range(12):
        link_device(home.session(f"s{number:02}"))
    settings = Settings(max_parallel=2, dials_per_second=20.0, ready_within=600.0)
    async with managing(home, host, told, settings=settings):
        await until(lambda: ready(told))
    # Two come at once and ten at the pace; how late a busy machine was to look at the first is anybody's guess.
    assert host.moments[-1] - host.moments[0] >= 0.3
    assert len(host.started) == 12


async def test_one_session_that_is_back_brings_the_others_back(home: Home, told: Told):
    """The network was away for both, and one is to try again only in a while."""
    host, clock = Village(), HandClock()
    for user in ("alice", "bob"):
        link_device(home.session(user))
    async with managing(home, host, told, clock=clock) as (supervisor, _):
        await until(lambda: ready(told))
        (bob,) = [keeper for keeper in supervisor._running() if keeper.user == "bob"]
        host.ends["bob"] = "dial-failed"
        host.links["bob"].end("dial-failed", "no route to host")
        while True:
            await until(lambda: bob.snapshot.timer == Timer.RETRY and bob.ticked_at == clock.steady())  # and no sleep is to be told
            wait = (bob.snapshot.resume_at or 0.0) - clock.steady()
            if wait > 5.0:
                break
            clock.advance(max(wait, 1.0) + 0.001)  # the rounds look once a second
        del host.ends["bob"]
        host.links["alice"].frames(EVENT, spooled(Disconnected()))
        host.links["alice"].frames(EVENT, spooled(Connected()))
        await until(lambda: (bob.snapshot.resume_at or 0.0) - clock.steady() <= 1.0)
        clock.advance(1.0)
        await until(lambda: bob.online)
    assert "bob is online again" in told.lines
