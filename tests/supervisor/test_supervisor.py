"""The manager on a real home, with scripted sessions and real time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from village import EVENT, Told, Village, link_device, spooled, text, translate, unlink_device, until

from wasess.core.events import LoggedOut
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.errors import Locked, UnsupportedPlatform
from wasess.store.sessions import Home
from wasess.supervisor.report import trouble_teller
from wasess.supervisor.supervisor import Settings, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasess.delivery.bot import Bot

QUICK = Settings(ready_within=2.0, look_every=0.02)


@asynccontextmanager
async def managing(
    home: Home, host: Village, told: Told, *, bot: Bot | None = None, settings: Settings = QUICK
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int]]]:
    supervisor = Supervisor(home, host, translate, told, bot=bot, settings=settings)
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
        "alice: not linked to a phone. Pair it: `wasess connect alice`.",
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
