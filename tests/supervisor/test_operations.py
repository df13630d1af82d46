"""What an operator asks of a manager, with scripted sessions and real time."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_supervisor import QUICK, managing, ready
from village import EVENT, Told, Village, link_device, spooled, text, unlink_device, until

from wasess.core.events import ClientOutdated, LoggedOut, StreamReplaced, TemporaryBan
from wasess.core.states import State
from wasess.errors import Degraded, NotLinked, UsageError, WorkerFailed
from wasess.store.records import SessionRecord
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.operations import Operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.core.live import Outcome
    from wasess.store.sessions import Home

WITHIN = 5.0


@asynccontextmanager
async def kept(home: Home, told: Told, host: Village, *users: str, settings: Settings = QUICK) -> AsyncIterator[Operations]:
    for user in users:
        session = link_device(home.session(user))
        session.record.save(SessionRecord(user, 1.0, "new", "NEVER_STARTED", 1.0, paired_at=1.0, jid="491700000001:1@s.whatsapp.net"))
    async with managing(home, host, told, settings=settings) as (supervisor, _):
        await until(lambda: ready(told))
        yield Operations(supervisor, told, "sandbox", time.time)


def unlinked(home: Home, user: str) -> None:
    session = link_device(home.session(user))
    session.record.save(SessionRecord(user, 1.0, "new", "NEVER_STARTED", 1.0, paired_at=1.0, jid="491700000001:1@s.whatsapp.net"))
    unlink_device(session)


async def outcomes(operations: Operations, *users: str, timeout: float = WITHIN) -> dict[str, Outcome]:
    return {outcome.user: outcome async for outcome in operations.reconnect(users, timeout)}


async def test_it_says_how_everything_is(home: Home, told: Told):
    async with kept(home, told, Village(), "alice", "bob") as operations:
        info = operations.info()
        assert (info.kept, info.online, info.ready, info.realm) == (2, 2, True, "sandbox")
        alice, bob = operations.lives()
        assert (alice.user, alice.state, alice.code, bob.user) == ("alice", State.ONLINE, "ONLINE", "bob")
        assert alice.pid
        assert alice.proven_at == pytest.approx(time.time(), abs=5)
        assert (alice.received_at, alice.sent_at, alice.waiting, alice.next_try_at) == (None, None, 0, None)


async def test_a_new_connection_is_another_process_and_is_proved(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice", "bob") as operations:
        (before,) = host.living("alice")
        found = await outcomes(operations, "alice")
        assert [found["alice"].ok, found["alice"].state] == [True, State.ONLINE]
        (after,) = host.living("alice")
        assert after is not before
        assert len([link for link in host.all if link.spec.user == "bob"]) == 1, "bob was touched"


async def test_without_a_name_all_are_meant(home: Home, told: Told):
    async with kept(home, told, Village(), "alice", "bob") as operations:
        assert {user: outcome.ok for user, outcome in (await outcomes(operations)).items()} == {"alice": True, "bob": True}


async def test_a_connection_that_does_not_answer_is_no_success(home: Home, told: Told, monkeypatch: pytest.MonkeyPatch):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        host.mute.add("alice")
        monkeypatch.setattr("wasess.supervisor.operations.PROOF_WITHIN", 0.05)
        found = (await outcomes(operations, "alice"))["alice"]
        assert (found.ok, found.state) == (False, State.ONLINE)
        assert "no answer" in found.detail


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (LoggedOut(401), "LOGGED_OUT"),
        (TemporaryBan(101, 600.0), "BANNED"),
    ],
)
async def test_what_a_new_connection_can_not_help_is_said_at_once(home: Home, told: Told, word, code: str):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        host.living("alice")[0].frames(EVENT, spooled(word))
        await until(lambda: operations.lives()[0].code == code)
        dials = len(host.all)
        found = (await outcomes(operations, "alice"))["alice"]
        assert (found.ok, found.code) == (False, code)
        assert found.seconds < 1
        assert len(host.all) == dials, "it dialled"


@pytest.mark.parametrize("word", [StreamReplaced(), ClientOutdated()])
async def test_a_human_may_try_again_what_waits_for_its_time(home: Home, told: Told, word):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        host.living("alice")[0].frames(EVENT, spooled(word))
        await until(lambda: operations.lives()[0].state in {State.PAUSED, State.OUTDATED})
        assert (await outcomes(operations, "alice"))["alice"].ok


async def test_a_session_that_does_not_come_back_is_given_up_in_time_and_goes_on_trying(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        host.ends["alice"] = "dial-failed"
        found = (await outcomes(operations, "alice", timeout=0.3))["alice"]
        assert (found.ok, found.code) == (False, "NETWORK_DOWN")
        assert 0.25 < found.seconds < 2
        assert found.next_try_at is not None
        del host.ends["alice"]
        await until(lambda: operations.lives()[0].state is State.ONLINE)


async def test_a_session_that_nobody_keeps_is_explained(home: Home, told: Told):
    async with kept(home, told, Village(), "alice", "bob") as operations:
        await operations.pause("bob")
        link_device(home.session("carol"))
        (home.session("dave")).create()
        (home.path / "dave" / "device.db").write_bytes(b"no database" * 100)
        home.session("erin").create()  # a pairing that never came to an end
        unlinked(home, "frank")
        found = await outcomes(operations)
        assert {user: (outcome.ok, outcome.code) for user, outcome in found.items()} == {
            "alice": (True, "ONLINE"),
            "bob": (False, "PAUSED_BY_OPERATOR"),
            "carol": (True, "ONLINE"),
            "dave": (False, "DATABASE_DAMAGED"),
            "frank": (False, "NEEDS_PAIRING"),
        }
        with pytest.raises(NotLinked):
            await outcomes(operations, "nobody")


async def test_pause_lasts_until_resume_and_over_a_restart(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice", "bob") as operations:
        await operations.pause("alice")
        assert not host.living("alice")
        assert [live.user for live in operations.lives()] == ["bob"]
        await operations.pause("alice")
    again = Told()
    async with kept(home, again, host, "alice", "bob") as operations:
        assert any("paused by an operator" in line for line in again.lines)
        assert not host.living("alice")
        await operations.resume("alice")
        await until(lambda: host.living("alice"))
        await until(lambda: operations.info().online == 2)


async def test_logout_asks_whatsapp_and_keeps_the_credentials(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        where = await operations.logout("alice")
        assert Path(where).parent == home.path / "alice" / "kept"
        assert not host.living("alice")
        record = home.session("alice").record.load()
        assert record
        assert (record.state, record.reason_code, record.jid) == ("logged_out", "UNLINKED_HERE", None)
        assert home.session("alice").device() is None
        assert not any("on the phone" in line for line in told.lines)
        assert "WORKER_LOST" not in told.codes("state")
        with pytest.raises(Degraded, match="not online"):
            await operations.logout("alice")


async def test_a_logout_that_whatsapp_does_not_confirm_changes_nothing(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice") as operations:
        link = host.living("alice")[0]
        link.refusal = "no answer"
        with pytest.raises(WorkerFailed):
            await operations.logout("alice")
        assert home.session("alice").linked
        link.frames(EVENT, spooled(LoggedOut(401)))
        await until(lambda: "LOGGED_OUT" in told.codes("state"))


async def test_rename_moves_a_session_that_lives(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice", "bob") as operations:
        with pytest.raises(UsageError, match="already"):
            await operations.rename("alice", "bob")
        assert len(host.all) == 2, "somebody was taken down for nothing"
        await operations.rename("alice", "carol")
        assert not host.living("alice")
        await until(lambda: host.living("carol"))
        assert not home.session("alice").exists()
        record = home.session("carol").record.load()
        assert record
        assert record.user == "carol"


async def test_remove_leaves_nothing_behind(home: Home, told: Told):
    host = Village()
    async with kept(home, told, host, "alice", "bob") as operations:
        await operations.remove("alice")
        assert not home.session("alice").exists()
        assert not host.living("alice")
        assert sum("alice was removed" in line for line in told.lines) == 1
        assert [live.user for live in operations.lives()] == ["bob"]


async def test_a_manager_without_a_bot_may_leave_the_mail_to_one_that_has_one(home: Home, told: Told):
    host = Village()
    mail = Settings(ready_within=2.0, look_every=0.02, mail=MailSettings(leave=True))
    async with kept(home, told, host, "alice", settings=mail) as operations:
        host.living("alice")[0].frames(EVENT, spooled(text("hello")))
        await until(lambda: operations.lives()[0].received_at)
        assert operations.lives()[0].waiting == 1
    async with kept(home, Told(), Village(), "alice") as operations:
        await until(lambda: operations.lives()[0].waiting == 1)
        assert operations.lives()[0].received_at is None
