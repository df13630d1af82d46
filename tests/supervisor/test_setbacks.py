"""Whatever ends a session's keeper, or keeps it from starting: it is told, the session is started again, and the others go on."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hand_clock import HandClock
from test_supervisor import managing, ready
from village import Village, link_device, until

from wasess.core import reasons
from wasess.core.live import Live, ManagerInfo
from wasess.core.states import State
from wasess.doctor.census import ManagerView, census
from wasess.errors import StoreError
from wasess.store.lock import Holder
from wasess.store.sessions import Session
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.operations import Operations
from wasess.supervisor.setbacks import Setbacks
from wasess.supervisor.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from village import Told

    from wasess.store.sessions import Home
    from wasess.supervisor.supervisor import Supervisor

QUICK = Settings(ready_within=2.0, look_every=0.02)
LONG = 600.0


def refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


FAULTS = [
    *(refusal(number) for number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EDQUOT)),
    *(MemoryError(), StoreError("it can't be read"), RuntimeError("can't start new thread"), KeyError("a bug")),
]
BY_NAME = [pytest.param(fault, id=errno.errorcode[fault.errno] if isinstance(fault, OSError) else type(fault).__name__) for fault in FAULTS]


def failing(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fault: BaseException, concerned: Callable[..., bool] = lambda *_: True
) -> list[bool]:
    """The function raises, where it is ``concerned``, as long as the list that is returned is not empty."""
    original, broken = getattr(owner, name), [True]

    def fails(*arguments: Any, **named: Any) -> Any:
        if broken and concerned(*arguments):
            raise fault
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, fails)
    return broken


def word(manager: Supervisor, told: Told, user: str) -> Live:
    """What the manager says of a session."""
    unkept = Live(user, State.STOPPED, "NOT_KEPT", "", 0.0, None, 0, 0, None, 0, 0, None, None, 0)
    return {live.user: live for live in Operations(manager, told, "sandbox", time.time).lives()}.get(user, unkept)


def is_alice(session: Any, *_others: Any) -> bool:
    return getattr(session, "user", "") == "alice"


@pytest.mark.parametrize("fault", BY_NAME)
@pytest.mark.parametrize("where", ["start", "run", "the folder"])
async def test_a_keeper_that_failed_is_told_and_tried_again(
    home: Home, told: Told, monkeypatch: pytest.MonkeyPatch, fault: Exception, where: str
):
    clock, host = HandClock(), Village()
    for user in ("alice", "bob"):
        link_device(home.session(user))
    place: dict[str, tuple[Any, str, Callable[..., bool]]] = {
        "start": (Keeper, "__init__", lambda _keeper, session, *_: session.user == "alice"),
        "run": (Keeper, "run", is_alice),
        "the folder": (Session, "lock_holder", is_alice),
    }
    broken = failing(monkeypatch, place[where][0], place[where][1], fault, place[where][2])
    async with managing(home, host, told, settings=QUICK, clock=clock) as (manager, task):
        await until(lambda: word(manager, told, "bob").state is State.ONLINE)
        for _ in range(5):
            await until(lambda: word(manager, told, "alice").code == "KEEPER_FAILED")
            said = word(manager, told, "alice")
            assert (said.state, said.kept) == (State.WAITING, False)
            assert str(fault) in said.detail
            assert said.detail
            assert said.next_try_at is not None
            assert said.next_try_at <= clock.now() + 60.0
            clock.advance(60.0)
        assert not task.done()
        assert told.codes().count("KEEPER_FAILED") + told.codes().count("SESSION_DAMAGED") == 1
        assert word(manager, told, "bob").state is State.ONLINE
        broken.clear()
        await until(lambda: clock.advance(1.0) or word(manager, told, "alice").state is State.ONLINE)
        assert word(manager, told, "alice").kept


@pytest.mark.parametrize("fault", BY_NAME)
@pytest.mark.parametrize("at_start", [True, False])
async def test_sessions_that_cant_be_looked_for_are_looked_for_again(
    home: Home, told: Told, monkeypatch: pytest.MonkeyPatch, fault: Exception, at_start: bool
):
    link_device(home.session("alice"))
    broken = failing(monkeypatch, Survey, "look", fault, lambda *_: at_start or bool(blinded))
    blinded: list[bool] = []
    async with managing(home, Village(), told, settings=QUICK) as (manager, task):
        if not at_start:
            await until(lambda: ready(told))
            blinded.append(True)
        await until(lambda: "SESSIONS_NOT_FOUND" in told.codes())
        link_device(home.session("bob"))
        info = Operations(manager, told, "sandbox", time.time).info()
        assert info.blind
        view = census(home, ManagerView(Holder(1, "host", "boot", "serve", 0.0), info, {}), ["bob"])[0]
        assert (view.code, view.exit_code, view.detail) == ("KEEPER_FAILED", 3, info.blind)
        assert not task.done()
        broken.clear()
        await until(lambda: "automatic reconnect on for bob" in told.lines)
        await until(lambda: manager.keepers["alice"].online)
        assert not manager.blind
        assert told.codes().count("SESSIONS_NOT_FOUND") == 1


async def test_a_keeper_that_was_cancelled_from_within_is_tried_again(home: Home, told: Told, monkeypatch: pytest.MonkeyPatch):
    link_device(home.session("alice"))
    broken = failing(monkeypatch, Keeper, "run", asyncio.CancelledError())
    clock = HandClock()
    async with managing(home, Village(), told, settings=QUICK, clock=clock) as (manager, _task):
        await until(lambda: word(manager, told, "alice").code == "KEEPER_FAILED")
        broken.clear()
        await until(lambda: clock.advance(1.0) or word(manager, told, "alice").state is State.ONLINE)


async def test_between_two_keepers_of_a_session_nobody_calls_it_unkept(home: Home, told: Told):
    link_device(home.session("alice"))
    async with managing(home, Village(), told, settings=Settings(ready_within=2.0, look_every=LONG)) as (manager, _task):
        await until(lambda: ready(told))
        manager.keepers["alice"].request_stop()
        await until(lambda: not manager.keepers)
        said = word(manager, told, "alice")
        assert (said.state, said.code, said.kept) == (State.WAITING, "STARTING", False)
        await manager.look()
        assert word(manager, told, "alice").kept


async def test_of_a_session_that_was_paused_nothing_is_said(home: Home, told: Told):
    link_device(home.session("alice"))
    async with managing(home, Village(), told, settings=QUICK) as (manager, _task):
        await until(lambda: ready(told))
        operations = Operations(manager, told, "sandbox", time.time)
        await operations.pause("alice")
        await manager.look()
        assert operations.lives() == []


def test_the_pauses_grow_and_trouble_is_told_once_per_change(told: Told):
    clock = HandClock()
    setbacks = Setbacks(clock, told)
    pauses = []
    for why in ("one", "one", "other", "other", "other", "other"):
        setbacks.failed("alice", StoreError(why))
        [live] = setbacks.lives(())
        pauses.append((live.next_try_at or 0.0) - clock.now())
        assert not setbacks.over("alice")
        clock.advance(pauses[-1])
        assert setbacks.over("alice")
        setbacks.taken_over("alice")
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert told.lines == ["alice: one; trying again in 5 s", "alice: other; trying again in 20 s"]
    clock.advance(LONG)
    setbacks.failed("alice", StoreError("other"))
    assert told.lines[2:] == ["alice: other; trying again in 5 s"]


@pytest.mark.parametrize(("damaged", "code"), [(False, "KEEPER_FAILED"), (True, "DATABASE_DAMAGED")])
def test_what_is_wrong_on_the_disk_is_the_better_word(home: Home, damaged: bool, code: str):
    session = link_device(home.session("alice"))
    if damaged:
        (session.folder / "device.db").write_bytes(b"garbage" * 1000)
    live = Live("alice", State.WAITING, "KEEPER_FAILED", "Too many open files", 1.0, 2.0, 1, 0, None, 0, 0, None, None, 0, kept=False)
    info = ManagerInfo(1, "0", "sandbox", 0.0, ready=True, kept=1, online=0)
    manager = ManagerView(Holder(1, "host", "boot", "serve", 0.0), info, {"alice": live})
    for quick in (True, False):
        [view] = census(home, manager, quick=quick)
        assert view.code == code
        assert view.exit_code == (4 if damaged else 3)
        assert "does not keep" not in view.reason.sentence
    assert reasons.BY_CODE[code].action
