"""`wasess serve` and strangers' files: the session stays online in the same process, the bot gets every message, and nothing is left over."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from homes import House, Running, command_line, until

from wasess.drill.process import family
from wasess.sandbox import content
from wasess.sandbox.cdn import Behind
from wasess.store.guard import size_of

pytestmark = pytest.mark.acceptance

MIB = 2**20
HANGING = Behind(pause=0.05)
PATIENCE = 40.0  # on a machine that is busy with other tests
# Says of each message who sent it, and what has become of its file.
BOT = """
import json
from pathlib import Path
from wasess import Message

GOT = Path(__file__).with_name("got.txt").open("a", buffering=1)

def reply(message: Message):
    media = message.media
    GOT.write(json.dumps([message.push_name, message.text, bool(media and media.path), media.problem if media else ""]) + "\\n")
"""


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as opened:
        yield opened


def got(house: House) -> list[list[object]]:
    """What the bot has been asked, in order: name, text, whether there is a file, and why not."""
    path = house.folder / "got.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fetching(serve: Running) -> list[int]:
    return [pid for pid in family(serve.process.pid) if "fetch_process" in command_line(pid)]


def connections(house: House) -> int:
    """How often the session has connected so far."""
    return sum(fact.what == "connected" for fact in house.box.state.history)


def peak(pid: int) -> int:
    """The most bytes that a process had in memory."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found) * 1024


def media(house: House) -> list[str]:
    folder = house.home.session("alice").folder / "media"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def test_files_of_lying_size_cost_no_process_no_connection_and_no_message(house):
    await house.link("alice")
    serve = await house.serve(bot=BOT)
    await house.online(serve, "alice", seconds=PATIENCE)
    workers, logins = serve.workers, connections(house)
    lie = content.forged_file("image", bytes(900), behind=Behind(250 * MIB), claimed=1000)
    for liar in ("mallory", "malcolm", "mordred"):
        house.box.post(liar, "alice", lie)
    house.box.post("mallory", "alice", content.file("image", b"true", caption="this one is true"))
    house.box.post("carol", "alice", content.file("image", b"true", caption="look"))
    house.box.say("dave", "alice", "hello")
    await until(lambda: len(got(house)) == 6, lambda: f"six messages:\n{got(house)}\n{serve.text}", PATIENCE)
    reason = "The file was not fetched: it has more than the 1000 bytes that were declared."
    lies = [[liar, "", False, reason] for liar in ("mallory", "malcolm", "mordred")]
    true = ["mallory", "this one is true", True, ""]
    assert sorted(map(str, got(house))) == sorted(map(str, [*lies, true, ["carol", "look", True, ""], ["dave", "hello", False, ""]]))
    assert got(house).index(lies[0]) < got(house).index(true)
    assert (serve.workers, connections(house)) == (workers, logins)
    (worker,) = workers
    assert peak(worker) < 100 * MIB
    assert len(media(house)) == 2
    assert serve.has_said("a file was not what its message said")
    assert not serve.has_said("a file was not what its message said", times=2)
    assert sorted(house.box.cdn.asked.values()) == [1] * 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_end_of_the_manager_ends_what_it_fetches_and_the_next_one_has_the_file(house, number):
    await house.link("alice")
    serve = await house.serve(bot=BOT)
    await house.online(serve, "alice", seconds=PATIENCE)
    house.box.post("carol", "alice", content.forged_file("image", bytes(300), behind=HANGING))
    await until(lambda: fetching(serve), lambda: f"a file is fetched:\n{serve.text}", PATIENCE)
    (pid,) = fetching(serve)
    serve.signal(number)
    await serve.over(15)
    await until(lambda: "fetch_process" not in command_line(pid), "the process is gone")
    assert media(house) == ([] if number == signal.SIGTERM else ["1.jpg.part"])
    house.box.cdn.unhinder()
    serve = await house.serve(bot=BOT)
    await until(lambda: got(house) == [["carol", "", True, ""]], lambda: f"the file:\n{got(house)}\n{serve.text}", PATIENCE)
    assert media(house) == ["1.jpg"]
    assert size_of(house.home.session("alice").folder / "media" / "1.jpg") == 300
