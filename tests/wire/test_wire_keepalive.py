"""Each side finds out whether the other is there: the library's ping is an iq, the server's a WebSocket ping."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Companion

pytestmark = pytest.mark.wire


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox", claimed_pre_keys=1, keepalive=1.0) as sandbox:
        yield sandbox


async def test_the_library_answers_the_servers_pings_and_stays(alice: Companion, box: Sandbox) -> None:
    wire = box.service.connections["alice"].wire
    answered = wire.pongs
    await box.until(lambda: wire.pongs >= answered + 3)
    assert not wire.closed


async def test_the_server_cuts_off_a_companion_that_hangs_and_it_comes_back(alice: Companion, box: Sandbox) -> None:
    wire = box.service.connections["alice"].wire
    pid = int((await alice.signal("started")).value)
    os.kill(pid, signal.SIGSTOP)
    try:
        await box.until(lambda: wire.closed)
        assert wire.ended_by == "reset"
        box.say("carol", "alice", "while it hung")
    finally:
        os.kill(pid, signal.SIGCONT)
    await alice.text("while it hung")
    await alice.event(events.Connected, count=2)


async def test_the_server_answers_the_librarys_pings(alice: Companion, box: Sandbox) -> None:
    """Its first comes 20 to 30 s after the login, so this is a long test."""
    device = box.state.device("alice")
    assert device is not None
    await box.until(lambda: device.pings, seconds=35)
    assert alice.of(events.KeepAliveTimeout) == []
