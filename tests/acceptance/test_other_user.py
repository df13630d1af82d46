"""Another user of the machine attacks a running manager, and lays traps for one that is about to start. Needs root, who can be somebody else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from homes import ECHO_BOT, House, until

from wasess.drill.process import family

NOBODY = 65534
SECRET = "pssst-the-other-cake"
ATTACKER = Path(__file__).with_name("other_user.py")
TRAP = "open('sprung', 'w')\ndef reply(text):\n    return text\n"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user"),
]


@pytest.fixture
def open_place():
    """A folder that everybody may enter: only what wasess makes protects what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="wasess-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def attack(facts: dict[str, object]) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ATTACKER), str(NOBODY), json.dumps(facts)), stdout=asyncio.subprocess.PIPE, cwd="/"
    )
    out, _nothing = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    got: dict[str, str] = json.loads(out)
    return got


def listening(pids: set[int]) -> list[str]:
    """The TCP sockets on which these processes listen, and their abstract unix sockets, which know no permissions."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes] + [
        row[7] for row in unix if len(row) > 7 and row[7].startswith("@") and row[6] in inodes
    ]


async def test_another_user_gets_nothing_from_a_running_manager(open_place: Path):
    since = time.time()
    async with House(open_place) as house:
        shutil.rmtree(house.box.directory / "camera", ignore_errors=True)
        await house.link("alice")
        serve = await house.serve(bot=ECHO_BOT, environment={"WASESS_PING": f"http://127.0.0.1:9/{SECRET}"})
        await house.online(serve, "alice")
        house.box.say("carol", "alice", SECRET)
        await until(lambda: house.answers("carol") == [SECRET], lambda: f"an answer:\n{serve.text}")
        (open_place / "got.txt").unlink()  # the bot's own
        pids = {serve.process.pid, *family(serve.process.pid)}
        assert len(pids) >= 4  # the manager, the fork server, the worker, the bot
        assert listening(pids) == []
        session = house.home.session("alice").folder
        got = await attack({"home": str(house.home.path), "session": str(session), "pids": sorted(pids), "secret": SECRET, "since": since})
        assert {name: what for name, what in got.items() if what} == {}
        assert len(got) > 60
        house.box.say("carol", "alice", "still there?")
        await until(lambda: house.answers("carol") == [SECRET, "still there?"], lambda: f"an answer:\n{serve.text}")
    assert not (open_place / "mine.db").exists()


def trapped(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
    command = [sys.executable, "-m", "wasess", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def shared_place(open_place: Path):
    """A folder in which everybody may make files, as /tmp is."""
    place = open_place / "shared"
    place.mkdir()
    place.chmod(0o1777)
    return place


def planted(path: Path, text: str = "", *, folder: bool = False) -> Path:
    """Something that the other user has made."""
    if folder:
        path.mkdir(mode=0o777)
    else:
        path.write_text(text)
    os.chown(path, NOBODY, NOBODY)
    return path


def test_a_home_that_another_user_has_made_is_not_used(shared_place: Path):
    planted(shared_place / "auth_sessions", folder=True)
    shown = trapped(shared_place, "serve")
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False), shown.stderr
    assert list((shared_place / "auth_sessions").iterdir()) == []


def test_a_home_that_leads_elsewhere_is_not_used(shared_place: Path):
    theirs = planted(shared_place / "theirs", folder=True)
    (shared_place / "auth_sessions").symlink_to(theirs)
    shown = trapped(shared_place, "serve")
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False), shown.stderr
    assert list(theirs.iterdir()) == []


def test_settings_that_another_user_has_written_name_no_code_to_run(shared_place: Path):
    planted(shared_place / "bot.py", TRAP)
    planted(shared_place / "wasess.toml", '[serve]\nbot = "bot.py:reply"\n')
    shown = trapped(shared_place, "serve")
    assert (shown.returncode, "Traceback" in shown.stderr) == (2, False), shown.stderr
    assert not (shared_place / "sprung").exists()
