"""What people see: whole screens of a terminal emulator, 80 and 60 columns wide, in English and Spanish; and pipes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from homes import House
from screens import require_all_words, require_fit, require_same
from situations import SITUATIONS, Street
from terminal import Terminal, wasess
from test_before import link

from wasess.core.outages import DAY, Outage
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

ROWS = 100
AT_A_TIME = 3
LONGEST = "the-longest-name-that-a-session-may-have-is-of-64-characters-abc"
WINDOWS = ((80, "en"), (60, "en"), (60, "es"))
SHOWN = ("online", "banned", "outdated", "logged-out", "paused", "damaged")

WITHOUT_A_MANAGER = {
    "help": ("--help",),
    "help-reconnect": ("reconnect", "--help"),
    "config": ("config", "status"),
    "list-stopped": ("list",),
    "status-stopped": ("status",),
    "verify-stopped": ("verify",),
    "diagnose": ("diagnose", "--offline"),
    "error": ("connect", "alice"),
    "error-name": ("connect", "Alice Schmidt"),
    "error-usage": ("status", "--intervall", "2"),
    "error-longest": ("pause", LONGEST[:-1]),
}
WITH_A_MANAGER = {"list": ("list",), "status": ("status",), "verify": ("verify", "--grace", "0")}
RECONNECTS = {"reconnect": ("reconnect", LONGEST), "reconnect-fails": ("reconnect", "damaged")}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is always of the same length: sentences are broken according to it."""
    made = Path(tempfile.mkdtemp(prefix="screens-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def left(folder: Path) -> dict[str, str]:
    """The environment of a home as managers have left it: one session each that is well, paused, damaged and logged out."""
    home = Home(folder / "home").open(create=True)
    home.claim_realm("whatsapp")
    now = time.time()
    for user in ("alice", "paused", "damaged", LONGEST):
        session = home.session(user)
        link(session)
        session.record.save(SessionRecord(user, now - 90 * DAY, "stopped", "STOPPED", now - 2.5 * DAY, paired_at=now - 90 * DAY))
        session.record.note(phone_seen_at=now - 2.5 * DAY, outages=(Outage(now - 2.5 * DAY, None, "STOPPED"),))
    home.session("paused").pause()
    os.utime(home.path / "paused" / "paused", (now - 2.5 * DAY, now - 2.5 * DAY))
    (home.path / "damaged" / "device.db").write_bytes(b"no database at all " * 100)
    unlinked = home.session(LONGEST)
    unlinked.set_aside("unlinked")
    unlinked.record.note(state="logged_out", reason_code="LOGGED_OUT")
    return environment(folder) | {"WASESS_HOME": str(home.path)}


def environment(folder: Path) -> dict[str, str]:
    """That of a person at a terminal."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC"}


def seen(words: tuple[str, ...], environ: dict[str, str], columns: int) -> tuple[str, bytes]:
    """What stands in a terminal window after a command, and all that was written to it."""
    window = Terminal(wasess(*words), environ, ROWS, columns)
    try:
        window.until_over(60)
        return window.text(), window.written
    finally:
        window.close()


def piped(words: tuple[str, ...], environ: dict[str, str]) -> str:
    """What a command writes when neither of its streams is a terminal."""
    return subprocess.run(
        wasess(*words), env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    ).stdout


async def require_screens(commands: dict[str, tuple[str, ...]], environ: dict[str, str], columns: int, language: str) -> None:
    """Each command's screen fits the window, has all that a pipe gets, and is the one of its file."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def require(name: str, words: tuple[str, ...]) -> None:
        spoken = environ | {"WASESS_LANG": language}
        async with places:
            screen, written = await asyncio.to_thread(seen, words, spoken, columns)
            other = await asyncio.to_thread(piped, words, spoken)
        require_fit(written, columns)
        require_all_words(screen, other, (LONGEST, LONGEST[:-1]))
        # The home's own findings are about this machine.
        part = screen.partition("\n\n")[2].rpartition("\n\n")[0] if name == "diagnose" else screen
        require_same(f"{name}-{columns}-{language}", f"$ wasess {' '.join(words)}\n{part}")

    await asyncio.gather(*(require(*command) for command in commands.items()))


@pytest.mark.parametrize(("columns", "language"), WINDOWS)
async def test_screens_without_a_manager(left: dict[str, str], columns: int, language: str):
    await require_screens(WITHOUT_A_MANAGER, left, columns, language)


async def test_screens_with_a_manager(folder: Path):
    named = {found.name: found for found in SITUATIONS}
    chosen = tuple(named[name] for name in SHOWN)
    async with House(folder) as house:
        await Street(house, (*chosen, replace(named["online"], name=LONGEST))).prepare()
        environ = environment(folder) | {"WASESS_HOME": str(house.home.path), "WASESS_SANDBOX": str(house.box.contract_path)}
        for columns, language in WINDOWS:
            await require_screens(WITH_A_MANAGER, environ, columns, language)
        for columns in (80, 60):
            await asyncio.to_thread(watch, environ, columns)
        for columns, language in WINDOWS:
            await require_screens(RECONNECTS, environ, columns, language)


def watch(environ: dict[str, str], columns: int) -> None:
    """The table is drawn again in place, and fits a smaller window."""
    window = Terminal(wasess("status", "--watch", "--interval", "0.2"), environ, 30, columns)
    try:
        for _ in range(3):
            drawn = len(window.written)
            window.until(lambda drawn=drawn: len(window.written) > drawn)
        require_same(f"status-watch-{columns}-en", window.text())
        assert window.text().count("USER") == 1
        window.resize(10, columns)
        window.until_text("enlarge the window")
        require_same(f"status-watch-small-{columns}-en", window.text())
        window.press_ctrl_c()
        assert window.until_over() == 0
    finally:
        window.close()


COLOURED = {"list-stopped": "\x1b[1mUSER", "diagnose": "\x1b[31merror\x1b[0m", "error": "\x1b[31merror:\x1b[0m"}


def test_a_terminal_has_colours(left: dict[str, str]):
    for name, escape in COLOURED.items():
        assert escape in seen(WITHOUT_A_MANAGER[name], left, 80)[1].decode(), name


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_who_wants_no_colours_gets_no_escape_code(left: dict[str, str], setting: dict[str, str]):
    for name in (*COLOURED, "status-stopped", "config", "help"):
        screen, written = seen(WITHOUT_A_MANAGER[name], left | setting, 80)
        assert screen
        assert b"\x1b" not in written, name


def test_a_watch_on_a_dumb_terminal_prints_the_table_again_and_again(left: dict[str, str]):
    window = Terminal(wasess("status", "--watch", "--interval", "0.2"), left | {"TERM": "dumb"}, ROWS, 80)
    try:
        window.until(lambda: window.text().count("USER") > 2)
        window.press_ctrl_c()
        assert window.until_over() == 0
        assert b"\x1b" not in window.written
    finally:
        window.close()


def test_a_pipe_gets_whole_lines_and_columns_for_grep(left: dict[str, str]):
    said = {name: piped(words, left | {"FORCE_COLOR": "1"}) for name, words in WITHOUT_A_MANAGER.items()}
    assert not any("\x1b" in text for text in said.values())
    rows = [line.split("\t") for line in said["list-stopped"].splitlines() if "\t" in line]
    assert [row[0] for row in rows] == sorted(("alice", "paused", "damaged", LONGEST))
    assert {len(row) for row in rows} == {5}
    assert {len(line.split("\t")) for line in said["status-stopped"].splitlines() if "\t" in line} == {7}
    assert {line.split(":")[0] for line in said["verify-stopped"].splitlines()} == {"alice", "paused", "damaged", LONGEST}
    assert max(len(line) for line in said["diagnose"].splitlines()) > 200
    assert said["error-name"].splitlines()[0].endswith(" are allowed.")
