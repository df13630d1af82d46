"""How many sessions fit into the limit of open files, and what is said of the others."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hand_clock import HandClock
from test_setbacks import QUICK, word
from test_supervisor import managing, ready
from village import Village, link_device, until

from wasess.core.states import State
from wasess.store import open_files
from wasess.supervisor import file_budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from village import Told

    from wasess.store.sessions import Home


@contextmanager
def files(monkeypatch: pytest.MonkeyPatch, soft: int) -> Iterator[None]:
    """As if the kernel allowed so many."""
    monkeypatch.setattr(file_budget, "allowed", lambda: soft)
    yield
    monkeypatch.undo()


async def test_as_many_sessions_as_fit_are_kept_and_the_others_are_told_why(home: Home, told: Told, monkeypatch: pytest.MonkeyPatch):
    users = [f"u{number:02}" for number in range(14)]
    for user in users:
        link_device(home.session(user))
    clock = HandClock()
    with files(monkeypatch, 100):
        async with managing(home, Village(), told, settings=QUICK, clock=clock) as (manager, task):
            await until(lambda: ready(told))
            why = "14 sessions need 180 open files, 100 are allowed"
            assert [word(manager, told, user).state for user in users] == [State.ONLINE] * 6 + [State.WAITING] * 8
            assert {word(manager, told, user).detail for user in users[6:]} == {why}
            assert f"u13: {why}; trying again in 5 s" in told.lines
            for _ in range(10):
                before = word(manager, told, "u13").next_try_at
                clock.advance(5.0)
                await until(lambda before=before: word(manager, told, "u13").next_try_at != before)
            assert told.codes().count("KEEPER_FAILED") == 8
            assert not task.done()
            monkeypatch.setattr(file_budget, "allowed", lambda: 180)
            clock.advance(5.0)
            await until(lambda: all(word(manager, told, user).state is State.ONLINE for user in users))


def test_the_soft_limit_is_raised_and_remembered(monkeypatch: pytest.MonkeyPatch):
    limits = {"now": (256, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, wanted: limits.update(now=wanted))
    monkeypatch.setattr(open_files, "_usual", 0)
    assert (open_files.usual(), open_files.allowed()) == (0, 256)
    open_files.allow_many()
    open_files.allow_many()
    assert (open_files.usual(), open_files.allowed()) == (256, 4096)
    limits["now"] = (4096, 9000)  # raised from outside
    open_files.allow_many()
    assert (open_files.usual(), open_files.allowed()) == (256, 9000)
    limits["now"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert open_files.allowed() > 10**9
