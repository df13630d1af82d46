"""Whatever one session's mail waits for, the manager's event loop does not: neither a lock, nor a disk that is slow to sync, nor a damaged file."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from homes import ECHO_BOT, House, measured, until
from test_mail_locked import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire, pytest.mark.alone]

FOR = 2.5
EVERY = 0.05
LONGEST_STALL = 0.1
LATEST_ANSWER = 0.25
SYNC_TAKES = "700"  # milliseconds
# SQLite syncs through these two functions of the C library.
SLOW_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void slow(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (strstr(path, "/alice/inbox.db") && access(getenv("SLOW_WHILE"), F_OK) == 0) usleep(1000 * atoi(getenv("SYNC_TAKES")));
}
int fsync(int fd) { slow(fd); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { slow(fd); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


@contextmanager
def slow_sync(switch: Path) -> Iterator[None]:
    switch.touch()
    yield
    switch.unlink()


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """All but its first page, as a disk does that loses blocks."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * max(4096, path.stat().st_size - 4096))
    yield


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    """The disk is slow while this file is there, for whoever has the environment of `preload`."""
    return tmp_path / "slow"


@pytest.fixture
def preload(tmp_path: Path, switch: Path) -> dict[str, str]:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler, for a disk that is slow to sync")
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_SYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOW_WHILE": str(switch), "SYNC_TAKES": SYNC_TAKES}


async def test_no_trouble_of_one_sessions_mail_keeps_the_other_waiting(tmp_path: Path, switch: Path, preload: dict[str, str]):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve("--durability", "power", "--brake", "0", bot=ECHO_BOT, environment=preload)
        await house.online(serve, "alice", "bob")
        await serve.said("manager ready")
        house.box.say("dora", "bob", "first")  # starts the bot's process
        await until(lambda: "first" in house.answers("dora"), "the bot answers")
        workers, asked = serve.workers, 0
        inbox = house.home.path / "alice" / "inbox.db"
        for name, trouble in {"locked": locked(inbox), "slow to sync": slow_sync(switch), "damaged": damaged(inbox)}.items():
            waits = []
            with trouble:
                began = time.monotonic()
                while time.monotonic() - began < FOR:
                    asked += 1
                    house.box.say("carol", "alice", str(asked))
                    house.box.say("dora", "bob", str(asked))
                    waits.append(await until(lambda text=str(asked): text in house.answers("dora"), f"{name}: {asked} was answered"))
                    await asyncio.sleep(EVERY)
                late = asked - len(house.answers("carol"))
                if name != "damaged":
                    assert late > 3, f"alice's mail was not {name}"
            status = await house.run("status", "--json")
            assert await status.over() in {0, 3}, status.text
            stall = json.loads("\n".join(status.out))["data"]["manager"]["longest_stall"]
            measured(f"{name}: alice is {late} answers late; bob's worst {max(waits) * 1000:.0f} ms; longest stall {stall * 1000:.0f} ms")
            assert stall <= LONGEST_STALL
            assert max(waits) <= LATEST_ANSWER
            answered = [str(number + 1) for number in range(asked)]
            await until(lambda all_=answered: sorted(house.answers("carol"), key=int) == all_, lambda: f"{house.answers('carol')}", 30)
        assert serve.workers == workers
        assert not serve.has_said("stood still")
