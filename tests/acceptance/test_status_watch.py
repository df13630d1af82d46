"""`wasess status --watch` on a terminal: the table follows the sessions, in place, until Ctrl+C."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

import pytest
from homes import House, until
from stand_in_manager import live, managed
from terminal import Terminal, wasess
from test_before import link

from wasess.core import reasons
from wasess.core.states import State
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.acceptance

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"  # the alternate screen, which the emulator does not know
HEADINGS = ["USER", "STATE", "SINCE", "HEARD", "NEXT", "TRY", "RESTARTS", "REASON"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    opened = Home(tmp_path / "home").open(create=True)
    for user in ("alice", "bob"):
        link(opened.session(user))
    return opened


@pytest.fixture
def watch() -> Iterator[Callable[..., Terminal]]:
    """Type it into a terminal window of that size."""
    opened: list[Terminal] = []

    def typed(home: Path, *options: str, rows: int = 24, columns: int = 100, before: str = "", **environment: str) -> Terminal:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_") and name != "NO_COLOR"}
        ours |= {"TERM": "xterm-256color", "WASESS_HOME": str(home)} | environment
        command = wasess("status", "--watch", "--interval", "0.2", *options)
        if before:
            command = ["sh", "-c", 'echo "$0"; exec "$@"', before, *command]
        opened.append(Terminal(command, ours, rows, columns))
        return opened[-1]

    yield typed
    for terminal in opened:
        terminal.close()


def row(terminal: Terminal, user: str) -> list[str]:
    """The words of a session's row; empty when there is none."""
    return next((line.split() for line in terminal.text().splitlines() if line.split()[:1] == [user]), [])


def clock(terminal: Terminal) -> str:
    """When the screen was drawn, as it says itself."""
    found = re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", terminal.text())
    return found[0] if found else ""


def test_the_table_follows_the_sessions_in_place(home: Home, watch):
    with managed(home, live("alice"), live("bob")) as manager:
        window = watch(home.path, before="what was there before")
        window.until(lambda: row(window, "bob")[:2] == ["bob", "online"])
        assert [line.split() for line in window.text().splitlines() if line.startswith("USER")] == [HEADINGS]
        assert "2 of 2 sessions online" in window.text()
        manager.keep(live("bob", State.WAITING, reasons.NETWORK_DOWN))
        window.until(lambda: row(window, "bob")[:2] == ["bob", "waiting"])
        window.until_text("WhatsApp can't be reached")
        assert "1 of 2 sessions online" in window.text()
        manager.keep(live("bob"))
        window.until(lambda: row(window, "bob")[:2] == ["bob", "online"])
        assert "can't be reached" not in window.text(), "nothing of the longer line is left"
        link(home.session("carol"))
        window.until(lambda: row(window, "carol"))
        first = clock(window)
        window.until(lambda: clock(window) > first)
        seen = window.text()
        assert sum(line.startswith("USER") for line in seen.splitlines()) == 1
        assert "USER" not in window.scrolled_away()
        assert window.written.index(b"what was there before") < window.written.index(ENTER), "and nothing was overwritten"
    window.until_text("no manager is running")
    window.press_ctrl_c()
    assert window.until_over() == 0
    assert "Traceback" not in window.text()
    *_, last = window.written.partition(LEAVE)
    assert b"carol" in last, "the last table stays"
    assert window.screen.cursor.y > max(number for number, line in enumerate(window.screen.display) if line.startswith(("alice", "carol")))


def test_sessions_that_have_gone_leave_no_row(home: Home, watch):
    window = watch(home.path)
    window.until(lambda: row(window, "bob"))
    home.session("bob").remove()
    window.until(lambda: not row(window, "bob"))
    assert row(window, "alice")
    assert len(window.text().splitlines()) == 4


def test_a_window_that_is_too_small_says_so_and_fits_again_when_it_grows(home: Home, watch):
    for number in range(30):
        link(home.session(f"user-{number:02d}"))
    window = watch(home.path, rows=10, columns=60)
    window.until_text("more lines; enlarge the window")
    assert row(window, "alice")
    assert not row(window, "user-29")
    window.resize(50, 100)
    window.until(lambda: row(window, "user-29"))
    window.until(lambda: "enlarge" not in window.text())
    assert row(window, "alice")


def test_a_terminal_is_itself_again_after_kill(home: Home, watch):
    window = watch(home.path)
    window.until(lambda: row(window, "bob"))
    assert window.screen.cursor.hidden
    window.process.terminate()
    assert window.until_over() == 0
    assert not window.screen.cursor.hidden
    assert window.written.index(ENTER) < window.written.index(LEAVE)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_a_terminal_gets_only_what_it_can_and_may_show(home: Home, watch, environment):
    window = watch(home.path, **environment)
    window.until(lambda: window.written.count(b"alice") >= 2)
    codes = set(re.findall(rb"\x1b\[[0-9;?]*[A-Za-z]", window.written))
    assert not {code for code in codes if code.endswith(b"m")}
    assert bool(codes) == (environment.get("TERM") != "dumb")
    window.press_ctrl_c()
    assert window.until_over() == 0


@pytest.mark.wire
async def test_what_happens_to_a_real_session_is_seen(tmp_path: Path, watch):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        window = watch(house.home.path)
        await asyncio.to_thread(window.until, lambda: row(window, "alice")[:2] == ["alice", "online"])
        house.box.fault("alice", "refuse", "connect")
        house.box.fault("alice", "rst")
        await asyncio.to_thread(window.until_text, "0 of 1 session online")
        await asyncio.to_thread(window.until, lambda: "the connection was lost; reconnecting" in " ".join(window.text().split()))
        house.box.clear("alice")
        await asyncio.to_thread(window.until, lambda: row(window, "alice")[:2] == ["alice", "online"])
        await serve.kill()
        await asyncio.to_thread(window.until_text, "no manager is running")
        await until(lambda: not house.home.session("alice").lock_holder(), "the worker has drained")
        window.press_ctrl_c()
        assert await asyncio.to_thread(window.until_over) == 0
